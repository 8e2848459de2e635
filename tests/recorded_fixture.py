"""Runs as the terminal finds them: journaled, of a program in a file, on a scripted engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit import computer, finish

from nlpu.runtime.computer import Computer
from nlpu.runtime.loader import load
from nlpu.runtime.naming import described
from nlpu.runtime.terminal.show.archive import Record, find

DIGEST = '''
@nlop
def shorten(text: str) -> str:
    """Shorten the text."""


@nlop
def good(text: str) -> bool:
    """Is the text good?"""


@nlop
def polish(text: str, tone: str) -> str:
    """Polish the text."""


def go(topic: str, parts: int = 3):
    whole = shorten.reduce(shorten.map([f"{topic} {i}" for i in range(parts)]))
    return polish(whole, "warm") if good(whole) else polish(topic, "cold")
'''


def program(place: Path, body: str = DIGEST) -> str:
    """A program file; gives ``file.py:go``."""
    path = place / "digest.py"
    path.write_text("from nlpu import *\n" + body)
    return f"{path}:go"


def begun(machine: Computer, spec: str, *args: Any, **options: Any) -> Any:
    """The program started on this computer, with what a terminal writes into a header."""
    can = described(next(iter(machine.processors.values())).capabilities)
    header = {"program": spec, "engine": "scripted", "can": can}
    return machine.start(load(spec).function, *args, header=header, **options)


def recorded(place: Path, script: Any = None, *args: Any, body: str = DIGEST) -> Record:
    """A finished run of the program, read from its journal in ``place``/runs."""
    with computer(script, run_dir=place / "runs") as machine:
        run = finish(begun(machine, program(place, body), *(args or ("tides",))))
    return find(place / "runs", run.name)
