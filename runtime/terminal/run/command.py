"""``nlpu run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.run.machine import (
    Machine,
    can_of,
    carry,
    found,
    loaded_again,
    machine_of,
)
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run
    from nlpu.runtime.loader import Program
    from nlpu.runtime.scheduler.budget import Budget
    from nlpu.runtime.settings import Settings

_Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="FILE", help="Text for the next text parameter; - is stdin."),
]
_Durable = Annotated[bool, typer.Option("--durable", help="Survive a loss of power, too.")]
Changed = Annotated[
    bool,
    typer.Option("--changed", help="Reuse what is the same where program or model have changed."),
]


_From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="RUN", help="Run that run's program anew, reusing what has not changed."
    ),
]
_Dry = Annotated[
    bool, typer.Option("--dry", help="Forecast what it would take, from earlier runs; no call.")
]
_Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="WHAT=FILE",
        help="With --from: another result for the call at a position, or another text for an op.",
    ),
]
Trace = Annotated[
    bool, typer.Option("--trace", help="Print the steps to the result, too, of a program with any.")
]
_Vouch = Annotated[
    bool, typer.Option("--vouch", help="What --set gives is your own word; else it is untrusted.")
]


_Each = Annotated[
    str | None,
    typer.Option(
        "--each",
        metavar="INPUTS",
        help="One run for each: .jsonl or .csv (a column for each parameter), a folder, - (stdin).",
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="With --each: its results, in place of stdout."),
]
_AsTheyCome = Annotated[
    bool, typer.Option("--as-they-come", help="With --each: results as they end, not in order.")
]
_Retry = Annotated[
    str | None, typer.Option("--retry", metavar="failed", help="With --each: run those again.")
]
_Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="With --each and a database: so many processes."
    ),
]
_Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="With --workers: as Ray actors; auto, local, ..."
    ),
]


def run(
    program: Annotated[
        str | None,
        typer.Argument(metavar="PROGRAM", help="A program's name, file.py:function, or FILE.nl."),
    ] = None,
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGS]...", help="In order, or name=value; - is stdin."),
    ] = None,
    inputs: _Inputs = None,
    engine: o.Engine = None,
    model: o.Model = None,
    nlops: o.Nlops = None,
    calls: o.Calls = None,
    seconds: o.Seconds = None,
    run_dir: o.RunDir = None,
    durable: _Durable = False,
    origin: _From = None,
    sets: _Sets = None,
    vouch: _Vouch = False,
    file: o.File = None,
    dry: _Dry = False,
    price: o.Prices = None,
    system: o.System = None,
    convention: o.Layout = "",
    reliability: o.Share = None,
    steps: o.Steps = 1,
    abstain: o.Abstain = 0.0,
    table: o.Table = False,
    sheets: o.Sheets = None,
    trust: o.Trust = False,
    trace: Trace = False,
    each: _Each = None,
    out: _Out = None,
    at_once: o.AtOnce = None,
    as_they_come: _AsTheyCome = False,
    retry: _Retry = None,
    workers: _Workers = None,
    ray: _Ray = None,
    changed: Changed = False,
    as_json: o.Json = False,
) -> int:
    """Run a program: its result on stdout, progress and cost on stderr.

    With --each it is run once for each input, many at once: a line of JSON for each.
    """
    from nlpu.prompt.convention import of_version
    from nlpu.runtime.keywords import arranged
    from nlpu.runtime.loader import load
    from nlpu.runtime.terminal.arguments import bind
    from nlpu.runtime.terminal.inputs import Stdin, fill_words, read_texts, set_machine, set_store
    from nlpu.runtime.terminal.run.dry import kept

    lead_prints_to_stderr()
    now = o.settings(
        engine=engine,
        model=model,
        nlops=nlops,
        calls=calls,
        seconds=seconds,
        run_dir=run_dir,
        price=price,
        sheets=sheets,
        at_once=at_once,
    )
    budget, asked = o.budget_of(now), o.reliability_of(reliability, steps, abstain, table)
    of_version(convention)  # before anything is loaded
    of_many = {
        "--out": out,
        "--at-once": at_once,
        "--as-they-come": as_they_come,
        "--retry": retry,
        "--workers": workers,
        "--ray": ray,
        "--changed": changed,
    }
    _check_each(
        each,
        of_many,
        {
            "--from": origin,
            "--dry": dry,
            "--trace": trace,
        },
    )
    if origin is not None:
        _only_edits(program, args, inputs, dry, asked)
        _check_vouch(vouch, sets)
        given = Machine(
            engine,
            model,
            now.run_dir,
            durable,
            o.price_of(now) if price else None,
            (),
            system,
            convention,
        )
        return _rerun(origin, sets or [], given, budget, as_json, trust, vouch, file, trace)
    _check_vouch(vouch, None)
    machine = Machine(
        now.engine,
        now.model,
        now.run_dir,
        durable,
        o.price_of(now),
        (),
        system,
        convention,
        now.sheets,
    )
    loaded, stdin = load(_named(program, sets, trust, file)), Stdin()
    stdin.taken = each == "-"
    words, named = fill_words(args or [], stdin)
    texts = read_texts(inputs or [], stdin)
    if each is not None:
        from nlpu.runtime.terminal.run.each import Asked, run_each
        from nlpu.runtime.terminal.run.each_program import EachProgram

        program_of = EachProgram(loaded, words, named, texts, stdin.beside, _told(now))
        many = Asked(
            each,
            out,
            now.at_once or 0,
            as_they_come,
            retry is not None,
            changed,
            asked,
            workers or 0,
            ray,
        )
        return run_each(loaded, program_of, many, machine, budget, as_json)
    bound = bind(loaded, words, texts, named=named, opened=stdin.beside)
    set_store(loaded.function, bound, now.store)
    set_machine(
        loaded.function,
        bound,
        engine=now.engine,
        model=now.model,
        run_dir=str(now.run_dir) if isinstance(now.run_dir, Path) else "",
    )
    if dry:
        return _forecast(loaded, bound, machine, budget, as_json, asked)
    positional, by_name = arranged(loaded.function, *bound)
    header = {
        **_named_by(loaded),
        "reads": "--input" if inputs or stdin.taken or stdin.files else "",
        **machine.facts(),
        "forecast": kept(machine, _forecast_of(loaded, asked), bound),
    }

    def begin(computer: Computer, stream: bool) -> Run:
        return computer.start(
            loaded.function,
            *positional,
            **by_name,
            budget=budget,
            header={**header, "can": can_of(computer)},
            stream=stream,
            reliability=asked,
        )

    foretold = header["forecast"]
    return carry(
        loaded, begin, machine, as_json, seconds=budget.seconds, foretold=foretold, traces=trace
    )


def _told(now: Settings) -> dict[str, tuple[str, str]]:
    """What programs are told of the machine: by parameter its built-in default, and what it is."""
    facts = {"engine": now.engine, "model": now.model or "", "run_dir": str(now.run_dir)}
    told = {name: ("", content) for name, content in facts.items()}
    return told | {"store": (str(type(now)().store), str(now.store))}


def _named_by(loaded: Program) -> dict[str, Any]:
    """What a header says of a program's file, for those who load it again."""
    return {"program": loaded.spec, "file": loaded.digest}


