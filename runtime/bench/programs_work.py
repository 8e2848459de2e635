"""The work of ``nlpu bench programs --peers``: who asks what of whom, and how long each answer is.

    fleet    agents that start together, each with its own number of turns; a turn reads the whole
             transcript of the turns before it
    uneven   columns of calls, layer by layer; a call reads the one above it and sometimes one
             beside that; most answers are short, a few long

Rules
1. The same seed gives the same shape and lengths to every framework; ``name`` makes the texts of
   every repeat and run new, so that nobody finds another's prompts in the server's cache.
2. All send the same messages, and answers are forced to their length by the same constraint.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from nlpu.ops.op import Op, Operand
from nlpu.prompt.codec import messages_of
from nlpu.prompt.convention import FIRST
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


FULL = Size(256, 12, 256, 12)  # fills the 256 slots of `programs_peers.GPU`
QUICK = Size(64, 8, 16, 8)  # fills a quarter of them, or less
ON_CPU = Size(12, 5, 6, 5, short=6, long=40, text=40)  # a real vLLM without a GPU
WARM_UP = Size(2, 2, 2, 2)


def _op(name: str, text: str, *operands: str) -> Op[str]:
    places = tuple(Operand(place, result_type(str)) for place in operands)
    result = ResultType("text", "text", "", ENDLESS, str)
    return Op(name, text, places, result, Sampling(64), "trim")


TURN = _op("turn", "Write the next step of this work.", "transcript")
NOTE = _op("note", "Go on with the notes.", "text", "before")


def prompt_of(op: Op[str]) -> dict[str, str]:
    """The op's messages as the peers fill them in: the same text that our codec makes.

    In the first convention, which has a system's and a user's turn whatever the operands are.
    """
    places = [f"{{{place.name}}}" for place in op.operands]
    return {turn.role: turn.content for turn in messages_of(op, places, convention=FIRST)}


def fleet(size: Size, name: str) -> dict[str, Any]:
    """Agents with their texts and the lengths of their answers."""
    dice = random.Random(SEED)
    agents = []
    for number in range(size.agents):
        turns = dice.randint(2, size.turns)
        texts = [_text(f"{name} {number} {turn}", size) for turn in range(turns)]
        tokens = [dice.randint(size.short, 4 * size.short) for _ in texts]
        agents.append({"texts": texts, "tokens": tokens})
    return {**prompt_of(TURN), "agents": agents}


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
    return {**prompt_of(NOTE), "nodes": nodes}


PROGRAMS = {"fleet": fleet, "uneven": uneven}


def _text(name: str, size: Size) -> str:
    return filled(lambda text: len(text.split()), size.text, name)


def calls_of(work: dict[str, Any]) -> int:
    """How many calls the work is."""
    if "agents" in work:
        return sum(len(agent["tokens"]) for agent in work["agents"])
    return len(work["nodes"])


def answer_tokens(work: dict[str, Any]) -> int:
    """How many tokens its answers have."""
    if "agents" in work:
        return sum(sum(agent["tokens"]) for agent in work["agents"])
    return sum(node["tokens"] for node in work["nodes"])
