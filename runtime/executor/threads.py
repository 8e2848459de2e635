"""Threads for work that may never come back.

Theory of operation
-------------------
A blocking function, a driver's or a program's own, is called on a thread, and the loop is told what
it gave.

Rules
1. A call has a thread of its own: one that hangs stays behind alone. How many there are at once is
   the caller's business.
2. Nobody waits for a thread: neither closing a computer nor the end of the process.
3. What is raised is the call's failure, whatever it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from nlpu.errors import NlpuError, described


def outcome_of(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Give what a function gives, and what it raises: a future cannot hold every kind of that."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


class Threads(Executor):
    """A daemon thread for each call."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()  # a thread cannot be called back

        def body() -> None:
            try:
                done.set_result(fn(*args, **kwargs))
            except BaseException as error:  # SystemExit too: it must not pass for a result
                typed = isinstance(error, NlpuError)
                done.set_exception(error if typed else RuntimeError(described(error)))

        threading.Thread(target=body, name="nlpu-blocking", daemon=True).start()
        return done
