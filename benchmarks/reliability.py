"""Corrections on real models: accuracy against calls, and what was promised against what was kept.

    nlpu bench reliability --cache FILE [--small MODEL] [--large MODEL] [--families A,B]
        [--bbh DIR] [--gsm8k FILE] [--items N] [--draws N] [--minutes M] [--json]

Families are the project's own (``answers/planning`` and ``answers/checking``) and, where they are
given, those of BIG-Bench Hard and GSM8K, whose cases are divided in turn. Each case is drawn some
times from the small model, asked once of the large one, and asked of the small one with each answer
checked by itself. Answers are kept: the same command goes on where one ended, or was killed.

Rules
1. Corrections are planned on planning cases and held against checking cases, which nothing here
   was tuned on; the frontier is of checking cases.
2. Time that is up ends the measuring between two families; the table is of those that are whole.
3. A call of the large model costs what its parameters are to the small one's (``RATIO``).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field

from benchmarks.reliability_figures import (
    Checked,
    Item,
    Point,
    Promise,
    difference,
    frontier,
    promised,
    stuck,
)
from nlpu import Computer, Op, Value, nlop, verified
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.errors import ModelError
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.questions import Question, questions
from nlpu.isa import TRUTH_TABLES
from nlpu.runtime.bench.datasheet import Asked
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.eval.answers import add_answers, answers_in, make_answers
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.planning import is_right
from nlpu.runtime.handle import state_of

HERE = Path(__file__).parent / "answers"
OWN = "topic,intent,contains,missing,larger,nearer,counting,lookup"
RATIO = 0.494 / 1.544  # parameters, 0.5B to 1.5B, in billions
TARGETS = (0.8, 0.9, 0.95)
ABSTAINS = (0.0, 0.3)
MOST_CHOICES = 12
WINDOW, TEMPERATURE = 2048, 0.7
PAIRS = (("ahead by 3", "majority of 5"), ("ahead by 2", "majority of 5"))


class Family(NamedTuple):
    """An op and its cases."""

    name: str
    op: Op[Any]
    planning: tuple[Case, ...]
    checking: tuple[Case, ...]


class Worked(BaseModel):
    """A number with what leads to it, which is written first and then dropped: votes compare
    results."""

    working: Annotated[str, Field(max_length=600), AfterValidator(lambda _: "")]
    result: int


@nlop
def settled(answer: str, question: str) -> bool:
    """Is this the right answer to the question?"""


def main() -> None:
    """Measure what is not known yet, and print the tables."""
    options = _options()
    until = time.monotonic() + 60 * options.minutes
    planning: list[Item] = []
    checking: list[Item] = []
    with _measuring(options) as measuring:
        for family in families(options):
            if time.monotonic() > until:
                break
            begun = time.monotonic()
            planning += measuring.items(family, family.planning, whole=False)
            checking += measuring.items(family, family.checking, whole=True)
            sys.stderr.write(f"{family.name}: {time.monotonic() - begun:.0f} s\n")
    deliver(options, planning, checking)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cache", required=True, help="answers; what is there is not asked again")
    parser.add_argument("--small", default="qwen2.5-coder-0.5b", help="the model that is drawn")
    parser.add_argument("--large", default="qwen2.5-coder-1.5b", help="the one that is asked once")
    parser.add_argument("--families", default=OWN, help="of the project, divided by commas")
    parser.add_argument("--bbh", type=Path, help="a folder of BIG-Bench Hard, TASK.jsonl")
    parser.add_argument("--gsm8k", type=Path, help="a file of GSM8K: question, answer")
    parser.add_argument("--items", type=int, default=60, help="cases of each half")
    parser.add_argument("--draws", type=int, default=12, help="draws of each case")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so many")
    parser.add_argument("--json", action="store_true", help="all figures")
    return parser.parse_args()


# -- families ----------------------------------------------------------------------------------


def families(options: argparse.Namespace) -> Iterator[Family]:
    """Give the families that are asked for, one after the other."""
    for name in filter(None, options.families.split(",")):
        halves = [
            cases_of(HERE / half / "families" / f"{name}.jsonl")[: options.items]
            for half in ("planning", "checking")
        ]
        yield Family(name, next(op for op in TRUTH_TABLES if op.name == halves[0][0].op), *halves)
    for path in sorted(options.bbh.glob("*.jsonl")) if options.bbh else ():
        yield foreign(path.stem, _pairs(path, "input", "target"), options.items)
    if options.gsm8k:
        yield foreign("gsm8k", _pairs(options.gsm8k, "question", "answer"), options.items)


def _pairs(path: Path, asked: str, told: str) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row[asked], row[told]


def foreign(name: str, pairs: Iterable[tuple[str, str]], items: int) -> Family:
    """Make a family of questions with answers: of a few choices, of numbers, or of texts."""
    known = list(pairs)
    choices = sorted({answer for _, answer in known})
    kind: Any = str
    if len(choices) <= MOST_CHOICES and not all(map(str.isdigit, choices)):
        kind = Literal[tuple(choices)]
    elif all(answer.lstrip("-").isdigit() for answer in choices):
        kind = Worked

    def solve(question: str) -> str:
        """Answer the question."""

    solve.__annotations__ = {"question": str, "return": kind}
    cases = [
        Case(
            id=f"{name}-{n}",
            operands={"question": question},
            tags={"family": name},
            expected={"result": int(answer)} if kind is Worked else answer,
        )
        for n, (question, answer) in enumerate(known[: 2 * items])
    ]
    return Family(name, nlop(solve), tuple(cases[::2]), tuple(cases[1::2]))


# -- measuring ---------------------------------------------------------------------------------


class Measuring:
    """Two models, and the file of what they answered."""

    def __init__(self, computer: Computer, known: Path, draws: int) -> None:
        self._computer, self._known = computer, known
        self._small = Asked(computer, draws, TEMPERATURE, known)
        self._large = Asked(computer, 1, TEMPERATURE, known)

    def __enter__(self) -> Measuring:
        return self

    def __exit__(self, *_: object) -> None:
        self._computer.close()

    def items(self, family: Family, cases: Sequence[Case], *, whole: bool) -> list[Item]:
        """Ask a family's cases; ``whole``: of the large model, and with a check, too."""
        small = self._small.sheet(family.op.using(processor="small"), cases).cases
        if not whole:
            return [Item(family.name, each) for each in small]
        large = self._large.sheet(family.op.using(processor="large"), cases).cases
        checks = self._checked(family.op.using(processor="small"), cases)
        return [Item(family.name, *row) for row in zip(small, large, checks, strict=True)]

    def _checked(self, op: Op[Any], cases: Sequence[Case]) -> list[Checked]:
        header = {"eval": {"cache": str(self._known)}}
        run = self._computer.run(verify, op, tuple(cases), header=header)
        found: list[bool | None] = run.result
        add_answers(self._known, answers_in(state_of(run).root.subtree()))
        receipt = run.receipt
        calls = (receipt.calls + receipt.reused) / len(found)
        return [Checked(right, calls) for right in found]