def _rerun(
    name: str,
    sets: list[str],
    given: Machine,
    budget: Budget,
    as_json: bool,
    trust: bool,
    vouched: bool,
    file: str | None,
    trace: bool,
) -> int:
    """A new run from an old one, as it was ``given`` now: only what depends on edits is made."""
    from nlpu.runtime.terminal.eval.outcome import facts_in
    from nlpu.runtime.terminal.run.rerun import edits_of
    from nlpu.runtime.terminal.run.trust import admit
    from nlpu.runtime.terminal.show.archive import EVALUATION

    record = found(given.run_dir, name, file=file)
    files = admit(record, trust=trust, names_engine=given.engine is not None)
    loaded = loaded_again(record, files)
    args, kwargs = record.arguments(loaded.function)
    edits = edits_of(record, sets, vouched=vouched)
    machine = machine_of(record, given)
    header = {**_named_by(loaded), **machine.facts()}
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
            budget=budget,
            header=header,
            stream=stream,
        )

    return carry(loaded, begin, machine, as_json, seconds=budget.seconds, traces=trace)


# -- checks ----------------------------------------------------------------------------------


def _forecast_of(loaded: Program, asked: Any) -> str:
    """What a forecast is of."""
    return loaded.spec if asked is None else f"{loaded.spec} {asked!r}"


def _forecast(
    loaded: Program, bound: Any, machine: Machine, budget: Budget, as_json: bool, asked: Any
) -> int:
    """``--dry``: say what the run would take, and make no call."""
    from nlpu.runtime.terminal.output import write_json
    from nlpu.runtime.terminal.run import dry as forecasting

    made = forecasting.made(loaded.function, bound, machine, budget, asked)
    forecasting.keep(machine, _forecast_of(loaded, asked), bound, made)
    if as_json:
        write_json(made.model_dump(mode="json"))
    else:
        forecasting.tell(made)
    return 0


def _only_edits(
    program: str | None, args: list[str] | None, inputs: list[str] | None, dry: bool, asked: Any
) -> None:
    from nlpu.errors import Usage

    if program or args or inputs or asked:
        raise Usage(
            "--from takes program, arguments and --reliability from the run; leave them out"
        )
    if dry:
        raise Usage("--dry forecasts a program from its start; leave --from out")


def _check_each(each: str | None, of_many: dict[str, Any], of_one: dict[str, Any]) -> None:
    from nlpu.errors import Usage

    given = [name for name, content in of_many.items() if content not in (None, False)]
    if each is None and given:
        raise Usage(f"{given[0]} goes with --each INPUTS, which runs a program once for each")
    odd = [name for name, content in of_one.items() if content not in (None, False)]
    if each is not None and odd:
        raise Usage(f"{odd[0]} is about one run; leave it out, or --each")
    if of_many["--retry"] not in (None, "failed"):
        raise Usage("--retry takes 'failed': the inputs whose run failed are run again")


def _check_vouch(vouch: bool, sets: list[str] | None) -> None:
    from nlpu.errors import Usage

    if vouch and not sets:
        raise Usage("--vouch is about --set: name what differs, with --from RUN --set WHAT=FILE")


def _named(program: str | None, sets: list[str] | None, trust: bool, file: str | None) -> str:
    from nlpu.errors import Usage

    if program is None:
        from nlpu.runtime.loader import available

        raise Usage(
            f"name a PROGRAM to run: {', '.join(available())}, or one in a file: "
            "my_file.py:function (see: nlpu run --help); or --from RUN"
        )
    if sets:
        raise Usage("--set changes a run: name it with --from RUN")
    if file is not None:
        raise Usage("--file is about a run: name it with --from RUN")
    if trust:
        raise Usage("--trust is about a journal: name its run with --from RUN")
    return program
