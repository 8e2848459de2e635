"""``nlpu run --from RUN --set WHAT=FILE``: a new run from an old one; only what differs is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpu.errors import Usage
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.terminal.eval.outcome import facts_in
from nlpu.runtime.terminal.inputs import Stdin, read_file
from nlpu.runtime.terminal.run.earlier import found, loaded_again, machine_of
from nlpu.runtime.terminal.run.execute import carry_out
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.machine import Machine
from nlpu.runtime.terminal.run.trust import admit
from nlpu.runtime.terminal.show.archive import EVALUATION, Record


@dataclass(frozen=True, slots=True)
class Rerun:
    """What the command line says of such a run.

    machine: as it is given now; where it says nothing, the old run's counts.
    sets: what differs. vouched: its texts are the user's own word.
    """

    origin: str
    machine: Machine
    budget: Budget
    sets: Sequence[str] = ()
    vouched: bool = False
    file: str | None = None
    trust: bool = False
    traces: bool = False
    as_json: bool = False


def rerun(asked: Rerun) -> int:
    """Carry it out; gives the exit code. Raises Usage."""
    given = asked.machine
    record = found(given.run_dir, asked.origin, file=asked.file)
    files = admit(record, trust=asked.trust, names_engine=given.engine is not None)
    loaded = loaded_again(record, files)
    args, kwargs = record.arguments(loaded.function)
    edits = edits_of(record, asked.sets, vouched=asked.vouched)
    machine = machine_of(record, given)
    header: dict[str, Any] = {**loaded.facts(), **machine.facts()}
    if given.engine is None and given.model is None:  # the same processor can do the same
        header["can"] = record.past.header.get("can")
    if record.program == EVALUATION:
        header["eval"] = facts_in(record) | {"cache": "", "cans": {}}

    def begin(computer: Computer, stream: bool) -> Run:
        return computer.rerun(
            record.name,
            loaded.function,
            *args,
            **kwargs,
            edits=edits,
            budget=asked.budget,
            header=header,
            stream=stream,
        )

    seconds = asked.budget.seconds
    return carry_out(
        Job(loaded, begin, machine, asked.as_json, traces=asked.traces, seconds=seconds)
    )


def edits_of(record: Record, sets: Sequence[str], *, vouched: bool = False) -> Edits:
    """The edits of ``WHAT=FILE`` words: WHAT is the position of a call or an op's name.

    A final line end is the editor's and no part of a result. Texts of files and of stdin are
    nobody's word, as those of ``--input``, unless they are ``vouched`` for. Raises Usage.
    """
    results: dict[str, str] = {}
    ops: dict[str, str] = {}
    stdin = Stdin()
    for word in sets:
        what, sign, file = word.partition("=")
        if not (what and sign and file):
            raise Usage(f"--set takes POSITION=FILE or OP=FILE, not {word!r}")
        if what in results or what in ops:
            raise Usage(f"--set {what} is given twice")
        is_result = what in record.past.calls
        text = stdin.text() if file == "-" else read_file(Path(file), may_be_empty=is_result)
        if is_result:
            results[what] = text.removesuffix("\n").removesuffix("\r")
        else:  # what fits neither is told by the computer, which knows both kinds
            (results if "/" in what else ops)[what] = text.strip()
    return Edits(results, ops, frozenset() if vouched else frozenset([*results, *ops]))
