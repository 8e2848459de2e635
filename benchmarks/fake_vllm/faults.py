"""What goes wrong with which request of the scripted server: faults, scripts and seeded mixes.

Theory of operation
-------------------
A *plan* is a function from a request as the server saw it (``Seen``) to a ``Fault``, the name of
one, or None. ``script`` plays a list, one fault for each request in order of arrival; ``mix`` draws
by rates.

Rules
1. A plan is deterministic. ``mix`` draws from (seed, prompt, how often that prompt was seen), so
   it does not depend on the order in which parallel requests happen to arrive.
2. Questions about the server (models, version, health) are never asked of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlpu.testing.faults import draw

FAULTS = {
    "401": "the key is refused",
    "429": "too many requests, Retry-After: seconds",
    "503": "overloaded",
    "500": "a fault of the server",
    "refused": "the connection is reset and the port refuses for some seconds",
    "restart": "the server is killed: every connection is reset; back after some seconds",
    "engine_dead": "this and all later completions say EngineDeadError; back after some seconds",
    "reset": "the connection is reset before any answer",
    "no_answer": "nothing comes, the connection stays open",
    "slow": "the answer comes some seconds late",
    "cut": "the connection closes in the middle of the answer",
    "cut_politely": "a stream ends without its last events",
    "error_chunk": "status 200, and an error object in the answer",
    "empty": "no text, finish stop",
    "null": "null where the text belongs",
    "length": "half the text, finish length",
    "repeat": "one word up to max_tokens",
    "broken_json": "JSON that ends too early",
    "html": "a web page",
    "too_long": "400, context length",
    "schema": "400, the schema is not supported",
    "400": "another complaint about the request",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``seconds`` is how late, how long gone or when to come back; 0 is never back."""

    kind: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no fault is called {self.kind!r}; there are: {', '.join(FAULTS)}")


@dataclass(slots=True)
class Seen:
    """A generation request as the server saw it. ``ended`` says how it left.

    trace: its ``traceparent``, where it had one.
    """

    n: int
    id: str
    prompt_hash: str
    occurrence: int
    at: float
    path: str
    body: dict[str, Any] = field(repr=False)
    fault: str = ""
    ended: str = ""
    trace: str = ""


Plan = Callable[[Seen], Fault | str | None]


def fault(spec: Fault | str | None) -> Fault | None:
    """A fault from ``kind`` or ``kind:seconds``; None and "" are no fault."""
    if not spec or isinstance(spec, Fault):
        return spec or None
    kind, _, seconds = spec.partition(":")
    return Fault(kind, float(seconds or 0))


def script(faults: Sequence[Fault | str | None]) -> Plan:
    """The n-th request meets the n-th of ``faults``, later ones none."""
    planned = [fault(f) for f in faults]
    return lambda seen: planned[seen.n] if seen.n < len(planned) else None


def mix(seed: int, rates: Mapping[str, float]) -> Plan:
    """Faults at random: ``rates`` maps ``kind`` or ``kind:seconds`` to its share of requests."""
    ladder = [(fault(kind), rate) for kind, rate in rates.items()]

    def plan(seen: Seen) -> Fault | None:
        drawn = draw(f"{seed}/{seen.prompt_hash}/{seen.occurrence}")
        for kind, rate in ladder:
            drawn -= rate
            if drawn < 0:
                return kind
        return None

    return plan
