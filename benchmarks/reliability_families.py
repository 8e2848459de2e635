"""Families of cases for ``benchmarks.reliability``: the project's own, BIG-Bench Hard, GSM8K.

Rules
1. Planning cases are what is planned on, checking ones what the frontier is of; fresh ones, asked
   only where something was promised, come after both. No question is in two of them.
2. A family from elsewhere is one op, "Answer the question.", of the type of its answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field

from nlpu import Op, nlop
from nlpu.eval.cases import Case, cases_of
from nlpu.isa import TRUTH_TABLES

HERE = Path(__file__).parent / "answers"
OWN = "topic,intent,contains,missing,larger,nearer,counting,lookup"
MOST_CHOICES = 12


class Family(NamedTuple):
    """An op and its cases (rule 1)."""

    name: str
    op: Op[Any]
    planning: tuple[Case, ...]
    checking: tuple[Case, ...]
    fresh: tuple[Case, ...] = ()


class Worked(BaseModel):
    """A number with what leads to it, which is written first and then dropped: votes compare
    results."""

    working: Annotated[str, Field(max_length=600), AfterValidator(lambda _: "")]
    result: int


def families(
    names: str, items: int, fresh: int, bbh: Path | None = None, gsm8k: Path | None = None
) -> Iterator[Family]:
    """Give the families that are asked for, one after the other."""
    for name in filter(None, names.split(",")):
        planning, checking = (
            cases_of(HERE / half / "families" / f"{name}.jsonl")
            for half in ("planning", "checking")
        )
        op = next(op for op in TRUTH_TABLES if op.name == planning[0].op)
        after = checking[items : items + fresh]
        yield Family(name, op, planning[:items], checking[:items], after)
    for path in sorted(bbh.glob("*.jsonl")) if bbh else ():
        yield foreign(path.stem, _pairs(path, "input", "target"), items, fresh)
    if gsm8k:
        yield foreign("gsm8k", _pairs(gsm8k, "question", "answer"), items, fresh)


def _pairs(path: Path, asked: str, told: str) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row[asked], row[told]


def foreign(name: str, pairs: Iterable[tuple[str, str]], items: int, fresh: int = 0) -> Family:
    """Make a family of questions with answers: of a few choices, of numbers, or of texts."""
    known = list(_once(pairs))
    choices = sorted({answer for _, answer in known})
    numbers = all(map(_is_whole, choices))
    kind: Any = Worked if numbers else str
    if len(choices) <= MOST_CHOICES and not numbers:
        kind = Literal[tuple(choices)]

    def solve(question: str) -> str:
        """Answer the question."""

    solve.__annotations__ = {"question": str, "return": kind}
    cases = [
        Case(
            id=f"{name}-{n}",
            operands={"question": question},
            tags={"family": name},
            expected={"result": int(answer.replace(",", ""))} if numbers else answer,
        )
        for n, (question, answer) in enumerate(known[: 2 * items + fresh])
    ]
    first, after = cases[: 2 * items], cases[2 * items :]
    return Family(name, nlop(solve), tuple(first[::2]), tuple(first[1::2]), tuple(after))


def _once(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each question once; none that is there with two answers."""
    told = dict[str, set[str]]()
    for question, answer in pairs:
        told.setdefault(question, set()).add(answer)
    return ((question, answers.pop()) for question, answers in told.items() if len(answers) == 1)


def _is_whole(answer: str) -> bool:
    """Whether it is a whole number, as GSM8K writes them: 6,600."""
    return answer.lstrip("-").replace(",", "").isdigit()
