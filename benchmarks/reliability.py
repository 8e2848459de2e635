"""Corrections on real models: accuracy against calls, and what was promised against what was kept.

    nlpu bench reliability --cache FILE [--small MODEL] [--large MODEL] [--families A,B]
        [--bbh DIR] [--gsm8k FILE] [--items N] [--fresh N] [--draws N] [--minutes M] [--json]

Each case (``reliability_families``) is drawn some times from the small model, asked once of the
large one, and asked of the small one with each answer checked by itself. Answers are kept: the same
command goes on where one ended, or was killed.

Rules
1. Corrections are planned on planning cases and held against checking cases, which nothing here
   was tuned on; the frontier is of checking cases. What was promised is held against fresh cases,
   too, which are asked where something was.
2. Time that is up ends the measuring; the table is of families that are whole. What was answered
   until then is kept, as it is every few cases.
3. A call of the small model costs what its parameters are to the large one's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.reliability_families import OWN, Family, families
from benchmarks.reliability_figures import (
    Checked,
    Held,
    Item,
    Point,
    Promise,
    cut,
    difference,
    frontier,
    promised,
    stuck,
)
from nlpu import Budget, Computer, Op, Usage, Value, nlop, verified
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.models.known import known_model
from nlpu.errors import DeadlineExceeded, ModelError, NlpuError
from nlpu.eval.cases import Case
from nlpu.eval.datasheet import CaseDraws
from nlpu.eval.intervals import wilson
from nlpu.eval.questions import Question, questions
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.eval.answers import add_answers, answers_in, make_answers
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.planning import case_draws, draws_of, is_right
from nlpu.runtime.handle import state_of

BILLIONS = {  # parameters
    "smollm2-135m-instruct": 0.135,
    "qwen2.5-coder-0.5b-instruct": 0.494,
    "qwen2.5-coder-1.5b-instruct": 1.544,
}
TARGETS = (0.8, 0.9, 0.95)
ABSTAINS = (0.0, 0.3)
WINDOW, TEMPERATURE = 2048, 0.7
CHUNK = 20  # cases, whose answers are kept together
PAIRS = (("ahead by 3", "majority of 5"), ("ahead by 2", "majority of 5"))
PROMISED = ("asked for", "unsure at most", "kept", "promised", "right %", "refused", "unsure %")


class Measured(NamedTuple):
    """What was measured of families that are whole."""

    planning: list[Item]
    checking: list[Item]
    fresh: list[Item]


@nlop
def settled(answer: str, question: str) -> bool:
    """Is this the right answer to the question?"""


def main() -> None:
    """Measure what is not known yet, and print the tables."""
    options = _options()
    until = time.monotonic() + 60 * options.minutes
    ratio = options.ratio or ratio_of(options.small, options.large)
    engines = {"small": options.small, "large": options.large}
    opened = {name: EmbeddedEngine(model, window=WINDOW) for name, model in engines.items()}
    given = families(options.families, options.items, options.fresh, options.bbh, options.gsm8k)
    with TemporaryDirectory() as runs, Computer(opened, run_dir=runs) as computer:
        measuring = Measuring(computer, make_answers(Path(options.cache)), options.draws, until)
        found = measuring.whole(given)
    deliver(options, found, ratio)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cache", required=True, help="answers; what is there is not asked again")
    parser.add_argument("--small", default="qwen2.5-coder-0.5b", help="the model that is drawn")
    parser.add_argument("--large", default="qwen2.5-coder-1.5b", help="the one that is asked once")
    parser.add_argument("--ratio", type=float, help="what a call of the one costs of the other's")
    parser.add_argument("--families", default=OWN, help="of the project, divided by commas")
    parser.add_argument("--bbh", type=Path, help="a folder of BIG-Bench Hard, TASK.jsonl")
    parser.add_argument("--gsm8k", type=Path, help="a file of GSM8K: question, answer")
    parser.add_argument("--items", type=int, default=60, help="cases of each half")
    parser.add_argument("--fresh", type=int, default=60, help="fresh cases of what was promised of")
    parser.add_argument("--draws", type=int, default=12, help="draws of each case")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so many")
    parser.add_argument("--json", action="store_true", help="all figures")
    return parser.parse_args()


def ratio_of(small: str, large: str) -> float:
    """Give what a call of the small model costs of the large one's (rule 3). Raises Usage."""
    known = [known_model(name) for name in (small, large)]
    one, other = (BILLIONS.get(each.name, 0.0) if each else 0.0 for each in known)
    if not (one and other):
        raise Usage(f"how much dearer {large} is than {small} is not known here: say --ratio")
    return one / other


