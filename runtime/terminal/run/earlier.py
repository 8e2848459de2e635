"""Runs that there are, to be started again: found by name, their programs loaded, their machines.

A run's header says what it ran on, so that it can go on there; what a command names now counts
before that.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nlpu.errors import Usage
from nlpu.runtime.terminal.run.machine import Machine

if TYPE_CHECKING:
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.loader import Program
    from nlpu.runtime.terminal.show.archive import Record


def found(run_dir: Place, name: str, replays: bool = False, file: str | None = None) -> Record:
    """A journaled run, with its program in ``file``. Raises Usage, for a session, too, but for a
    replay."""
    from nlpu.runtime.terminal.show.archive import SESSION, find

    record = find(run_dir, name).moved(file)
    if record.program == SESSION and not replays:
        raise Usage(f"{record.name} is a session; to go on with it: {record.resumption}")
    return record


def machine_of(record: Record, given: Machine) -> Machine:
    """The computer of an earlier run, but for what is given now. Raises Usage."""
    from nlpu.processor import Price

    header = record.past.header
    if given.engine is None and "engine" not in header:
        raise Usage(
            f"the run {record.name} was started from Python, on an engine without a name: give "
            "--engine (and --model), or resume it there with Computer.resume"
        )
    given.voice().check(record.name, header)  # before a computer is opened
    models = tuple(header.get("eval", {}).get("models", ()))
    if models and given.model is not None:
        raise Usage(f"the run {record.name} has models of its own: {', '.join(models)}")
    return replace(
        given,
        engine=given.engine or header["engine"],
        model=given.model or (None if given.engine is not None else header.get("model")),
        durable=given.durable or bool(header.get("durable")),
        price=given.price or (header.get("price") and Price(**header["price"])),
        models=models,
    )


def loaded_again(record: Record, files: dict[Path, str]) -> Program:
    """Load the program of a run that was admitted with these files. Raises Usage."""
    from nlpu.runtime.loader import file_of, load
    from nlpu.runtime.terminal.show.archive import EVALUATION, SESSION

    if record.program == EVALUATION:
        from nlpu.runtime.terminal.eval.outcome import evaluation_of

        return evaluation_of(record, files)
    if record.program == SESSION:
        from nlpu.runtime.terminal.repl.session import (
            session_program,  # the REPL, for its runs alone
        )

        return session_program()
    if record.unnamed:
        raise Usage(
            f"the run {record.name} was started from Python, which alone has its program: "
            f"{record.unnamed}. Go on there with computer.resume({record.name!r}, {record.title}); "
            "a function of a file is found again by name, as is one that was put there since: "
            "--file FILE.py:FUNCTION"
        )
    try:
        return load(record.program, only="".join(files.values()))  # a run has one
    except Usage as error:
        moved = file_of(record.program)
        how = "; where is it now? --file FILE" if moved and not moved.exists() else ""
        raise Usage(f"the program of run {record.name} cannot be found: {error}{how}") from error


def again_of(engine: str | None, model: str | None) -> tuple[str, ...]:
    """Options of this resume that the next one needs, too."""
    words = ("--engine", engine) if engine is not None else ()
    return words + (("--model", model) if model is not None else ())
