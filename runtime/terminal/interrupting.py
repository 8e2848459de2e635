"""Ctrl-C: the first stops the run, the second ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

from runtime.handle import Run
from runtime.terminal.stdout import results

STOP_S = 2.0  # a run that has not stopped by then is left to its journal
_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """While entered, the first SIGINT raises KeyboardInterrupt and the second exits with 130."""

    def __init__(self) -> None:
        self._before: Any = None
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.signal(signal.SIGINT, _first)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _second)
    raise KeyboardInterrupt


def _second(number: int, frame: FrameType | None) -> None:
    leave(130)


def leave(code: int) -> None:
    """End the process without waiting for threads; what was committed is kept."""
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR.encode())
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        results().flush()
    os._exit(code)


def stop(run: Run) -> bool:
    """Stop a run; False if it would not within STOP_S (its program is busy in Python)."""
    stopping = threading.Thread(target=run.stop, daemon=True)
    stopping.start()
    stopping.join(STOP_S)
    return not stopping.is_alive()
