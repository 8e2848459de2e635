"""Threads that wait for models: the interpreter's end waits for them, and they see it coming.

Theory of operation
-------------------
A daemon thread that comes back from C++ into an interpreter which is going down aborts the process
("exception not rethrown"); a pool's threads are joined before they could learn that anything ends.
So each piece of work has a plain thread of its own, and asks ``leaving`` wherever it can stop.

Rules
1. What ends because the program has ended tells nobody: it is as if it had been killed.
2. An event loop that is closed by then hears nothing either.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def leaving() -> bool:
    """Say whether the program has ended, and only its threads are still waited for."""
    return not threading.main_thread().is_alive()


class Threads:
    """The threads of one engine."""

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do blocking work on a thread of its own; the future is of the running loop."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        thread = threading.Thread(
            target=self._body, args=(work, done), name="nlpu-model", daemon=False
        )  # a thread inherits from its maker what it does not say
        self._running.add(thread)
        thread.start()
        return done

    def join(self) -> None:
        """Wait (blocking) until all that was begun has ended."""
        for thread in list(self._running):
            thread.join()

    def _body(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        step: Callable[[], Any]
        try:
            step = partial(done.set_result, work())
        except BaseException as error:  # whatever it is, the loop has to hear of it
            step = partial(done.set_exception, error)
        if not leaving():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                done.get_loop().call_soon_threadsafe(_settle, done, step)
        self._running.discard(threading.current_thread())


def _settle(done: asyncio.Future[Any], step: Callable[[], Any]) -> None:
    if not done.done():
        step()
