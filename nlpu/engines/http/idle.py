"""Ends an answer of which nothing comes but what keeps its connection open.

Theory of operation
-------------------
A server that has nothing to say yet may keep its connection open with empty lines or comments, and
a broken one may never get to the end of a head. To a client that waits from byte to byte, or for as
long as something comes, both look alive for ever. So a ``Watch`` stands between a connection and
aiohttp's protocol: it sees each arrival, and whoever reads tells it what of it was of an answer.

Rules
1. Time counts from the first arrival that carries nothing; one that carries something ends it.
2. It needs no timer: it looks at the clock when something comes. How long nothing at all may come,
   and how slowly an answer, is ``Limits.timeout_s``, the scheduler's.
3. Whether a head is one is known at its end; until then it carries nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

IDLE_S = 600.0


class Idle(aiohttp.ServerTimeoutError):
    """Nothing of an answer came for so many seconds, though something did."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:g} s")
        self.seconds = seconds


class Watch(asyncio.Protocol):
    """What a transport tells, on its way to aiohttp's protocol."""

    def __init__(self, transport: asyncio.Transport, below: Any, idle_s: float) -> None:
        self._transport, self._below, self._idle_s = transport, below, idle_s
        self._now_s = asyncio.get_running_loop().time
        self._since_s: float | None = None  # rule 1
        self._is_over = False

    def heard(self) -> None:
        """Note that what came last is of an answer, or that one begins."""
        self._since_s = None

    def __enter__(self) -> None:
        """Wait for what comes next; raises Idle if that is why the connection was closed."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_over and not isinstance(error, asyncio.CancelledError):
            raise Idle(self._idle_s) from error  # an end may look like one, too

    def data_received(self, data: bytes) -> None:
        now = self._now_s()
        if self._since_s is None:
            self._since_s = now
        elif now - self._since_s > self._idle_s:
            self._is_over = True
            self._transport.abort()
            return
        self._below.data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._below.connection_lost(exc)

    def eof_received(self) -> Any:
        return self._below.eof_received()

    def pause_writing(self) -> None:
        self._below.pause_writing()

    def resume_writing(self) -> None:
        self._below.resume_writing()


def watched(transport: asyncio.Transport, idle_s: float) -> Watch:
    """The watch of a connection that is to be asked something; made when it first is."""
    watch = transport.get_protocol()
    if not isinstance(watch, Watch):
        watch = Watch(transport, watch, idle_s)
        transport.set_protocol(watch)
    watch.heard()
    return watch
