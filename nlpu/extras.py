"""How an optional part is added: one command for each, the same wherever it is missing."""

from __future__ import annotations


def adding(*extras: str) -> str:
    """Name the command that adds the extras to an installation of this checkout."""
    return f"pip install -c constraints.txt -e '.[{','.join(extras)}]'"
