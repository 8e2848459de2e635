"""One big prompt against many small ones for the same job, with quality: RISC or CISC?

Theory of operation
-------------------
The jobs are made, so the truth is known: sentences like "Anna from Oslo bought 4 lamps for 37
coins." Each job is done twice on the same sentences. *Big* is one op that is given all of a group
and asked for everything at once. *Small* is one op for each sentence, and Python does what Python
can do.

    cities   the city of every sentence        big: a line each           small: a call each
    count    how many come from one city       big: one whole number      small: a call each,
                                                                          counted by Python

Rules
1. Both are asked in the same words, at temperature 0; no example is given.
2. Quality is the share of right items. An answer is the one city it names; a line of a big answer
   counts in its place only; an invalid reply has no right items.
3. The sentences are drawn with a seed that is in the result.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nlpu import Computer, ModelError, Value, nlop
from nlpu.runtime.bench.report import measured

SEED = 7
_NAMES = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas")
_THINGS = ("lamps", "chairs", "books", "clocks", "ropes", "plates", "coats", "wheels")
CITIES = ("Oslo", "Paris", "Rome", "Cairo")


class Fact(NamedTuple):
    """One sentence and what it says."""

    text: str
    city: str


def facts(count: int, seed: int = SEED) -> list[Fact]:
    """Sentences whose truth is known."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        who, place, thing = dice.choice(_NAMES), dice.choice(CITIES), dice.choice(_THINGS)
        some, price = dice.randint(2, 9), dice.randint(11, 99)
        found.append(Fact(f"{who} from {place} bought {some} {thing} for {price} coins.", place))
    return found


@nlop(max_tokens=8, at_limit="trim")
def city(sentence: str) -> str:
    """Copy the name of the city from the sentence."""


@nlop(max_tokens=64, at_limit="trim")
def cities(sentences: str) -> str:
    """Copy the name of the city from each sentence, one line for each."""


@nlop
def from_city(sentences: str, place: str) -> int:
    """In how many of the sentences is the place named?"""


Answers = list[list[Any]]  # of each group
Way = Callable[[list[list[Fact]]], Answers]


def small_cities(groups: list[list[Fact]]) -> Answers:
    """A call for each sentence."""
    asked = [[city(fact.text) for fact in group] for group in groups]
    return [[named(given(answer)) for answer in group] for group in asked]


def big_cities(groups: list[list[Fact]]) -> Answers:
    """A call for each group."""
    asked = [cities(lines(group)) for group in groups]
    return [[named(line) for line in (given(answer) or "").split("\n")] for answer in asked]


def small_count(groups: list[list[Fact]]) -> Answers:
    """A call for each sentence; Python counts."""
    found = small_cities(groups)
    return [[of.count(group[0].city)] for of, group in zip(found, groups, strict=True)]


def big_count(groups: list[list[Fact]]) -> Answers:
    """A call for each group."""
    asked = [from_city(lines(group), group[0].city) for group in groups]
    return [[given(answer)] for answer in asked]


def named(text: str | None) -> str | None:
    """The one city that a text names."""
    found = [place for place in CITIES if place in (text or "")]
    return found[0] if len(found) == 1 else None


def lines(group: list[Fact]) -> str:
    """The sentences of a group."""
    return "\n".join(fact.text for fact in group)


def given(answer: Value[Any]) -> Any:
    """The content, or None for an invalid reply."""
    try:
        return answer.value
    except ModelError:
        return None


def right_cities(answers: list[Any], group: list[Fact]) -> list[bool]:
    """Of each sentence, in its place."""
    padded = [*answers, *[None] * len(group)]
    return [answer == fact.city for answer, fact in zip(padded, group, strict=False)]


def right_count(answers: list[Any], group: list[Fact]) -> list[bool]:
    """Of the group: how many come from where its first comes from."""
    return [answers[0] == sum(fact.city == group[0].city for fact in group)]


JOBS: dict[str, tuple[Way, Way, Callable[[list[Any], list[Fact]], list[bool]]]] = {
    "cities": (big_cities, small_cities, right_cities),
    "count": (big_count, small_count, right_count),
}


def quality(computer: Computer, groups: int, size: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each job and way."""
    found = facts(groups * size)
    asked = [found[i : i + size] for i in range(0, len(found), size)]
    rows = []
    for job, (big, small, right) in JOBS.items():
        for way, program in (("big", big), ("small", small)):
            rows.append(
                _row(computer, f"{job} {way}", program, right, asked=asked, repeats=repeats)
            )
    return rows


def _row(
    computer: Computer, name: str, program: Way, right: Any, asked: list[list[Fact]], repeats: int
) -> dict[str, Any]:
    seconds, run = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        run = computer.run(program, asked)
        seconds.append(time.perf_counter() - start)
        if run.error is not None:
            raise run.error
    assert run is not None
    pairs = zip(run.result, asked, strict=True)
    marks = [mark for answers, group in pairs for mark in right(answers, group)]
    receipt = run.receipt
    return {
        "name": name,
        "items": len(marks),
        "quality": measured([sum(marks) / len(marks)], "more"),
        "makespan_s": measured(seconds, "less"),
        "calls": receipt.calls,
        "failed": receipt.failed,
        "prompt_tokens": receipt.prompt_tokens,
        "cached_tokens": receipt.cached_tokens,
        "completion_tokens": receipt.completion_tokens,
    }
