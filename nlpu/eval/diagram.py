"""Reliability diagrams: what the probabilities that an op tells are worth."""

from __future__ import annotations

from math import exp
from statistics import fmean
from typing import NamedTuple

from nlpu.eval.calibrate import Pairs, fitted

FOLDS = 5


class Diagram(NamedTuple):
    """A reliability diagram: by tenths of the probability of yes, how many, its mean, and of how
    many it is true. error: the expected calibration error (Guo and others, "On calibration of
    modern neural networks", 2017)."""

    bins: tuple[tuple[int, float, float], ...]
    error: float

    @classmethod
    def of(cls, pairs: Pairs) -> Diagram:
        """Give the diagram of probabilities with the truth."""
        rows: dict[int, list[tuple[float, bool]]] = {}
        for probability, truth in pairs:
            rows.setdefault(min(9, int(10 * probability)), []).append((probability, truth))
        bins = tuple(
            (len(row), fmean(p for p, _ in row), fmean(truth for _, truth in row))
            for _, row in sorted(rows.items())
        )
        gaps = sum(count * abs(said - true) for count, said, true in bins)
        return cls(bins, gaps / max(1, len(pairs)))


def calibrated(pairs: Pairs) -> list[tuple[float, bool]]:
    """Give each probability as a calibration reads it that was fitted to the other folds."""
    found = []
    for part in range(FOLDS):
        fit = fitted([pair for place, pair in enumerate(pairs) if place % FOLDS != part])
        found += [(1 / (1 + exp(-fit.odds(p))), truth) for p, truth in pairs[part::FOLDS]]
    return found
