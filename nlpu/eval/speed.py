"""How fast an op is on a processor: at so many at once, and whether it repeats itself.

Rules
1. A rate is of all calls from the first's beginning to the last's end; nlops are 100 generated
   tokens each. A latency is of one attempt at the engine.
2. Who asks more at once than the engine takes waits in the queue: ``in_flight`` is what it took.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nlpu.frozen import Frozen

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Pace(Frozen):
    """What so many calls at once come to (rules 1 and 2). cached: of the prompts' tokens."""

    at_once: Count
    in_flight: Count
    calls: Count
    calls_per_s: Amount
    tokens_per_s: Amount
    p50_s: Amount
    p95_s: Amount
    cached: Amount = 0.0

    @property
    def nlops_per_s(self) -> float:
        """Give the operations a second."""
        return self.tokens_per_s / 100


class Repeats(Frozen):
    """Of how many cases the answer at temperature 0 was the same again: alone, and in a crowd."""

    cases: Count
    alone: Count
    crowd: Count
    crowd_of: Count

    def __str__(self) -> str:
        return (
            f"asked again, {self.alone} of {self.cases} answers are the same alone, "
            f"{self.crowd} with {self.crowd_of} at once"
        )


class Reading(Frozen):
    """How fast a model reads a prompt of so many tokens, and with all but its last words known."""

    tokens: Count
    tokens_per_s: Amount
    shared_prefix: Amount

    def __str__(self) -> str:
        return (
            f"reads {self.tokens_per_s:,.0f} tokens a second; of {self.tokens:,} tokens whose "
            f"beginning was read before, a call is {self.shared_prefix:.1f} times as fast"
        )
