"""Frames of the stack: which are a program's own, and where the innermost of these is."""

from __future__ import annotations

import sys
from functools import lru_cache
from types import FrameType
from typing import Any

_OWN = ("nlpu", "asyncio", "threading")  # not code of a program's
_PROGRAMS = "nlpu.programs."
_MOST_MODULES = 4_096


def is_own(frame: FrameType) -> bool:
    """Whether a frame is the runtime's, or of what runs it, and not a program's."""
    return _is_own_module(str(frame.f_globals.get("__name__", "")))


@lru_cache(maxsize=_MOST_MODULES)
def _is_own_module(name: str) -> bool:
    return name.partition(".")[0] in _OWN and not name.startswith(_PROGRAMS)


def _asking() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own_module(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back  # as is_own, which would be a call for each
    return frame


def asking_line() -> str:
    """Give file:line of the innermost frame that is a program's own."""
    frame = _asking()
    return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}" if frame else "?"


def asking_place() -> tuple[str, int, dict[Any, Any]]:
    """File, line and warnings so far of the program's own code that runs."""
    frame = _asking()
    if frame is None:
        return "?", 0, {}
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    return frame.f_code.co_filename, frame.f_lineno, registry
