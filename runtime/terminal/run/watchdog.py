"""A process beside this one, for when C code keeps Python from answering: it ends it, and tells.

Theory of operation
-------------------
A regular expression that backtracks, or a large step of a numeric library, holds the interpreter's
lock: no thread of Python runs, so neither Ctrl-C nor a deadline is answered. What still works is
the kernel, and the C half of Python's signal handlers, which writes each signal's number into a
pipe (``signal.set_wakeup_fd``). The pipe's other end is here: this file is its own program, too, a
small Python that imports nothing of the project.

    a second SIGINT    the kernel ends the process, as the first has set the default again; where
                       the system does not do that without Python, it is killed
    the deadline       SIGQUIT, which ends it with that number, 3, as exit code; or it is killed

Rules
1. Who can answer answers: nothing is done from here before the process has had its time to. One
   that is stopped (Ctrl-Z) has it when it goes on.
2. Who ended without taking leave, and was interrupted or overdue, is told of from here.
3. Where there can be no watchdog all is as without one.
4. What is to be told, and the time, come through the pipe, too, before a program gets to run: in
   one piece, between two bytes that are no signal's number.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Self

GRACE_S = 1.0
_GOES_ON_S = 5.0  # to answer in, of who goes on after it was stopped
SHOW_CURSOR = b"\x1b[?25h"
_OPENS, _CLOSES = b"\xfe", b"\xff"
_LOOK_S = (
    0.5  # at whether the process is there, as children may hold its end of the pipe; or stopped
)


class Watchdog:
    """While entered, on the main thread, this process is watched.

    has_deadline: whether it may be overdue; then SIGQUIT ends it with 3.
    """

    def __init__(self, has_deadline: bool) -> None:
        self._has_deadline = has_deadline
        self._child: Any = None

    def __enter__(self) -> Self:
        import subprocess

        if threading.current_thread() is not threading.main_thread():
            return self
        its, self._pipe = os.pipe()
        try:
            command = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
            self._child = subprocess.Popen(command, stdin=its, start_new_session=True)
        except OSError:  # rule 3
            os.close(self._pipe)
            return self
        finally:
            os.close(its)
        os.set_blocking(self._pipe, False)
        self._before = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        self._quit = signal.getsignal(signal.SIGQUIT)
        if self._has_deadline:
            _exit_on(signal.SIGQUIT)
        return self

    def begins(self, overdue_s: float | None, texts: Mapping[str, tuple[str, str]]) -> None:
        """A program is about to begin, or has ended: then nothing is due (rule 4). From any thread.

        overdue_s: in how many seconds the process is overdue. texts: what is told of an "overdue"
        or "interrupted" process, for stdout and for stderr.
        """
        said = json.dumps([overdue_s, texts]).encode()
        if self._child is not None and len(said) < select.PIPE_BUF - 2:
            with suppress(OSError):
                os.write(self._pipe, _OPENS + said + _CLOSES)

    def __exit__(self, *_: object) -> None:
        if self._child is None:
            return
        self._child.kill()  # nothing is left to it: what there is to tell we tell
        self._child.wait()
        signal.set_wakeup_fd(self._before)
        os.close(self._pipe)
        signal.signal(signal.SIGQUIT, self._quit or signal.SIG_DFL)


def once(number: int) -> Callable[[], object]:
    """Give the step by which the kernel sets a signal's default when its handler is called next.

    It is one call of the C library: a signal that came while another handler stood there, if only
    for a moment, would be lost. And it can be done again when the handler has been called, whom
    Python still knows: ``signal.signal`` would let it stand for good if C code kept Python from
    going on just then.
    """
    with suppress(ImportError, OSError, AttributeError):  # rule 3
        import ctypes

        handler = ctypes.pythonapi.PyOS_getsig
        handler.argtypes, handler.restype = (ctypes.c_int,), ctypes.c_void_p
        return partial(_libc().sysv_signal, number, handler(number))
    return lambda: None


def _exit_on(number: int) -> None:
    """Let the C library end the process on a signal, with its number as exit code."""
    import ctypes

    with suppress(ImportError, OSError, AttributeError):
        libc = _libc()
        libc.signal(number, ctypes.cast(libc._exit, ctypes.c_void_p))


def _libc() -> Any:
    import ctypes  # some Pythons have none

    libc = ctypes.CDLL(None)
    for function in (libc.signal, libc.sysv_signal):
        function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    return libc


# -- the process beside ----------------------------------------------------------------------------


class Watched:
    """A process that is watched: what came through the pipe of it, and when it has to end."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._quit_s = self._kill_s = self._look_s = inf
        self._pressed, self._why = 0, ""
        self._texts = {"interrupted": ("", "interrupted\n")}

    def due_s(self) -> float:
        """When something is to be done to it."""
        return min(self._quit_s, self._kill_s, self._look_s)

    def hear(self, came: bytes, now_s: float) -> None:
        """Take in what came through the pipe."""
        for part in came.split(_OPENS):
            said, closes, signals = part.rpartition(_CLOSES)
            self._pressed += signals.count(signal.SIGINT)
            if closes:
                overdue_s, self._texts = json.loads(said)
                self._quit_s = inf if overdue_s is None else now_s + overdue_s
        if self._pressed > 1:
            self._kill_s = min(self._kill_s, now_s + GRACE_S)  # rule 1

    def end(self, now_s: float) -> None:
        """End it, if that is due."""
        if now_s < self.due_s():
            return
        self._look_s = inf
        if _is_stopped(self._process):
            self._look_s, later_s = now_s + _LOOK_S, now_s + _GOES_ON_S
            self._quit_s, self._kill_s = max(self._quit_s, later_s), max(self._kill_s, later_s)
        if now_s < min(self._quit_s, self._kill_s):
            return
        if now_s >= self._quit_s:
            self._why = "overdue"
        number = signal.SIGKILL if now_s >= self._kill_s else signal.SIGQUIT
        self._quit_s, self._kill_s = inf, now_s + GRACE_S
        with suppress(ProcessLookupError):
            os.kill(self._process, number)

    def tell(self) -> None:
        """Tell how it ended, if it could not (rule 2)."""
        why = self._why or ("interrupted" if self._pressed else "")
        if why and os.isatty(2):
            os.write(2, SHOW_CURSOR)
        for number, text in enumerate(self._texts.get(why, ()), 1):
            with suppress(OSError):  # nobody may be listening any more
                os.write(number, text.encode(errors="backslashreplace"))


def main(process: int) -> None:
    """Watch the process until it has ended."""
    watched, ended, heard = Watched(process), list[int](), [0]
    with suppress(
        AttributeError, OSError
    ):  # where the system has it, its end is no matter of looks
        ended.append(os.pidfd_open(process))
    while (there := os.getppid() == process) or 0 in heard:  # what came before its end is read
        now_s = time.monotonic()
        watched.end(now_s if there else -inf)  # nothing is due to another of its number
        wait_s = min(watched.due_s() - now_s, _LOOK_S)
        heard = select.select([0, *ended], [], [], max(0.0, wait_s))[0]
        if 0 in heard:
            came = os.read(0, 2 * select.PIPE_BUF)
            if not came:  # its end is closed: it has ended
                break
            watched.hear(came, time.monotonic())
    watched.tell()


def _is_stopped(process: int) -> bool:
    """Whether a signal or a debugger holds it; False where the system does not say."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(int(sys.argv[1]))
