"""What a command has carried out: a program, how it begins, and what is told of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import BudgetExceeded, ModelError, ProgramError, Stopped, root_of
from nlpu.runtime.settings import Settings

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.loader import Program
    from nlpu.runtime.terminal.run.machine import Machine


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be carried out.

    begin: starts the run on the computer; the second says whether its text is followed.
    again: options that the resume command has to repeat.
    name: the run that is gone on with, where it is not a new one.
    seconds: the deadline, for a program that keeps the scheduler from seeing it.
    forecast: what a dry run said that it would take.
    partial: what a run that ended without a result can tell all the same. ended: told of its end.
    traces: what led to the result is printed with it, where a program tells it.
    """

    program: Program
    begin: Callable[[Computer, bool], Run]
    machine: Machine
    as_json: bool = False
    replay: bool = False
    traces: bool = False
    again: tuple[str, ...] = ()
    name: str | None = None
    seconds: float | None = None
    forecast: Any = None
    partial: Callable[[Run], Any] | None = None
    ended: Callable[[Run], None] | None = None

    @property
    def shows(self) -> bool:
        """Whether the result is the text of one call, and shown as it is written."""
        return self.program.streams and not self.replay and not self.as_json

    @property
    def follows(self) -> bool:
        """Whether the engine's pieces are counted, for a live rate: they cost a server's client
        time, and a replay generates nothing."""
        return self.machine.engine == "local" and not self.replay

    def resumption(self, name: str, error: BaseException) -> str:
        """The command that goes on with the run, and what to change for it to get further."""
        words = ["nlpu", "resume", name, *self.again, *place_words(self.machine.run_dir)]
        root = root_of(error)
        lasts = isinstance(root, ProgramError | ModelError) and not isinstance(root, Stopped)
        if lasts:  # as it is, it would end in the same way
            words.append("--changed")
        more = " once that is corrected" if lasts else larger(error)
        words += [more.split()[-1], "N"] if "--" in more else []
        return f"to resume it{more}: {shlex.join(words)}"


def larger(error: BaseException) -> str:
    """What to give more of, for a run or a batch to get further; "" where that is not why."""
    if not isinstance(error, BudgetExceeded):
        return ""
    of = re.match(r"the budget of \S+ (\w+) ", str(error))
    return f" with a larger --{of[1]}" if of else " with a larger budget"


def place_words(run_dir: Place) -> list[str]:
    """Options by which a command finds the runs that are there."""
    if run_dir == Settings().run_dir:
        return []
    return ["--run-dir" if isinstance(run_dir, Path) else "--store", str(run_dir)]
