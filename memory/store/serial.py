"""Taking turns: what is asked of a store goes one by one, in the order it was asked, off the loop.

Theory of operation
-------------------
A look-up embeds its question, and what has been written since the last one. That takes tens of
milliseconds or minutes, in which the loop of a run must go on. So each job is done where the
program that asks can wait for it (``nlpu.value.aside``), and waits there for the one before it.

Rules
1. Jobs begin in the order in which they were given, each when the one before it has ended, however.
2. A job that gives another one does that at once, as a part of itself.
3. A job needs no program and no loop: who waits for it on the loop's own thread waits for ever.
4. A forked process takes none: the threads of the index, and whose turn it was, are not its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Lock, get_ident
from typing import TypeVar

from nlpu.errors import HostError
from nlpu.value import aside

R = TypeVar("R")


class Turns:
    """The order of one store's jobs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = Event()
        self._last.set()
        self._thread = 0  # of the job that is done
        self._owner = os.getpid()

    @property
    def is_foreign(self) -> bool:
        """Whether this process is a fork of the one that opened the store."""
        return self._owner != os.getpid()

    def take(self, job: Callable[[], R]) -> R:
        """What a job gives, when its turn has come. Raises HostError (rule 4)."""
        if self.is_foreign:
            raise HostError(
                f"this memory was opened by process {self._owner}, and this is a fork of it: open "
                "memories after forking, in one process at a time"
            )
        if self._thread == get_ident():
            return job()  # rule 2
        mine = Event()
        with self._lock:
            before, self._last = self._last, mine

        def in_turn() -> R:
            before.wait()
            self._thread = get_ident()
            try:
                return job()
            finally:
                self._thread = 0
                mine.set()

        return aside(in_turn)
