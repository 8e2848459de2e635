"""Correct calls a second: what a processor gives of right answers, where so many must be right.

    nlpu bench throughput --sheet add.json --op programs/tower.py:add_digits --target 0.9

Theory of operation
-------------------
The datasheet says by which vote an op reaches the target on this processor (``side_by_side``). The
op's cases are then asked as it is, and by that vote, at rising concurrency. Right answers over the
seconds of the wall are its correct calls a second: the further draws of a vote, and answers that
are wrong or ``Unsure``, cost time and count for nothing.

Rules
1. The vote is chosen by the datasheet before anything is asked, which must be of this model.
2. What is out of reach makes no correct calls at that target: why is said, and nothing is measured.
3. The cases are those of the sheet's op, its first ``MOST``; a few are asked again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nlpu import Case, Computer, ahead_by
from nlpu.checks import check
from nlpu.eval.bounds import SHARE
from nlpu.eval.datasheet import sheet_in
from nlpu.eval.questions import Question, questions
from nlpu.eval.routes import Step
from nlpu.ops.op import Op
from nlpu.printing import figure
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime.bench.paces import Way, as_it_is, asked, cases_for, right_of, slots
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.servers import target as target_of
from nlpu.runtime.bench.side_by_side import at_target
from nlpu.runtime.eval.corrections.correction import Subject
from nlpu.runtime.terminal.eval.subjects import subject_of

LEVELS, QUICK = (1, 8, 32), (4,)
MOST = 32
COLUMNS = ("", "in flight", "calls/s", "nlops/s", "correct/s", "right %", "calls a case")


class Wanted(NamedTuple):
    """What is to be measured."""

    op: str
    sheet: Path
    target: float
    data: Path | None = None


def correct_calls(
    engine: str, model: str | None, wanted: Wanted, *, quick: bool = False
) -> dict[str, Any]:
    """Everything the command prints. Raises Usage, MissingPart, Unreachable."""
    check("throughput", {"target": wanted.target}, {"target": SHARE})
    op, cases = cases_for(subject_of(wanted.op), wanted.data)
    levels = QUICK if quick else LEVELS
    with target_of(engine, model) as found, Computer(found.open(max(levels))) as computer:
        figures = measure(computer, op, cases, wanted, levels)
        return {**circumstances(engine=found.name, quick=quick), **figures}


def measure(
    computer: Computer, op: Op[Any], cases: Sequence[Case], wanted: Wanted, levels: Sequence[int]
) -> dict[str, Any]:
    """The figures of a computer's first processor. Raises Usage."""
    can, whole = next(iter(computer.processors.values())).capabilities, sheet_in(wanted.sheet)
    whole.check_asked(
        model=can.model,
        source=can.source,
        weights=can.weights,
        convention=DEFAULT.version,
        system="",
    )
    route, why = at_target(whole.of(op.name, op.digest.hex()), wanted.target)
    given, ways = questions(op, cases[:MOST]), list[tuple[str, Way]]([("as it is", as_it_is)])
    if route is not None and route.steps[0].ahead:
        vote = partial(_voted, step=route.steps[0])
        ways.append((f"ahead by {route.steps[0].ahead}", vote))
    return {
        "model": can.model,
        "op": op.name,
        "target": wanted.target,
        "way": why or ways[-1][0],
        "reached": route is not None,
        "rows": [_row(computer, given, level, *way) for way in ways for level in levels],
    }


def _voted(op: Op[Any], step: Step) -> Subject[Any]:
    return ahead_by(step.ahead, most=step.most, temperature=step.temperature)(op)


def _row(
    computer: Computer, given: tuple[Question, ...], level: int, name: str, way: Way
) -> dict[str, Any]:
    """One level by one way."""
    sample = asked(computer, given, level, way)
    right, pace = right_of(computer, given, sample), sample.pace(level, slots(computer))
    return {
        "name": f"{name} x{level}",
        "in_flight": min(level, slots(computer)),
        "calls_per_s": pace.calls_per_s,
        "nlops_per_s": pace.nlops_per_s,
        "correct_per_s": right / sample.wall_s,
        "right": right / len(sample.answers),
        "calls_a_case": pace.calls / len(sample.answers),
    }


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    goal = f"{figures['op']} on {figures['model']} ({figures['engine']})"
    if not figures["reached"]:
        print(f"{goal}: {figures['target']:g} is out of reach ({figures['way']}); 0 correct calls")
    else:
        print(f"{goal}: {figures['target']:g} is reached {figures['way']}")
    show("Correct calls a second", COLUMNS, map(_cells, figures["rows"]))


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    rates = (row[name] for name in ("calls_per_s", "nlops_per_s", "correct_per_s"))
    shares = (f"{100 * row['right']:.1f}", f"{row['calls_a_case']:.2f}")
    return (row["name"], row["in_flight"], *map(figure, rates), *shares)
