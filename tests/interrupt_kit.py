"""A terminal that is a process of its own, a program that is busy, and what its run has come to."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from terminal_fixture import COMMAND, environment

from nlpu.runtime.terminal.show.archive import Record, records

BUSY = """
from pathlib import Path
def go():
    Path("busy").touch()
    while True:
        pass
"""


@contextmanager
def started(cwd: Path, *words: str, group: bool = True) -> Iterator[subprocess.Popen[str]]:
    """``nlpu`` as a process of its own."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=cwd,
        env=environment(),
        text=True,
        start_new_session=group,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


def only(cwd: Path) -> Record | None:
    """The one run of the directory, once it has begun."""
    found = records(cwd / ".nlpu" / "runs")
    return found[0] if found else None
