"""``nlpu eval``: how often an op or a program is right, on cases with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpu.errors import BadOperand, Usage
from nlpu.printing import counted
from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr

if TYPE_CHECKING:
    from nlpu.eval.cases import Case
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run
    from nlpu.runtime.terminal.eval.subjects import Named

_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Cases with known answers, .jsonl or .csv. Default: the truth table of a standard op.",
    ),
]
_Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        metavar="NAME|FILE.py:SCORE",
        help="Of all cases: exact, one_of, set, number, predicate, judge, or a function of yours. "
        "Default: what each case says, else that of the result's type.",
    ),
]
_Models = Annotated[
    str | None,
    typer.Option("--models", metavar="A,B", help="Ask an op on each, and compare with the first."),
]
_Against = Annotated[
    list[str] | None,
    typer.Option(metavar="OP|PROGRAM", help="Ask the same of another, and compare pair by pair."),
]
_Cache = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Answers in it are not asked again; new ones are added."),
]


def evaluate(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="OP|PROGRAM", help="A standard op, a program, or either in a file: FILE.py:NAME"
        ),
    ],
    data: _Data = None,
    metric: _Metric = "",
    models: _Models = None,
    against: _Against = None,
    html: o.Html = None,
    cache: _Cache = None,
    engine: o.Engine = None,
    model: o.Model = None,
    nlops: o.Nlops = None,
    calls: o.Calls = None,
    tokens: o.Tokens = None,
    money: o.Money = None,
    seconds: o.Seconds = None,
    price: o.Prices = None,
    system: o.System = "",
    convention: o.Layout = "",
    run_dir: o.RunDir = None,
    as_json: o.Json = False,
) -> int:
    """Ask cases with known answers of an op or program: how often it is right, and what it took.

    It is a run like any other: journaled, within its limits, and resumed by nlpu resume.
    """
    options = locals().copy()
    from nlpu.runtime.eval.answers import make_answers
    from nlpu.runtime.naming import described
    from nlpu.runtime.terminal.eval.outcome import ends_of, facts_of, prepared
    from nlpu.runtime.terminal.eval.subjects import score_of, subject_of
    from nlpu.runtime.terminal.run.execute import carry_out
    from nlpu.runtime.terminal.run.job import Job
    from nlpu.runtime.terminal.run.machine import Machine, can_of

    lead_prints_to_stderr()
    now = o.settings_in(options)
    names = _names(models, model)
    subjects = [subject_of(spec) for spec in (subject, *(against or ()))]
    scored = score_of(metric)
    cases = _table(subjects[0]) if data is None else _cases(data, *subjects)
    loaded = prepared(subjects, scored, names)
    try:
        loaded.function.__self__.check(cases)  # type: ignore[attr-defined]
    except BadOperand as error:
        raise Usage(str(error)) from error
    kept = None if cache is None else make_answers(cache)
    facts = facts_of(subjects, scored, names, kept)
    machine = Machine(
        now.engine,
        now.model,
        now.run_dir,
        price=o.price_of(now),
        models=names,
        system=system,
        convention=convention,
    )
    header = {"program": loaded.spec, "reads": "--data" if data else "", **machine.facts()}
    budget = o.budget_of(now)

    def begin(computer: Computer, stream: bool) -> Run:
        opened = computer.processors  # one that is not there fails its own calls
        cans = {each: described(opened[each].capabilities) for each in names if each in opened}
        whole = {**header, "can": can_of(computer), "eval": {**facts, "cans": cans}}
        return computer.start(loaded.function, cases, budget=budget, header=whole, stream=stream)

    ends = ends_of(loaded, now.run_dir, kept, html)
    return carry_out(Job(loaded, begin, machine, as_json, seconds=budget.seconds, **ends))


def _names(models: str | None, model: str | None) -> tuple[str, ...]:
    """The models of ``--models``. Raises Usage."""
    names = [] if models is None else [name.strip() for name in models.split(",")]
    if models is not None and (not all(names) or len(set(names)) < len(names)):
        raise Usage("--models takes names that differ, divided by commas: --models a,b")
    if names and model is not None:
        raise Usage("--models names all models; leave --model out")
    return tuple(names)


def _table(subject: Named) -> tuple[Case, ...]:
    """The truth table of a standard op; how short it is is said. Raises Usage."""
    from nlpu.eval.questions import called
    from nlpu.isa import TRUTH_TABLES

    tables = {op.name: cases for op, cases in TRUTH_TABLES.items()}
    name = called(subject.found)
    if subject.digest or name not in tables:
        raise Usage(f"{subject.spec} has no truth table: name the cases with --data FILE")
    say(
        f"without --data it is {name}'s own truth table, of {counted(len(tables[name]), 'case')}: "
        "they tell little; name more with --data FILE"
    )
    return tables[name]


def _cases(data: Path, subject: Named, *against: Named) -> tuple[Case, ...]:
    """The cases of a file that are the subject's, where it has those of several ops."""
    from nlpu.eval.cases import cases_of
    from nlpu.eval.questions import called, takes_choices
    from nlpu.ops.op import Op
    from nlpu.runtime.eval.evaluation import check_ops

    found, name = cases_of(data), called(subject.found)
    several = len({case.op for case in found}) > 1
    mine = tuple(case for case in found if case.op in ("", name))
    if several and mine:
        say(f"{len(mine)} of the {len(found)} cases in {data} are of {name}")
        return mine
    if isinstance(subject.found, Op) or takes_choices(subject.found):
        names = [name, *(called(each.found) for each in against)]
        check_ops(names, found)
    return found
