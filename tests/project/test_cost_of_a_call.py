"""What a call costs, in calls of our own functions and moves between rooms.

A count is the same on every machine. A room is a folder below ``nlpu``, or a file in it.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import nlpu
from benchmarks.overhead.graphs import InstantEngine, start_note
from nlpu import Computer, Value

HOME = str(Path(nlpu.__file__).parent)
MOST = {"plain": (101, 33), "journaled": (131, 37)}  # where they were last: they can only shrink


class Watch:
    """Counts calls of functions of ours, and moves between their rooms, on each thread."""

    def __init__(self) -> None:
        self.calls = self.moves = 0
        self._here = threading.local()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return") or not frame.f_code.co_filename.startswith(HOME):
            return
        self.calls += event == "call"
        now = frame if event == "call" else _ours(frame.f_back)
        if now is not None:
            room = now.f_code.co_filename[len(HOME) + 1 :].partition("/")[0]
            self.moves += getattr(self._here, "room", room) != room
            self._here.room = room


def _ours(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of ours: what is between is a library's."""
    while frame is not None and not frame.f_code.co_filename.startswith(HOME):
        frame = frame.f_back
    return frame


def chain(length: int) -> Value[str]:
    """Calls that each read the one before."""
    last = start_note("note")
    for _ in range(length):
        last = start_note(last)
    return last


def counted(length: int, run_dir: Path | None) -> Watch:
    """What a chain of that length takes, on all threads."""
    watch = Watch()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        with Computer(InstantEngine(), run_dir=run_dir) as computer:
            assert computer.run(chain, length).error is None
    finally:
        threading.setprofile(None)
        sys.setprofile(None)
    return watch


@pytest.mark.parametrize("way", MOST)
def test_a_call_of_a_chain_takes_so_many_steps(way: str, tmp_path: Path) -> None:
    runs = tmp_path if way == "journaled" else None
    counted(1, runs and runs / "first")  # what is imported, and remembered, is so from here on
    few, many = (counted(length, runs and runs / str(length)) for length in (20, 120))
    calls, moves = ((many.calls - few.calls) / 100, (many.moves - few.moves) / 100)
    most_calls, most_moves = MOST[way]
    assert calls <= most_calls and moves <= most_moves, (calls, moves)
