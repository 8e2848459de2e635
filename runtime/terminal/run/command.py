"""``nlpu run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.output import write_json
from nlpu.runtime.terminal.run.conflicts import check_together
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.machine import Machine, can_of
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run
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
    tokens: o.Tokens = None,
    money: o.Money = None,
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
    options = locals().copy()
    from nlpu.prompt.convention import of_version
    from nlpu.runtime.keywords import arranged
    from nlpu.runtime.loader import load
    from nlpu.runtime.terminal.arguments import bind
    from nlpu.runtime.terminal.inputs import Stdin, fill_words, read_texts, set_machine, set_store
    from nlpu.runtime.terminal.run.dry import keep, kept, made, tell
    from nlpu.runtime.terminal.run.execute import carry_out

    lead_prints_to_stderr()
    now = o.settings_in(options)
    budget, asked = o.budget_of(now), o.reliability_of(reliability, steps, abstain, table)
    of_version(convention)  # before anything is loaded
    check_together({**options, "reliability": asked})
    machine = Machine(
        now.engine,
        now.model,
        now.run_dir,
        durable,
        o.price_of(now),
        system=system,
        convention=convention,
        sheets=now.sheets,
    )
    if origin is not None:
        from nlpu.runtime.terminal.run.rerun import Rerun, rerun

        worth = machine.price if price else None  # what is not given now is as the run has it
        given = replace(machine, engine=engine, model=model, price=worth, sheets=None)
        edited = Rerun(
            origin,
            given,
            budget,
            sets=sets or (),
            vouched=vouch,
            file=file,
            trust=trust,
            traces=trace,
            as_json=as_json,
        )
        return rerun(edited)
    assert program is not None  # ``check_together``
    loaded, stdin = load(program), Stdin()
    stdin.taken = each == "-"
    words, named = fill_words(args or [], stdin)
    texts = read_texts(inputs or [], stdin)
    if each is not None:
        from nlpu.runtime.terminal.run.each.batch_job import Asked, BatchJob
        from nlpu.runtime.terminal.run.each.batches import run_each
        from nlpu.runtime.terminal.run.each.program import EachProgram

        program_of = EachProgram(loaded, words, named, texts, stdin.beside, machine=_told(now))
        many = Asked(
            each,
            out,
            at_once=now.at_once or 0,
            as_they_come=as_they_come,
            retry=retry is not None,
            changed=changed,
            reliability=asked,
            workers=workers or 0,
            ray=ray,
        )
        return run_each(BatchJob(loaded, program_of, many, machine, budget, as_json=as_json))
    bound = bind(loaded, words, texts, named=named, opened=stdin.beside)
    set_store(loaded.function, bound, now.store)
    set_machine(
        loaded.function,
        bound,
        engine=now.engine,
        model=now.model,
        run_dir=str(now.run_dir) if isinstance(now.run_dir, Path) else "",
    )
    spec = loaded.spec if asked is None else f"{loaded.spec} {asked!r}"  # what a forecast is of
    if dry:
        forecast = made(loaded.function, bound, machine, budget, asked)
        keep(machine, spec, bound, forecast)
        if as_json:
            write_json(forecast.model_dump(mode="json"))
        else:
            tell(forecast)
        return 0
    positional, by_name = arranged(loaded.function, *bound)
    header = {
        **loaded.facts(),
        "reads": "--input" if inputs or stdin.taken or stdin.files else "",
        **machine.facts(),
        "forecast": kept(machine, spec, bound),
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

    job = Job(
        loaded,
        begin,
        machine,
        as_json,
        traces=trace,
        seconds=budget.seconds,
        forecast=header["forecast"],
    )
    return carry_out(job)


def _told(now: Settings) -> dict[str, tuple[str, str]]:
    """What programs are told of the machine: by parameter its built-in default, and what it is."""
    facts = {"engine": now.engine, "model": now.model or "", "run_dir": str(now.run_dir)}
    told = {name: ("", content) for name, content in facts.items()}
    return told | {"store": (str(type(now)().store), str(now.store))}
