"""What a command is doing, on the terminal, until it has something to say.

Imports nothing of the project: it is the first thing that a process does. A person sees within a
moment that the command runs, and then what it waits for; the words vanish with the first text that
is written.

Rules
1. Only on a terminal that can erase a line. A pipe or a log gets nothing.
2. Once anything was written, there are no more notices: none can erase a line of a result.
3. What a child process writes does not erase them and comes behind.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TextIO

ERASE = b"\r\x1b[K"
_on: list[TextIO] = []  # streams whose first text erases the notice that is shown


def begin(args: list[str]) -> None:
    """Say which command it is, unless all that it does is to print at once."""
    words = [word for word in args[:2] if word.isprintable() and not word.startswith("-")]
    at_once = not words or {"-h", "--help", "--version"} & set(args)
    if not at_once and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        _show(f"nlpu {' '.join(words)}: loading ...")


def notice(text: str) -> None:
    """Say what it is doing now, in place of the notice that is shown."""
    if _on:
        clear()
        _show(text)


def clear() -> None:
    """Erase the notice that is shown, if one is."""
    if _on:
        for stream in _on:
            vars(stream).pop("write", None)
        _on.clear()
        os.write(sys.stderr.fileno(), ERASE)  # a signal may have come amid a write of Python's


def _show(text: str) -> None:
    try:
        room = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):  # it is none
        return
    sys.stderr.write(text[: max(0, room - 1)])  # a longer one could not be erased
    sys.stderr.flush()
    for stream in {sys.stderr, sys.stdout, sys.__stdout__ or sys.stdout}:
        if stream.isatty():
            vars(stream)["write"] = partial(_first, stream)
            _on.append(stream)


def _first(stream: TextIO, text: str) -> int:
    clear()
    return stream.write(text)