def _measuring(options: argparse.Namespace) -> Measuring:
    engines = {"small": options.small, "large": options.large}
    opened = {name: EmbeddedEngine(model, window=WINDOW) for name, model in engines.items()}
    runs = TemporaryDirectory()
    computer = Computer(opened, run_dir=runs.name)
    return Measuring(computer, make_answers(Path(options.cache)), options.draws)


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


def promises(planning: Sequence[Item], checking: Sequence[Item]) -> list[Promise]:
    """Ask of each family what can be promised of it."""
    return [
        promised(
            [item for item in planning if item.family == family],
            [item for item in checking if item.family == family],
            target,
            abstain,
        )
        for abstain in ABSTAINS
        for target in TARGETS
        for family in dict.fromkeys(item.family for item in checking)
    ]


def deliver(
    options: argparse.Namespace, planning: Sequence[Item], checking: Sequence[Item]
) -> None:
    """Print all figures."""
    points, found = frontier(checking, RATIO), promises(planning, checking)
    facts = circumstances(
        small=options.small, large=options.large, items=len(checking), draws=options.draws
    )
    if options.json:
        facts["points"] = [each._asdict() for each in points]
        facts["promises"] = [each._asdict() for each in found]
        facts["stuck"] = list(stuck(checking))
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
        return
    show_circumstances(facts)
    columns = ("", "right %", "95 %", "unsure %", "calls, small", "large", "cost")
    show(f"{options.small}, {len(checking)} checking cases", columns, map(_point, points))
    for one, other in PAIRS:
        gain, between, calls = difference(checking, one, other)
        print(f"{one} - {other}: {_share(gain, *between)} points, {calls:.2f} of its calls")
    print(f"cost: of the mean call of {options.large}")
    told_of = ("asked for", "unsure at most", "kept", "promised", "right %", "refused", "unsure %")
    show(
        "What was promised on planning cases and kept on checking cases, families",
        told_of,
        _promised(found),
    )
    wrong = ", ".join(f"{family} {count} of {of}" for family, count, of in stuck(checking) if count)
    print(f"cases whose draws are mostly wrong, which no vote mends: {wrong or 'none'}")


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


def _promised(found: Sequence[Promise]) -> Iterator[Sequence[str]]:
    for target, abstain in dict.fromkeys((each.reliability, each.abstain) for each in found):
        mine = [each for each in found if (each.reliability, each.abstain) == (target, abstain)]
        made = [each for each in mine if each.recipe]
        answered, count = (
            sum(getattr(each, what) for each in made) for what in ("answered", "cases")
        )
        right = sum(each.right for each in made)
        yield (
            f"{target:g}",
            f"{abstain:g}",
            str(sum(each.is_kept for each in made)),
            str(len(made)),
            _share(right / answered) if answered else "-",
            str(len(mine) - len(made)),
            _share(1 - answered / count) if count else "-",
        )


def _share(share: float, *between: float) -> str:
    rest = f" ({between[0] * 100:.1f} - {between[1] * 100:.1f})" if len(between) == 2 else ""
    if len(between) == 1:
        return f"{100 * share:.1f} - {100 * between[0]:.1f}"
    return f"{100 * share:.1f}{rest}"


if __name__ == "__main__":
    main()
