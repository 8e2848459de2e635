"""What tests of label paths share: sources with any labels, ops, drivers, what a loss is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from itertools import product
from random import Random
from typing import Any, Literal

from kit import finish
from pydantic import BaseModel

from nlpu import Label, Value, nlop
from nlpu.errors import NlpuError, chain_of
from nlpu.label import USER, Integrity, intern_label, join
from nlpu.runtime import Computer, spawn
from nlpu.runtime.drivers.driver import driver
from nlpu.testing.scripted import Scripted, Seen
from nlpu.value import current

CASES = 200  # of each path, at least
LABELS = [
    intern_label(integrity, readers)
    for integrity in Integrity
    for readers in (None, frozenset(), frozenset("a"), frozenset("b"), frozenset("ab"))
]
_SAID = Random(5)  # texts do not matter: they only must not always be the same
Source = tuple[str, Label]  # a text and its label
PAIRS: list[tuple[Source, Source]] = [
    (("".join(_SAID.choices("abc xyz", k=6)) + "!", a), ("".join(_SAID.choices("uvw", k=3)), b))
    for a, b in product(LABELS, LABELS)
]

Claim = tuple[Any, Label]  # a Value or a label, and what went into it
Path = Callable[[Value[str], Value[str]], list[Claim]]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Letter(BaseModel):
    subject: str
    pages: int


@nlop
def colour(text: str) -> Colour:
    """Which colour?"""


@nlop
def tone(text: str) -> Literal["warm", "cold"]:
    """Which tone?"""


@nlop
def letter(text: str) -> Letter:
    """Make a letter."""


@nlop
def words(text: str) -> list[str]:
    """List the words."""


@nlop
def unite(texts: list[str]) -> str:
    """Unite the texts."""


@nlop
def garble(text: str) -> int:
    """Garble the number."""


ANSWERS = {
    "Is it so": "yes",
    "How many": "3",
    "Which colour": "red",
    "Which tone": "cold",
    "Make a letter": '{"subject":"s","pages":2}',
    "List the words": '["one","two"]',
}


def answer(seen: Seen) -> str:
    """A valid answer to every op but ``garble``, whose reply quotes what it was given."""
    known = next((text for start, text in ANSWERS.items() if start in seen.instruction), None)
    return known or "+".join(seen.operands.values())


def engine() -> Scripted:
    return Scripted(answer)


@driver(effect="read", roles={"text": "content"})
async def look(text: str) -> str:
    """Look something up."""
    return f"found {text}"


@driver(effect="read", roles={"text": "content"}, brings=USER)
async def recall(text: str) -> str:
    """Recall what the user said."""
    return text


@driver(effect="pure")
async def twice(text: str) -> str:
    """Say it twice."""
    return text + text


@driver(effect="read", roles={"text": "content"}, brings=USER)
def fail(text: str) -> str:
    """Fail, and tell of what."""
    raise ValueError(text)


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    return True


def both(a: Value[Any], b: Value[Any]) -> Label:
    return join(a._label, b._label)


def loss(claim: Claim) -> str:
    """What a claim loses: trust that went up, or readers that were let in; "" if nothing."""
    thing, made_of = claim
    if isinstance(thing, Value) and not thing.ready:
        return f"{thing!r} never settled"
    label = thing.label if isinstance(thing, Value) else thing
    return "" if join(label, made_of) is label else f"{thing!r} is {label}, made of {made_of}"


def losses(machine: Computer, path: Path) -> tuple[int, list[str]]:
    """How many cases a path was tried on, each in a scope of its own, and what it lost."""
    claims: list[list[Claim]] = []

    def case(a: Source, b: Source) -> list[Any]:
        claims.append(path(Value(*a), Value(*b)))
        return [thing for thing, _ in claims[-1] if isinstance(thing, Value)]

    run = finish(machine.start(lambda: [spawn(case, a, b) for a, b in PAIRS]))
    assert len(claims) == len(PAIRS), chain_of(run.error or Exception())
    lost = [found for case in claims for claim in case if (found := loss(claim))]
    return sum(map(bool, claims)), lost


def seen(look_at: Callable[[], Any]) -> Label:
    """The scope's label after a program has looked, whatever it raised."""
    with suppress(NlpuError):
        look_at()
    return current().label
