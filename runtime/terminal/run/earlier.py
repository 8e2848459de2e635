"""The computer that a command runs on, and what is carried out there: runs anew and again.

A run's header says what it ran on, so that it can go on there; what a command names now counts
before that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import Usage
from nlpu.runtime.settings import api_key

if TYPE_CHECKING:
    from nlpu.processor import Price
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.loader import Program
    from nlpu.runtime.terminal.show.archive import Record
    from nlpu.runtime.voice import Voice


@dataclass(frozen=True, slots=True)
class Machine:
    """The computer to run on.

    models: where there are several, the names of its processors. system, convention: as asked for;
    runs that go on keep their own, and a computer refuses to give them others.
    """

    engine: Any
    model: str | None
    run_dir: Place
    durable: bool = False
    price: Price | None = None
    models: tuple[str, ...] = ()
    system: str | None = None
    convention: str = ""
    sheets: Path | None = None

    def engines(self) -> Any:
        """What a computer is given: the engine, or of several models one for each by name."""
        from nlpu.engines import named_engine

        named = {name: named_engine(self.engine, name, api_key()) for name in self.models}
        return named or self.engine

    def voice(self) -> Voice:
        """The system text and the convention that were asked for. Raises Usage."""
        from nlpu.prompt.convention import of_version
        from nlpu.runtime.voice import Voice

        return Voice(self.system, of_version(self.convention) if self.convention else None)

    def prices(self) -> dict[str, Price] | None:
        """The price of each of its processors."""
        names = self.models or ("main",)
        return None if self.price is None else dict.fromkeys(names, self.price)

    def facts(self) -> dict[str, Any]:
        """What a run's header keeps of it, for those who start the run again."""
        price = None if self.price is None else asdict(self.price)
        return {
            "engine": self.engine,
            "model": self.model,
            "durable": self.durable,
            "price": price,
        }


def machine_of(record: Record, given: Machine) -> Machine:
    """The computer of an earlier run, but for what is given now."""
    from nlpu.processor import Price

    header = record.past.header
    engine, model = processor_of(record, given.engine, given.model)
    price = given.price or (header.get("price") and Price(**header["price"]))
    durable = given.durable or bool(header.get("durable"))
    given.voice().check(record.name, header)  # before a computer is opened
    models = tuple(header.get("eval", {}).get("models", ()))
    if models and given.model is not None:
        raise Usage(f"the run {record.name} has models of its own: {', '.join(models)}")
    return Machine(
        engine,
        model,
        given.run_dir,
        durable,
        price,
        models,
        given.system,
        given.convention,
        given.sheets,
    )


def carry(
    loaded: Program,
    begin: Any,
    machine: Machine,
    as_json: bool,
    *,
    again: list[str] | None = None,
    is_replay: bool = False,
    seconds: float | None = None,
    foretold: Any = None,
    name: str | None = None,
    partial: Any = None,
    ended: Any = None,
    traces: bool = False,
) -> int:
    """Carry out what ``begin`` starts on the machine; gives the exit code."""
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.terminal.download import have_model
    from nlpu.runtime.terminal.run.execute import Job, carry_out
    from nlpu.runtime.terminal.run.person import person

    for model in machine.models or (machine.model,):
        if not is_replay:
            have_model(machine.engine, model)
    asked, voice = None if is_replay else person(), machine.voice()
    computer = Computer(
        machine.engines(),
        model=machine.model,
        api_key=api_key(),
        store=machine.run_dir,
        durable=machine.durable,
        prices=machine.prices(),
        person=asked,
        system=voice.system,
        convention=voice.convention,
        sheets=machine.sheets,
    )
    job = Job(
        computer,
        begin,
        machine.run_dir,
        machine.model,
        tuple(again or ()),
        shows=loaded.streams and not is_replay,
        as_json=as_json,
        follows=machine.engine == "local" and not is_replay,  # a replay generates nothing
        replay=is_replay,
        seconds=seconds,
        forecast=foretold,
        name=name,
        person=asked,
        partial=partial,
        ended=ended,
        traces=traces,
    )
    return carry_out(job)


def found(run_dir: Place, name: str, replays: bool = False, file: str | None = None) -> Record:
    """A journaled run, with its program in ``file``. Raises Usage, for a session, too, but for a
    replay."""
    from nlpu.runtime.terminal.show.archive import SESSION, find

    record = find(run_dir, name).moved(file)
    if record.program == SESSION and not replays:
        raise Usage(f"{record.name} is a session; to go on with it: {record.resumption}")
    return record


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


def processor_of(record: Record, engine: str | None, model: str | None) -> tuple[str, str | None]:
    """The engine and model asked for, else those of the run. Raises Usage."""

    header = record.past.header
    if engine is None and "engine" not in header:
        raise Usage(
            f"the run {record.name} was started from Python, on an engine without a name: give "
            "--engine (and --model), or resume it there with Computer.resume"
        )
    known = None if engine is not None else header.get("model")
    return engine or header["engine"], model or known


def can_of(computer: Computer) -> dict[str, Any]:
    """What the default processor can, as a header keeps it."""
    from nlpu.runtime.naming import described

    return described(next(iter(computer.processors.values())).capabilities)


def again_of(engine: str | None, model: str | None) -> list[str]:
    """Options of this resume that the next one needs, too."""
    words = ["--engine", engine] if engine is not None else []
    return words + (["--model", model] if model is not None else [])