# -- measuring ---------------------------------------------------------------------------------


class Measuring:
    """A computer with a small and a large model, and the file of what they answered."""

    def __init__(self, computer: Computer, known: Path, draws: int, until: float) -> None:
        self._computer, self._known, self._draws, self._until = computer, known, draws, until

    def whole(self, given: Iterator[Family]) -> Measured:
        """Measure families until time is up (rule 2)."""
        found = Measured([], [], [])
        for family in given:
            begun = time.monotonic()
            try:
                more = self._family(family)
            except DeadlineExceeded:
                sys.stderr.write(f"time is up within {family.name}; its answers are kept\n")
                break
            found = Measured(*(one + other for one, other in zip(found, more, strict=True)))
            sys.stderr.write(f"{family.name}: {time.monotonic() - begun:.0f} s\n")
        return found

    def _family(self, family: Family) -> Measured:
        name, small = family.name, family.op.using(processor="small")
        planning = [Item(name, each) for each in self._drawn(small, family.planning)]
        large = self._drawn(family.op.using(processor="large"), family.checking, 1)
        rows = zip(
            self._drawn(small, family.checking),
            large,
            self._checked(small, family.checking),
            strict=True,
        )
        checking, fresh = [Item(name, *row) for row in rows], list[Item]()
        if any(each.recipe for each in promises(Measured(planning, checking, []))):
            fresh += [Item(name, each) for each in self._drawn(small, family.fresh)]
        return Measured(planning, checking, fresh)

    def _drawn(self, op: Op[Any], cases: Sequence[Case], draws: int = 0) -> list[CaseDraws]:
        how = (draws or self._draws, op.temperature or TEMPERATURE)
        return [each for part in _chunks(cases) for each in self._run(draw, op, part, *how)[0]]

    def _checked(self, op: Op[Any], cases: Sequence[Case]) -> list[Checked]:
        found = list[Checked]()
        for part in _chunks(cases):
            right, calls = self._run(verify, op, part)
            found += [Checked(each, calls / len(part)) for each in right]
        return found

    def _run(self, program: Callable[..., list[Any]], *given: Any) -> tuple[list[Any], int]:
        """What a program gives, and its calls; its answers are kept, however it ends."""
        run = self._computer.run(
            program,
            *given,
            header={"eval": {"cache": str(self._known)}},
            budget=Budget(seconds=max(0.0, self._until - time.monotonic())),
        )
        add_answers(self._known, answers_in(state_of(run).root.subtree()))
        found: list[Any] = run.result
        return found, run.receipt.calls + run.receipt.reused


def _chunks(cases: Sequence[Case]) -> Iterator[tuple[Case, ...]]:
    return (tuple(cases[at : at + CHUNK]) for at in range(0, len(cases), CHUNK))


def draw(op: Op[Any], cases: tuple[Case, ...], draws: int, temperature: float) -> list[CaseDraws]:
    """Draw each case, of whatever choices it has. A program."""
    asked = questions(op, cases)
    begun = [draws_of(question, draws, temperature) for question in asked]
    return [case_draws(*pair) for pair in zip(asked, begun, strict=True)]


def verify(op: Op[Any], cases: tuple[Case, ...]) -> list[bool | None]:
    """Ask each case with each answer checked: right, wrong, or (None) given up. A program."""
    asked = questions(op, cases)
    begun = [_asking(question) for question in asked]
    return [_outcome(*pair) for pair in zip(asked, begun, strict=True)]


