"""``nlpu bench datasheet``: what one model's draws of an op are worth, as a file for the planner.

Each case of a truth table is asked once as the op is, and drawn some times at the temperature of
votes, all of it in one run. The file says of each op which draws were equal and which were right,
so that ``reliable(op, 0.95, "sheet.json")`` tries any vote on it without a call; the table is what
a person wants to know: right once, right of one draw, the ceiling of voting, latency, tokens.

    nlpu bench datasheet answer extract                       # standard ops, on their truth tables
    nlpu bench datasheet programs/tower.py:add_digits         # with the CASES beside it
    nlpu bench datasheet judge --data cases.jsonl --output judge.json
    nlpu bench datasheet judge --data cases.jsonl --cache answers     # killed, it goes on there
    nlpu bench datasheet --compare small.json large.json              # the same ops side by side
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import typer

from nlpu import Case, Computer, Op, Usage
from nlpu.checks import COUNT, RATE, check
from nlpu.eval.bounds import SHARE
from nlpu.eval.datasheet import Datasheet, OpSheet, sheet_in
from nlpu.eval.intervals import wilson
from nlpu.eval.speed import Pace
from nlpu.eval.votes import Ahead, Majority, Rule
from nlpu.printing import figure
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime.bench.paces import cases_for, reading_of, speed_of
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Plot, Where, deliver, processor
from nlpu.runtime.bench.side_by_side import side_by_side
from nlpu.runtime.bench.side_by_side import tables as compared
from nlpu.runtime.eval.answers import add_answers, answers_in, make_answers
from nlpu.runtime.eval.planning import draw_sheet
from nlpu.runtime.handle import state_of
from nlpu.runtime.terminal.eval.subjects import Named, subject_of

VOTES: dict[str, Rule | None] = {
    "as it is": None,
    "one draw": Majority(1),
    "majority of 3": Majority(3),
    "majority of 5": Majority(5),
    "ahead by 2": Ahead(2),
    "ahead by 3": Ahead(3),
}
PACES = ("at once", "in flight", "calls/s", "nlops/s", "tokens/s", "p50 s", "p95 s", "cached")
VOTED = ("right %", "95 %", "unsure %", "calls")
CHUNK = 20  # cases, whose answers are kept together
app = typer.Typer(add_completion=False)

Ops = Annotated[
    list[str],
    typer.Argument(metavar="OP...", help="Standard ops, or ops of files: FILE.py:NAME."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Cases, .jsonl or .csv. Default: a standard op's truth table, CASES of an op's file.",
    ),
]
Draws = Annotated[int, typer.Option(min=1, metavar="N", help="Draws of each case.")]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Answers in it are not asked again; new ones are added."),
]
Speed = Annotated[
    bool, typer.Option("--speed/--no-speed", help="How fast the ops are at 1, 8 and 32 at once.")
]
Compare = Annotated[
    bool, typer.Option("--compare", help="OP... are files of datasheets, to be put side by side.")
]
Target = Annotated[float, typer.Option(metavar="SHARE", help="Of --compare: right so often.")]
Heat = Annotated[float, typer.Option("--temperature", help="Of the draws.")]


@app.command(help="What a model's draws of ops are worth: for the planner, and for people.")
def command(
    ops: Ops,
    data: Data = None,
    draws: Draws = 10,
    temperature: Heat = 0.7,
    cache: Cache = None,
    speed: Speed = True,
    engine: Where = None,
    model: Model = None,
    as_json: AsJson = False,
    output: Output = None,
    compare: Compare = False,
    target: Target = 0.9,
    plot: Plot = None,
) -> None:
    if compare:
        sheets = [sheet_in(each) for each in ops]
        check("datasheet", {"target": target}, {"target": SHARE})
        figures = side_by_side(sheets, target)
        deliver("datasheets", figures, compared, as_json=as_json, output=output, plot=plot)
        return
    if plot is not None:
        raise Usage("--plot draws datasheets that there are: give their files, with --compare")
    given, wanted = processor(engine, model)
    known = None if cache is None else make_answers(cache)
    subjects = [subject_of(each) for each in ops]
    with (
        TemporaryDirectory() as runs,
        Computer(given, model=wanted, run_dir=None if known is None else runs) as computer,
    ):
        asked = Asked(computer, draws, temperature, known, speed)
        sheet = datasheet(asked, subjects, data, engine=given)
    figures = {**circumstances(draws=draws, engine=given), "sheet": sheet.model_dump(mode="json")}
    deliver("datasheet", figures, tables, as_json=as_json, output=output)


class Asked(NamedTuple):
    """Who is asked, how often, and the file of answers that are not asked for again."""

    computer: Computer
    draws: int
    temperature: float
    known: Path | None = None
    timed: bool = False

    def sheet(self, op: Op[Any], cases: Sequence[Case]) -> OpSheet:
        """Draw an op's sheet; with a file of answers a few cases at a time, so that a kill leaves
        what there was."""
        for at in range(0, len(cases) if self.known else 0, CHUNK):
            self._drawn(op, cases[at : at + CHUNK])
        found = self._drawn(op, cases)
        if not self.timed:
            return found
        return found.model_copy(update=speed_of(self.computer, op, cases))

    def _drawn(self, op: Op[Any], cases: Sequence[Case]) -> OpSheet:
        header = {} if self.known is None else {"eval": {"cache": str(self.known)}}
        how = (self.draws, self.temperature)
        run = self.computer.run(draw_sheet, op, tuple(cases), *how, header=header)
        found: OpSheet = run.result
        if self.known is not None:
            add_answers(self.known, answers_in(state_of(run).root.subtree()))
        return found


def datasheet(
    asked: Asked, ops: Sequence[Named], data: Path | None = None, engine: str = ""
) -> Datasheet:
    """The sheet of ops on a computer's processor. Raises Usage."""
    given = {"draws": asked.draws, "temperature": asked.temperature}
    check("datasheet", given, {"draws": COUNT, "temperature": RATE})
    work = [cases_for(each, data) for each in ops]
    names = [op.name for op, _ in work]
    if len(set(names)) < len(names):
        raise Usage(f"two of the ops have one name ({', '.join(names)}): make a sheet of each")
    can = next(iter(asked.computer.processors.values())).capabilities
    return Datasheet(
        model=can.model,
        source=can.source,
        weights=can.weights,
        engine=engine,
        convention=DEFAULT.version,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        window=can.window,
        reading=reading_of(asked.computer) if asked.timed else None,
        ops={op.name: asked.sheet(op, cases) for op, cases in work},
    )


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    sheet = Datasheet.model_validate(figures["sheet"])
    show_circumstances(figures)
    columns = (
        "op",
        "cases",
        "once %",
        "a draw %",
        "95 %",
        "ceiling %",
        "95 %",
        "p50 s",
        "p95 s",
        "tokens in",
        "out",
    )
    show(f"{sheet.model}, {figures['draws']} draws a case", columns, map(_row, sheet.ops.values()))
    for each in sheet.ops.values():
        if each.paces:
            show(f"{each.op}: at so many at once", PACES, map(_pace, each.paces))
            print(f"{each.op}: {each.repeats}")
        rows = (_vote(name, each, rule) for name, rule in VOTES.items())
        show(f"{each.op}: what votes make of these draws", ("", *VOTED), rows)
        if each.judged:
            print(_calibration(each))
        bars = ", ".join(f"{share:g}: {count}" for share, count in each.distribution.items())
        print(f"{each.op}: cases by the share of their draws that is right, from: {bars}")
    if sheet.reading is not None:
        print(f"{sheet.model}: {sheet.reading}")


