"""What a call took: as its node keeps it, as a row holds it, and as a budget counts it.

Rules
1. A row's usage is a list of numbers, less the zeros at its end: a figure that is new stands last,
   and so does a count that is new in ``wire.Usage``.
2. ``cost_of(usage_of(cost))`` is the cost as that of a call met in a journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.wire import COUNTS, Usage

NEWER = COUNTS[4:]  # than the rows of before there were such
MOST_FIGURES = 10 + len(NEWER)


@dataclass(slots=True)
class Cost(Usage):
    """What one call took. Tokens as the engine counts them; seconds on the computer's clock."""

    attempts: int = 0
    wasted_tokens: int = 0
    queue_s: float = 0.0
    service_s: float = 0.0
    start_s: float = 0.0
    money: float = 0.0
    how: str = "made"  # made | reused (from the journal) | shared (with an equal call) | driven
    trimmed: bool = False
    knocks: int = 0  # attempts on a server that was down
    refused: int = 0  # attempts that a server had no room for
    again: int = 0  # replies that were no result, and were asked for again
    unsent: int = 0  # 1 until the last of these is sent: a budget may never let it


@dataclass(slots=True)
class Counts:
    """Totals of a run, kept as it goes; other figures are computed from its nodes."""

    calls: int = 0
    reused: int = 0
    shared: int = 0
    attempts: int = 0
    waiting: int = 0
    in_flight: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    issued: int = 0  # calls


def usage_of(cost: Cost) -> list[Any]:
    """A call's cost as a row holds it."""
    rare = (
        cost.attempts - 1,
        cost.cached_tokens,
        cost.thinking_tokens,
        int(cost.trimmed),
        cost.money,
        cost.again,
        *map(cost.__getattribute__, NEWER),
    )
    usage: list[Any] = [
        cost.prompt_tokens,
        cost.completion_tokens,
        round(cost.service_s * 1000),
        round(cost.queue_s * 1000),
        *(rare if any(rare) else ()),
    ]
    while usage and not usage[-1]:
        usage.pop()
    return usage


def cost_of(usage: list[Any]) -> Cost:
    """The cost a row stands for, as that of a call met in the journal."""
    every = usage + [0] * (MOST_FIGURES - len(usage))
    prompt, completion, service, queue, resent, cached, thinking, trimmed, money, again = every[:10]
    return Cost(
        **dict(zip(NEWER, every[10:], strict=True)),
        attempts=resent + 1,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        thinking_tokens=thinking,
        queue_s=queue / 1000,
        service_s=service / 1000,
        money=money,
        how="reused",
        trimmed=bool(trimmed),
        again=again,
    )


def amount_of(cost: Cost, answered: int = 1) -> Amount:
    """What a call took, as a budget counts it.

    answered: 0 for a call whose every reply was asked for again.
    """
    tokens = cost.prompt_tokens + cost.completion_tokens
    return Amount(
        cost.again + answered, cost.completion_tokens / TOKENS_PER_NLOP, tokens, cost.money
    )
