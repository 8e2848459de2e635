"""What a call costs, in calls of our own functions: a count is the same on every machine."""

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
MOST = {"plain": 105, "journaled": 137}  # where they were last: they can only shrink


def chain(length: int) -> Value[str]:
    """Calls that each read the one before."""
    last = start_note("note")
    for _ in range(length):
        last = start_note(last)
    return last


def counted(length: int, run_dir: Path | None) -> int:
    """How often functions of ours are called, on all threads, for a chain of that length."""
    count = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(HOME)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with Computer(InstantEngine(), run_dir=run_dir) as computer:
            assert computer.run(chain, length).error is None
    finally:
        threading.setprofile(None)
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("way", MOST)
def test_a_call_of_a_chain_takes_so_many_steps(way: str, tmp_path: Path) -> None:
    runs = tmp_path if way == "journaled" else None
    counted(1, runs and runs / "first")  # what is imported, and remembered, is so from here on
    few, many = (counted(length, runs and runs / str(length)) for length in (20, 120))
    assert (many - few) / 100 <= MOST[way]
