"""Figures beside what they should be."""

from __future__ import annotations


def at_most(figure: float, gate: float) -> str:
    """A figure and whether it meets its gate."""
    return f"{figure:g} {'met' if figure <= gate else 'NOT MET'}"


def at_least(figure: float, gate: float) -> str:
    """As ``at_most``, the other way round."""
    return f"{figure:g} {'met' if figure >= gate else 'NOT MET'}"