def _row(sheet: OpSheet) -> Sequence[str | int]:
    """An op's line."""
    p50, p95 = sheet.latency_s
    return (
        sheet.op,
        len(sheet.cases),
        _percent(sheet.once / len(sheet.cases)),
        _percent(sheet.right),
        _percent(*sheet.interval),
        _percent(sheet.ceiling),
        _percent(*sheet.ceiling_interval),
        f"{p50:.2f}",
        f"{p95:.2f}",
        f"{sheet.tokens[0]:.0f}",
        f"{sheet.tokens[1]:.1f}",
    )


def _pace(pace: Pace) -> Sequence[str | int]:
    rates = (pace.calls_per_s, pace.nlops_per_s, pace.tokens_per_s, pace.p50_s, pace.p95_s)
    return (str(pace.at_once), pace.in_flight, *map(figure, rates), f"{pace.cached:.0%}")


def _vote(name: str, sheet: OpSheet, rule: Rule | None) -> Sequence[str | int]:
    """What a rule makes of the draws; ``Unsure`` where it wants more than there are."""
    (trial,) = sheet.trials([rule])
    low, high = wilson(trial.right, trial.counted)
    share = trial.unsure / trial.counted
    return (name, _percent(trial.share), _percent(low, high), _percent(share), f"{trial.cost:.2f}")


def _calibration(sheet: OpSheet) -> str:
    before, after = sheet.calibration
    told = "; ".join(f"{said:.2f} of {count}: {true:.2f}" for count, said, true in before.bins)
    then = "" if after is None else f", {after.error:.3f} calibrated on other cases"
    error = f"expected calibration error {before.error:.3f}{then}"
    return f"{sheet.op}: {error}; probability of yes, cases and how many are true: {told}"


def _percent(*shares: float) -> str:
    return " - ".join(f"{100 * share:.1f}" for share in shares)
