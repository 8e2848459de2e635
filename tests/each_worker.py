"""A process that carries out ``nlpu run --each`` in children made to be killed at a forced point.

It imports what is needed once, then reads orders (lines of JSON), and forks for each: a child that
dies by SIGKILL as it enters, or leaves, the n-th of the functions that make something last. What it
prints of each is a line: the signal or exit code, and how many such points there were.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import nlpu.runtime.fleet.batch
import nlpu.runtime.terminal.run.each.batches
import nlpu.runtime.terminal.run.each.program  # noqa: F401  (before the first fork)
from nlpu.runtime.terminal.app import main

# What makes something last: rows, items, lines; or begins and ends a run.
_LAST = {
    "flush": "sqlite.py",
    "keep": "items.py",
    "commit": "items.py",
    "note_facts": "items.py",
    "write": "each/results.py",
    "finish": "each/results.py",
    "_begin": "batch.py",
    "_take": "batch.py",
    "_check": "former.py",
}


class Order(NamedTuple):
    """A command line, where, and before which point it dies (0: at none)."""

    folder: str
    args: list[str]
    kill_at: int


class Points:
    """Counts the points that were passed, on any thread, and dies at one."""

    def __init__(self, kill_at: int) -> None:
        self.passed, self._kill_at, self._lock = 0, kill_at, threading.Lock()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or code.co_name not in _LAST:
            return
        if code.co_filename.endswith(_LAST[code.co_name]):
            with self._lock:
                self.passed += 1
                if self.passed == self._kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)


def child(order: Order) -> None:
    """Carry it out, and leave the number of points in a file."""
    os.chdir(order.folder)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    points = Points(order.kill_at)
    threading.setprofile(points)
    sys.setprofile(points)
    try:
        main(order.args)
    except SystemExit as ended:
        Path("points").write_text(str(points.passed))
        os._exit(int(ended.code or 0))
    os._exit(70)


def carry_out(order: Order) -> dict[str, int]:
    """What came of it."""
    Path(order.folder, "points").unlink(missing_ok=True)
    process = os.fork()
    if not process:
        child(order)
    status = os.waitpid(process, 0)[1]
    points = Path(order.folder, "points")
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
        "points": int(points.read_text()) if points.exists() else 0,
    }


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        print(json.dumps(carry_out(Order(*json.loads(line)))), flush=True)
