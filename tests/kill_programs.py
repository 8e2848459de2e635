"""Four shapes of program for the kill sweep: a chain, a fan-out, a growing tree, a loop.

Their results follow from the answers of the model alone, and the scripted server's answers follow
from the prompts alone: whatever is killed whenever, the result must be the same bytes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Literal

from nlpu import lift, nlop
from nlpu.errors import DriverFailed
from nlpu.label import USER
from nlpu.ops.op import Op
from nlpu.runtime import first, now, random, spawn
from nlpu.runtime.drivers.driver import driver

Share = Literal["none", "one", "two", "three"]
_CHILDREN = {"none": 1, "one": 2, "two": 2, "three": 2}


@nlop
def step(text: str) -> str:
    """Go on from the text."""


@nlop
def part(text: str, number: int) -> str:
    """Say what this part of the text is about."""


@nlop
def children(text: str) -> Share:
    """How many parts does the text fall into?"""


@nlop
def is_good(text: str) -> bool:
    """Is the text good enough?"""


@nlop
def shorten(text: str) -> str:
    """Say the same in fewer words."""


@nlop
def score(text: str) -> int:
    """How good is the text?"""


@nlop(temperature=0.7)
def idea(text: str) -> str:
    """What could be added to the text?"""


OPS: dict[str, Op[Any]] = {
    op.name: op for op in (step, part, children, is_good, shorten, score, idea)
}


def chain(size: int) -> Any:
    """Each call reads the one before."""
    texts: list[Any] = ["Once upon a time."]
    for _ in range(size):
        texts.append(step(texts[-1]))
    return texts


def fan(size: int) -> Any:
    """All calls at once."""
    return shorten.map([f"This is item number {i}." for i in range(size)])


def tree(size: int) -> Any:
    """Programs that start programs, as many as the model says; about ``size`` calls."""
    return spawn(_branch, "A text about everything.", max(1, size.bit_length() - 1))


def _branch(text: Any, levels: int) -> Any:
    if levels == 0:
        return [text]
    count = _CHILDREN[children(text).value]
    below = [spawn(_branch, part(text, i), levels - 1) for i in range(count)]
    return [text, *below]


def loop(size: int) -> Any:
    """What is asked next depends on the answers, on the clock, on chance and on a race."""
    text: Any = "A first draft."
    trail: list[Any] = []
    for round_ in range(size // 5):
        lift(str)(now().isoformat() + str(random().random()))  # differs unless it is remembered
        if is_good(text):
            text = shorten(text)
        elif round_ % 3 == 0:
            raced = first(step(text), part(text, round_))
            lift(len)(raced)
            text = step(str(step(text)))
        else:
            drawn = idea(text, samples=3)
            trail.append(drawn)
            text = shorten(drawn.value[round_ % 3])
        trail += [score(text), text]
    return trail


ACTS = "NLPU_TEST_ACTS"  # names the file that what was done is written to


@driver(effect="external", roles={"number": "content"}, brings=USER)
def act(number: int) -> str:
    """Do it, so that everybody can see that it was done."""
    with open(os.environ[ACTS], "ab", buffering=0) as log:
        log.write(b"%d\n" % number)
    return "done"


def acts(size: int) -> Any:
    """Calls, and after every second one an effect; what became of it is not what it gives."""
    texts: list[Any] = ["Once upon a time."]
    for number in range(size // 2):
        texts.append(step(texts[-1]))
        texts.append(shorten(texts[-1]))
        str(texts[-1])
        with suppress(DriverFailed):  # it was under way at a kill, and a person says it was done
            str(act(number))
    return texts


SHAPES = {"chain": chain, "fan": fan, "tree": tree, "loop": loop}
