"""Ctrl-C: the first stops the run, the second ends the process at once, by the kernel's hand.

Where there is no run to stop, the first ends the process, too: an exception could come up in the
middle of an import, where other code takes it for an error of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from nlpu.runtime.terminal import notice
from nlpu.runtime.terminal.run.watchdog import SHOW_CURSOR, once
from nlpu.runtime.terminal.stdout import failure, owes_json, results

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlpu.runtime.handle import Run

STOP_S = 2.0  # a run that has not stopped by then is left to its journal


class Interrupts:
    """While entered, the first SIGINT raises KeyboardInterrupt and the second ends the process.

    That is as if nobody handled it: a shell has 130, and whoever waits here sees the signal.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.signal(signal.SIGINT, _first)
            once(signal.SIGINT)()  # C code may keep Python from carrying out ``_first``
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


class Told(Interrupts):
    """While entered, SIGINT calls ``tell`` instead of raising.

    An exception that comes up while Python runs a finaliser is lost; a word in a queue is not.
    Where C code keeps Python from telling, a second SIGINT ends the process.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell
        self._again: Callable[[], object] = lambda: None  # until the handler is a passing one

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._hear)
            self._again = once(signal.SIGINT)
            self._again()
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._again()
        self._tell()


def leave_at_once() -> None:
    """From here on SIGINT ends the process with one line and, for --json, its object."""
    signal.signal(signal.SIGINT, _leave)


def raise_from_here() -> None:
    """From here on SIGINT raises KeyboardInterrupt, for a command that handles it by itself."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    notice.clear()
    os.write(2, b"interrupted\n")
    if owes_json(sys.argv[1:]):
        told = failure("Interrupted", "interrupted", status="stopped")
        os.write(1, json.dumps(told).encode() + b"\n")
    leave(130)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def leave(code: int) -> None:
    """End the process without waiting for threads; what was committed is kept."""
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR)
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        results().flush()
    os._exit(code)


def stop(run: Run) -> bool:
    """Stop a run; False if it would not within STOP_S (its program is busy in Python)."""
    stopping = threading.Thread(target=run.stop, daemon=True)
    stopping.start()
    stopping.join(STOP_S)
    return not stopping.is_alive()
