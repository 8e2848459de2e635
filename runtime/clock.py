"""Clocks: the real one, and one that jumps.

Theory of operation
-------------------
The computer takes its time from its event loop and its date from its clock. The fake clock gives a
loop whose time is a number: whenever the loop would wait, the number jumps to the next timer. An
hour of latencies and backoffs passes in milliseconds, in the same order every time.

Rules
1. Nothing in the runtime reads the time from anywhere else.
2. The fake loop never waits while a timer is due; with no timer it waits for other threads.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any, Protocol


class Clock(Protocol):
    """Where a computer gets its loop and its date."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A loop whose ``time()`` is this clock's."""
        ...

    def date_s(self) -> float:
        """Seconds since 1970."""
        ...


class SystemClock:
    """The machine's own time."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()

    def date_s(self) -> float:
        return time.time()


class FakeClock:
    """A time that passes only when everybody waits. ``start_s`` is its first date."""

    def __init__(self, start_s: float = 1_000_000_000.0) -> None:
        self.start_s = start_s
        self.now_s = 0.0

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return _JumpingLoop(self)

    def date_s(self) -> float:
        return self.start_s + self.now_s


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
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
