"""Which stream results go to. Imports nothing of the project: ``nlpu --help`` loads it.

What a program prints by itself goes to stderr, so that stdout is its result and nothing else. A
child process that a program starts has the real stdout all the same.
"""

from __future__ import annotations

import sys
from typing import TextIO

_kept: list[TextIO] = []  # stdout, once programs' own prints are led to stderr


def lead_prints_to_stderr() -> None:
    """From here on ``print`` writes to stderr: how commands that run programs begin."""
    if sys.stdout is not sys.stderr:
        _kept[:] = [sys.stdout]
        sys.stdout = sys.stderr


def results() -> TextIO:
    """Where results go: the stdout the command was started with."""
    return _kept[0] if _kept and sys.stdout is sys.stderr else sys.stdout


def lead_back() -> None:
    """Undo it, for a process that carries out another command."""
    if sys.stdout is sys.stderr and _kept:
        sys.stdout = _kept.pop()
