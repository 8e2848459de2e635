"""Clocks: the real one, and one that jumps.

Theory of operation
-------------------
The computer takes its time from its event loop and its date from its clock. The fake clock gives a
loop whose time is a number: whenever the loop would wait, the number jumps to the next timer. An
hour of latencies and backoffs passes in milliseconds, in the same order every time.

Rules
1. Nothing in the runtime reads the time from anywhere else.
2. The fake loop never waits while a timer is due. It does not know what other threads do in its
   time, so it stands still while they work for it, and waits for them when it has no timer.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar, TypeVarTuple

from nlpu.checks import AMOUNT, check

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class Clock(Protocol):
    """Where a computer gets its loop and its date."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A loop whose ``time()`` is this clock's."""

    def date_s(self) -> float:
        """Seconds since 1970."""


class SystemClock:
    """The machine's own time."""

    def __repr__(self) -> str:
        return "SystemClock()"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()

    def date_s(self) -> float:
        return time.time()


class FakeClock:
    """A time that passes only when everybody waits. Raises Usage.

    Args:
        start_s: Its first date, in seconds since 1970.
    """

    def __init__(self, start_s: float = 1_000_000_000.0) -> None:
        check("FakeClock", locals(), {"start_s": AMOUNT})
        self.start_s = start_s
        self.now_s = 0.0
        self.threads = 0  # functions under way on other threads

    def __repr__(self) -> str:
        return f"FakeClock(at {self.now_s:g} s)"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop of a computer that has this clock."""
        return _JumpingLoop(self)

    def date_s(self) -> float:
        """Give the date, in seconds since 1970."""
        return self.start_s + self.now_s


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or (timeout > 0 and self._clock.threads):
            return super().select(None)
        found = super().select(0)
        if not found and timeout > 0:
            self._clock.now_s += timeout
        return found


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        self._fake = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._fake.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Args], _T], *args: *_Args
    ) -> asyncio.Future[_T]:
        """As any loop's; time stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._fake.threads += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, future: object) -> None:
        self._fake.threads -= 1
