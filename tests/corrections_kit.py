"""Ops whose answers are corrected, and models that answer them from scripts and by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal

from nlpu import Value, nlop
from nlpu.testing.scripted import Seen


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


@nlop
def about(text: str) -> str:
    """What is it about?"""


@nlop
def names(text: str) -> list[str]:
    """Who is named?"""


@nlop
def equal(one: str, other: str) -> bool:
    """Is it the same?"""


@nlop
def fits(text: str, answer: str) -> bool:
    """Does the answer fit?"""


def drawing(*answers: Any) -> Callable[[Seen], Any]:
    """The answers one after the other, for each text by itself."""
    told: dict[str, Iterator[Any]] = {}

    def script(seen: Seen) -> Any:
        return next(told.setdefault(str(seen.operands), iter(answers)))

    return script


def by_request(seed: int, p: float) -> Callable[[Seen], str]:
    """A channel: right with chance p, by the number of the request within its run."""
    return lambda seen: "red" if Random(f"{seed} {seen.request.id}").random() < p else "blue"


def many(vote: Any, count: int) -> Callable[[], list[Any]]:
    def program() -> list[Any]:
        votes: list[Value[Any]] = [vote(f"question {number}") for number in range(count)]
        return [each.value for each in votes]

    return program
