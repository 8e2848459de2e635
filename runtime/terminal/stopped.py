"""Says that the embedded model's process was stopped: who waits for it would wait for ever.

Theory of operation
-------------------
While something is shown, a thread looks at the processes that this one began. One that runs
llama.cpp and has been stopped (SIGSTOP, or a debugger's hold) for some seconds is told of, once,
with what to do. The main thread may wait itself meanwhile, for a model to load.

Rules
1. Only what is known is said: a process that is busy, or hangs, looks the same from outside, and
   the deadline of a call is for those. Where there is no /proc nothing is said.
2. It is said again only when the process has gone on in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from nlpu.runtime.terminal.output import say

PATIENCE_S = 5.0
_EVERY_S = 1.0
_LLAMA = b"llama_server.py"
_STOPPED = ("T", "t")  # by a signal; by a debugger


def stopped() -> set[int]:
    """The processes of llama.cpp, begun by this one, that are stopped now."""
    found = set[int]()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found |= {int(pid) for pid in task.read_text().split() if _is_stopped(pid)}
    return found


def _is_stopped(pid: str) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in _STOPPED and _LLAMA in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Watch:
    """While entered, says what was stopped. ``tell`` takes a line, ``now`` gives seconds."""

    def __init__(
        self,
        tell: Callable[[str], None] = say,
        look: Callable[[], set[int]] = stopped,
        now: Callable[[], float] = time.monotonic,
        every_s: float = _EVERY_S,
    ) -> None:
        self._tell, self._look, self._now, self._every_s = tell, look, now, every_s
        self._since: dict[int, float] = {}
        self._told: set[int] = set()
        self._end = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._go_on, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _go_on(self) -> None:
        while not self._end.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Look once, and say what has to be said (rule 2)."""
        found, now = self._look(), self._now()
        self._since = {pid: self._since.get(pid, now) for pid in found}
        self._told &= found
        for pid in sorted(found - self._told):
            if now - self._since[pid] >= PATIENCE_S:
                self._told.add(pid)
                self._tell(
                    f"llama.cpp's process ({pid}) is stopped, so the embedded model does not "
                    f"answer: kill -CONT {pid} lets it go on"
                )
