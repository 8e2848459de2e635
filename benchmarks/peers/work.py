"""The work of ``nlpu bench programs`` as every framework is told it: with the messages to send.

All send the same messages, and answers are forced to their length by the same constraint.
"""

from __future__ import annotations

from typing import Any

from nlpu.ops.op import Op
from nlpu.prompt.convention import FIRST
from nlpu.prompt.messages import messages_of
from nlpu.runtime.bench.programs_work import NOTE, TURN, Size, fleet, uneven

FULL = Size(256, 12, 256, 12)  # fills the 256 slots of `running.GPU`
QUICK = Size(64, 8, 16, 8)  # fills a quarter of them, or less
WARM_UP = Size(2, 2, 2, 2)
PROGRAMS = {"fleet": (fleet, TURN), "uneven": (uneven, NOTE)}


def work_of(program: str, size: Size, name: str) -> dict[str, Any]:
    """What is to be done, and in which words."""
    make, op = PROGRAMS[program]
    return {**prompt_of(op), **make(size, name)}


def prompt_of(op: Op[str]) -> dict[str, str]:
    """The op's messages as the peers fill them in: the same text that our codec makes.

    In the first convention, which has a system's and a user's turn whatever the operands are.
    """
    places = [f"{{{place.name}}}" for place in op.operands]
    return {turn.role: turn.content for turn in messages_of(op, places, convention=FIRST)}


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
