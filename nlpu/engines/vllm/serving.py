"""Serves for a terminal: blocks until a signal comes, or until what it serves dies.

Rules
1. SIGINT, SIGTERM and SIGHUP end it alike, and take down what it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any, Protocol

from nlpu.errors import HostError


class Server(Protocol):
    """What can be served until somebody ends it."""

    what: str

    @property
    def url(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *error: object) -> None: ...
    async def wait(self) -> None:
        """Until it, or a part of it, ends by itself."""

    def why(self) -> str:
        """Why it ended."""
        ...


def run_server(server: Server, on_ready: Callable[[Any], None]) -> None:
    """For a terminal: serve until SIGINT, SIGTERM or SIGHUP; ``on_ready`` gets the server.

    Raises a HostError if it does not start, or dies.
    """
    asyncio.run(_until_stopped(server, on_ready))


async def _until_stopped(server: Server, on_ready: Callable[[Any], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(_serving(server, on_ready))
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serving(server: Server, on_ready: Callable[[Any], None]) -> None:
    async with server:
        on_ready(server)
        await server.wait()
        raise HostError(f"{server.what} ended.\n{server.why()}")
