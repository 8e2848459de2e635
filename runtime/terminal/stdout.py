"""The standard streams, and which of them results go to.

Imports nothing of the project: ``nlpu --help`` loads it.

What a program prints by itself goes to stderr, so that stdout is its result and nothing else. A
child process that a program starts has the real stdout all the same.

A command with --json owes stdout one object, however it ends: ``owes_json`` says whether it still
does, and ``failure`` is that object where there is no run to tell of.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

_kept: list[TextIO] = []  # stdout, once programs' own prints are led to stderr
_paid: list[bool] = []  # not empty once the object of --json is written


def open_closed() -> None:
    """Open a standard stream that is closed on /dev/null: the first thing a process does.

    Else the next file that is opened, a journal perhaps, would have its number, and what is meant
    for the stream would be written into it. A shell that was started so has done that already,
    with its script: what cannot be read, or written to, counts as closed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _serves(number):
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # children of programs expect it, too
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _serves(number: int) -> bool:
    """Whether a stream is open for what it is there for."""
    try:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        return False
    return mode != (os.O_RDONLY if number else os.O_WRONLY)


def lead_prints_to_stderr() -> None:
    """From here on ``print`` writes to stderr: how commands that run programs begin."""
    if sys.stdout is not sys.stderr:
        _kept[:] = [sys.stdout]
        sys.stdout = sys.stderr


def results() -> TextIO:
    """Where results go: the stdout the command was started with."""
    return _kept[0] if _kept and sys.stdout is sys.stderr else sys.stdout


def lead_back() -> None:
    """Undo it, for a process that carries out another command."""
    _paid.clear()
    if sys.stdout is sys.stderr and _kept:
        sys.stdout = _kept.pop()


def paid_json() -> None:
    """The object of --json is being written."""
    _paid[:] = [True]


def is_paid() -> bool:
    """Whether the object of --json has been written."""
    return bool(_paid)


def owes_json(args: Sequence[str]) -> bool:
    """Whether the command line asks for an object that has not been written yet."""
    before = args[: args.index("--")] if "--" in args else args
    return "--json" in before and not _paid


def failure(
    kind: str, message: str, run_id: str | None = None, status: str = "failed"
) -> dict[str, Any]:
    """The outcome of a command that failed before it had a run to tell of."""
    message = message.encode(errors="backslashreplace").decode()  # a file's name may be no text
    error = {"type": kind, "message": message}
    return {"run_id": run_id, "status": status, "result": None, "receipt": None, "error": error}
