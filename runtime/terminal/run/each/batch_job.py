"""What a command with ``--each`` has carried out: one value, handed down whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nlpu.reliability import promised

if TYPE_CHECKING:
    from nlpu.reliability import Reliability
    from nlpu.runtime.loader import Program
    from nlpu.runtime.scheduler.budget import Budget
    from nlpu.runtime.terminal.run.each.program import EachProgram
    from nlpu.runtime.terminal.run.machine import Machine


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a batch."""

    inputs: str
    out: Path | None = None
    at_once: int = 0
    as_they_come: bool = False
    retry: bool = False
    changed: bool = False
    reliability: Reliability | None = None  # of each run
    workers: int = 0  # processes that carry it out; 0: this one
    ray: str | None = None  # where Ray is that places them
    whole: IO[bytes] | None = None  # what stdin held, where it is read to its end

    @property
    def source(self) -> str:
        """What errors call the inputs."""
        return "stdin" if self.inputs == "-" else self.inputs


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What is to be carried out. inputs: what each input is to the program."""

    program: Program
    inputs: EachProgram
    asked: Asked
    machine: Machine
    budget: Budget
    as_json: bool = False

    def facts(self) -> dict[str, Any]:
        """Describe it, for the headers of its runs."""
        return {
            "program": self.program.spec,
            "file": self.program.digest,
            "reads": "--each",
            **self.machine.facts(),
            **promised(self.asked.reliability, ()),
        }
