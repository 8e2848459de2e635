"""The work of ``nlpu bench programs``: who asks what of whom, and how long each answer is.

    fleet    agents that start together, each with its own number of turns; a turn reads the whole
             transcript of the turns before it
    uneven   columns of calls, layer by layer; a call reads the one above it and sometimes one
             beside that; most answers are short, a few long

Rules
1. The same seed gives the same shape and lengths; ``name`` makes the texts of every repeat and run
   new, so that nobody finds another's prompts in the server's cache.
2. Answers are forced to their length by a constraint.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from nlpu.ops.op import Op, Operand
from nlpu.runtime.bench.throughput_profiles import ENDLESS, filled
from nlpu.sampling import Sampling
from nlpu.types.result import ResultType, result_type

SEED = 1


class Size(NamedTuple):
    """How much work: agents with at most so many turns, columns by layers; tokens of answers."""

    agents: int
    turns: int
    columns: int
    layers: int
    short: int = 12
    long: int = 160
    text: int = 80


ON_CPU = Size(12, 5, 6, 5, short=6, long=40, text=40)  # a real vLLM without a GPU
SMALL = Size(4, 3, 4, 3, short=6, long=32, text=40)


def _op(name: str, text: str, *operands: str) -> Op[str]:
    places = tuple(Operand(place, result_type(str)) for place in operands)
    result = ResultType("text", "text", "", ENDLESS, str)
    return Op(name, text, operands=places, result=result, sampling=Sampling(64), at_limit="trim")


TURN = _op("turn", "Write the next step of this work.", "transcript")
NOTE = _op("note", "Go on with the notes.", "text", "before")


def fleet(size: Size, name: str) -> dict[str, Any]:
    """Agents with their texts and the lengths of their answers."""
    dice = random.Random(SEED)
    agents = []
    for number in range(size.agents):
        turns = dice.randint(2, size.turns)
        texts = [_text(f"{name} {number} {turn}", size) for turn in range(turns)]
        tokens = [dice.randint(size.short, 4 * size.short) for _ in texts]
        agents.append({"texts": texts, "tokens": tokens})
    return {"agents": agents}


def uneven(size: Size, name: str) -> dict[str, Any]:
    """A layered graph of calls, parents by number."""
    dice = random.Random(SEED)
    nodes = []
    for number in range(size.columns * size.layers):
        above = number - size.columns
        parents = [above] if above >= 0 else []
        if above >= 0 and dice.random() < 0.25:
            start = above - above % size.columns
            parents = sorted({above, start + dice.randrange(size.columns)})
        tokens = size.long if dice.random() < 1 / 12 else dice.randint(size.short, 2 * size.short)
        text = _text(f"{name} {number}", size)
        nodes.append({"text": text, "parents": parents, "tokens": tokens})
    return {"nodes": nodes}


def _text(name: str, size: Size) -> str:
    return filled(lambda text: len(text.split()), size.text, name)