def _asking(question: Question) -> Value[Any]:
    op = question.asks
    assert isinstance(op, Op)
    first, *rest = (str(operand) for operand in question.operands)
    whole = "\n".join((first, *rest))
    check = settled.using(processor=op.processor)

    def objection(answer: Any) -> bool:
        return bool(check(op.result.render(answer), whole).value)

    return verified(objection)(op)(*question.operands)


def _outcome(question: Question, value: Value[Any]) -> bool | None:
    try:
        answer = value.value
    except ModelError:
        return False
    return None if isinstance(answer, Unsure) else is_right(question, answer)


# -- telling -----------------------------------------------------------------------------------


def promises(measured: Measured) -> list[Promise]:
    """Ask of each family what can be promised of it."""
    return [
        promised(planning, checking, target, abstain, fresh)
        for abstain in ABSTAINS
        for target in TARGETS
        for family in dict.fromkeys(item.family for item in measured.checking)
        for planning, checking, fresh in [
            [[item for item in items if item.family == family] for items in measured]
        ]
    ]


def deliver(options: argparse.Namespace, measured: Measured, ratio: float) -> None:
    """Print all figures. Raises Usage where there are none."""
    checking = measured.checking
    if not checking:
        raise Usage(
            f"no family was whole in {options.minutes:g} minutes: the same command goes on with "
            "what was answered"
        )
    points, found = frontier(checking, ratio), promises(measured)
    facts = circumstances(
        small=options.small, large=options.large, items=len(checking), draws=options.draws
    )
    if options.json:
        facts["points"] = [each._asdict() for each in points]
        facts["promises"] = [each._asdict() for each in found]
        facts["stuck"], facts["cut"] = list(stuck(checking)), cut(checking)
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
        return
    show_circumstances(facts)
    columns = ("", "right %", "95 %", "unsure %", "calls, small", "large", "cost")
    show(f"{options.small}, {len(checking)} checking cases", columns, map(_point, points))
    for one, other in PAIRS:
        gain, between, calls = difference(checking, one, other)
        print(f"{one} - {other}: {_share(gain, *between)} points, {calls:.2f} of its calls")
    print(f"cost: of the mean call of {options.large}")
    short = ", ".join(f"{name} {_share(share)} %" for name, share in cut(checking).items())
    print(f"unsure because {options.draws} draws did not end the race: {short or 'none'}")
    for of in ("checking", "fresh"):
        title = f"What was promised on planning cases and kept on {of} cases, families"
        show(title, PROMISED, _promised(found, of))
    wrong = ", ".join(f"{family} {count} of {of}" for family, count, of in stuck(checking) if count)
    print(f"cases whose right answer is not drawn most, which no vote mends: {wrong or 'none'}")


def _point(point: Point) -> Sequence[str]:
    return (
        point.name,
        _share(point.right),
        _share(*point.interval),
        _share(point.unsure),
        f"{point.small:.2f}",
        f"{point.large:.2f}",
        f"{point.cost:.2f}",
    )


def _promised(found: Sequence[Promise], of: str) -> Iterator[Sequence[str]]:
    for target, abstain in dict.fromkeys((each.reliability, each.abstain) for each in found):
        mine = [each for each in found if (each.reliability, each.abstain) == (target, abstain)]
        held: list[tuple[Promise, Held]] = [(p, getattr(p, of)) for p in mine if p.recipe]
        right, answered, cases = (sum(one[at] for _, one in held) for at in range(3))
        yield (
            f"{target:g}",
            f"{abstain:g}",
            str(sum(promise.is_kept(one) for promise, one in held)),
            str(len(held)),
            _share(right / answered, *wilson(right, answered)) if answered else "-",
            str(len(mine) - len(held)),
            _share(1 - answered / cases) if cases else "-",
        )


def _share(share: float, *between: float) -> str:
    rest = f" ({between[0] * 100:.1f} - {between[1] * 100:.1f})" if len(between) == 2 else ""
    if len(between) == 1:
        return f"{100 * share:.1f} - {100 * between[0]:.1f}"
    return f"{100 * share:.1f}{rest}"


if __name__ == "__main__":
    try:
        main()
    except NlpuError as error:
        sys.exit(f"error: {error}")
