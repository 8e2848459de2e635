"""Which requests of a scripted engine fail, and how: a plan of faults.

    Scripted("yes", faults=mix({Overloaded: 0.2, ConnectionLost: 0.1}, seed=7))

Rules
1. A plan is a function of a request, and of how often its prompt came before, to an error or None.
2. ``mix`` draws from (seed, prompt, that number): it does not depend on the order in which parallel
   requests happen to arrive, and what failed may succeed when it is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from nlpu.errors import NlpuError, Usage
from nlpu.wire import Request

Plan = Callable[[Request, int], NlpuError | None]


def mix(rates: Mapping[type[NlpuError] | NlpuError, float], seed: int = 0) -> Plan:
    """Plan faults at random: each error for its share of the requests. Raises Usage."""
    if min(rates.values(), default=0.0) < 0 or sum(rates.values()) > 1:
        raise Usage(f"mix() takes shares of the requests, from 0 to 1 and 1 in all, not {rates}")

    def plan(request: Request, before: int) -> NlpuError | None:
        drawn = draw(f"{seed}/{tuple(request.prompt)}/{before}")
        for error, share in rates.items():
            drawn -= share
            if drawn < 0:
                return error("a planned fault") if isinstance(error, type) else error
        return None

    return plan


def draw(key: str) -> float:
    """A number in [0, 1) that depends on ``key`` only."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56
