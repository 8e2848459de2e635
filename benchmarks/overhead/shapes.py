"""The shapes of ``nlpu bench overhead``: as a program of ours, and by hand in asyncio.

Both make the same number of calls in the same order of dependence. ``Note`` gives the text of the
call with that number, ``Ask`` makes the request with that number. Ours are written as a user
writes them: ops on Values, and a plain ``if`` where an agent decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from nlpu import Computer, Value, nlop

Note = Callable[[int], str]
Ask = Callable[[int], Awaitable[str]]
AGENTS, STEPS = 200, 5


@nlop
def begin(note: str) -> bool:
    """Is the note in order?"""


@nlop
def step(note: str, before: bool) -> bool:
    """Is the note in order?"""


@nlop
def both(note: str, left: bool, right: bool) -> bool:
    """Is the note in order?"""


# -- ours --------------------------------------------------------------------------------------


def fan_out(note: Note) -> Any:
    """1,000 calls that know nothing of each other."""
    return [begin(note(i)) for i in range(1000)]


def chain(note: Note) -> Any:
    """200 calls, each reads the one before."""
    last = begin(note(0))
    for i in range(1, 200):
        last = step(note(i), last)
    return last


def tree(note: Note) -> Any:
    """256 leaves, folded in pairs."""
    level: list[Value[bool]] = [begin(note(i)) for i in range(256)]
    count = 256
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [both(note(count + i), a, b) for i, (a, b) in enumerate(pairs)]
        count += len(level)
    return level[0]


def layered(note: Note) -> Any:
    """20 layers of 50, each call reads two of the layer before."""
    dice = random.Random(1)
    level: list[Value[bool]] = [begin(note(i)) for i in range(50)]
    every = list(level)
    for layer in range(1, 20):
        level = [
            both(note(layer * 50 + i), level[dice.randrange(50)], level[dice.randrange(50)])
            for i in range(50)
        ]
        every += level
    return every


def agent(note: Note, number: int) -> Any:
    """One of a fleet: five calls, and a look at each answer before the next."""
    last = begin(note(STEPS * number))
    for i in range(1, STEPS):
        if not last:
            break
        last = step(note(STEPS * number + i), last)
    return last


def run_one(program: Callable[[Note], Any]) -> Callable[[Computer, Note], None]:
    """Run one program and wait for it."""
    return lambda computer, note: _finished(computer.start(program, note))


def run_fleet(computer: Computer, note: Note) -> None:
    """Run all agents at once and wait for them."""
    for run in [computer.start(agent, note, number) for number in range(AGENTS)]:
        _finished(run)


def _finished(run: Any) -> None:
    run.wait()
    if run.error is not None:
        raise run.error


# -- by hand -----------------------------------------------------------------------------------


async def bare_fan_out(ask: Ask) -> None:
    await asyncio.gather(*(ask(i) for i in range(1000)))


async def bare_chain(ask: Ask) -> None:
    for i in range(200):
        await ask(i)


async def _after(ask: Ask, number: int, *parents: asyncio.Task[str]) -> str:
    for parent in parents:
        await parent
    return await ask(number)


async def bare_tree(ask: Ask) -> None:
    level = [asyncio.create_task(_after(ask, i)) for i in range(256)]
    count = 256
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2], strict=True))
        level = [
            asyncio.create_task(_after(ask, count + i, a, b)) for i, (a, b) in enumerate(pairs)
        ]
        count += len(level)
    await level[0]


async def bare_layered(ask: Ask) -> None:
    dice = random.Random(1)
    level = [asyncio.create_task(_after(ask, i)) for i in range(50)]
    every = list(level)
    for layer in range(1, 20):
        level = [
            asyncio.create_task(
                _after(ask, layer * 50 + i, level[dice.randrange(50)], level[dice.randrange(50)])
            )
            for i in range(50)
        ]
        every += level
    await asyncio.gather(*every)


async def bare_fleet(ask: Ask) -> None:
    async def one(number: int) -> None:
        for i in range(STEPS):
            await ask(STEPS * number + i)

    await asyncio.gather(*(one(number) for number in range(AGENTS)))


class Shape(NamedTuple):
    """A number of calls, and both ways to make them."""

    calls: int
    ours: Callable[[Computer, Note], None]
    bare: Callable[[Ask], Awaitable[None]]


SHAPES = {
    "fan-out 1,000": Shape(1000, run_one(fan_out), bare_fan_out),
    "chain 200": Shape(200, run_one(chain), bare_chain),
    "tree 256 leaves": Shape(511, run_one(tree), bare_tree),
    "layered 20 x 50": Shape(1000, run_one(layered), bare_layered),
    "fleet 200 x 5": Shape(AGENTS * STEPS, run_fleet, bare_fleet),
}
