"""Several servers of one model as one engine: what shares a beginning stays together.

Theory of operation
-------------------
A server that has read a document answers the next question on it many times faster. So a request
goes where most of its beginning has been before, as far as that server is not much busier than the
idlest; what shares nothing goes to the idlest. What was sent where is remembered by the beginnings
of prompts, in steps of ``STEP`` tokens (of messages: characters). ``Ways`` decides that, and
touches no server.

A server that accepts no connection has not been sent anything: the request goes to another one in
the same attempt, and that server is left alone for a while, as is one whose engine is dead, and for
long one that is found to be another than was promised. All other faults are the scheduler's, which
tries again, perhaps elsewhere.

Rules
1. All servers are one processor: they must have one model, window and tokenizer apart, for which
   the least is promised. Another model is Usage, since its answers would be taken for this one's.
2. A request is sent once: it goes on to another server only where none was reached.
3. A server that was not there is asked what it is before anything is sent to it. One that cannot do
   what was promised, or does not say, is passed over; that is told where no other one is left.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from nlpu.engines.absent import none_of
from nlpu.errors import Cancelled, ConnectionLost, EngineDied, HostError, Unreachable, Usage
from nlpu.printing import counted, one_line
from nlpu.prompt.ids import Prompt
from nlpu.wire import Capabilities, Engine, Message, Reply, Request

STEP, MOST_STEPS = 128, 1 << 16  # of these, that are remembered of a server
BUSIER = 16  # requests more than the idlest has: then a held beginning decides nothing
COOL_S, MOST_COOL_S = 2.0, 60.0
_PROMISED = ("window", "constraints", "sampling", "priority", "probabilities")


class Ways:
    """Where requests go: what each server was sent, how busy it is, and whether it is there."""

    def __init__(self, servers: int) -> None:
        self.busy = [0] * servers
        self._held: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(servers)]
        self._down_until_s = [0.0] * servers
        self._failures = [0] * servers

    def pick(self, prompt: Sequence[int] | tuple[Message, ...], now_s: float) -> list[int]:
        """Give the servers in the order in which to try them; those that are down are last."""
        steps, least = [*_steps(prompt)], min(self.busy)

        def order(server: int) -> tuple[float, int, int]:
            down_s = self._down_until_s[server]
            held = self._shared(server, steps)
            free = self.busy[server] - least < BUSIER
            return (down_s if down_s > now_s else 0.0, -held * free, self.busy[server])

        return sorted(range(len(self.busy)), key=order)

    def sent(self, server: int, prompt: Sequence[int] | tuple[Message, ...]) -> None:
        """Note what a server is sent."""
        held = self._held[server]
        for step in _steps(prompt):
            held[step] = None
            held.move_to_end(step)
        while len(held) > MOST_STEPS:
            held.popitem(last=False)

    def failed(self, server: int, now_s: float, least_s: float = COOL_S) -> None:
        """Leave a server alone that could not be reached, the longer the more often that was."""
        cool_s = max(least_s, COOL_S * 2 ** min(self._failures[server], 10))
        self._down_until_s[server] = now_s + min(MOST_COOL_S, cool_s)
        self._failures[server] += 1
        self._held[server].clear()

    def answered(self, server: int) -> None:
        """Note that a server is there."""
        self._failures[server] = 0
        self._down_until_s[server] = 0.0

    def _shared(self, server: int, steps: list[int]) -> int:
        held = self._held[server]
        return next((at for at, step in enumerate(steps) if step not in held), len(steps))


def _steps(prompt: Sequence[int] | tuple[Message, ...]) -> Iterator[int]:
    """Hashes of a prompt's beginnings, each a step longer than the one before."""
    ids: Sequence[Any] = prompt.ids if isinstance(prompt, Prompt) else prompt
    if ids and isinstance(ids[0], Message):
        ids = "\0".join(f"{each.role}\0{each.content}" for each in ids)
    step = 0
    for end in range(STEP, len(ids) + 1, STEP):
        step = hash((step, ids[end - STEP : end]))
        yield step


class Replicas:
    """Servers that serve the same model, as one engine."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Take engines that are not opened yet. Raises Usage where there is none."""
        if not engines:
            raise Usage("replicas: give at least one server")
        self._engines, self._ways = list(engines), Ways(len(engines))
        self._known: dict[int, Capabilities] = {}
        self._refused: dict[int, tuple[float, HostError | Usage]] = {}  # and when
        self._whole: Capabilities | None = None
        self._at: dict[str, int] = {}  # where requests are, by id
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return one_line(f"Replicas({', '.join(map(repr, self._engines))})")

    async def capabilities(self) -> Capabilities:
        """Ask all. Raises Unreachable where none is there, with all reasons, Usage (rule 1)."""
        found = await asyncio.gather(
            *(engine.capabilities() for engine in self._engines), return_exceptions=True
        )
        absent = [each for each in found if isinstance(each, BaseException)]
        severe = next((each for each in absent if not isinstance(each, Unreachable)), None)
        if severe is not None or len(absent) == len(found):
            raise severe or none_of(absent)
        there = {at: can for at, can in enumerate(found) if isinstance(can, Capabilities)}
        first = next(iter(there.values()))
        for at, can in there.items():
            self._check(at, can, first)
        self._known, self._whole = there, _joined([*there.values()])
        for at in set(range(len(found))) - set(there):
            self._ways.failed(at, _now_s())
        missing = f"{counted(len(absent), 'server')} of {len(found)} cannot be reached"
        return replace(self._whole, weaker=(*self._whole.weaker, *[missing][: len(absent)]))

    def _check(self, at: int, can: Capabilities, first: Capabilities) -> None:
        same = (can.model, can.token_prompts, can.tokenizer is None)
        if same != (first.model, first.token_prompts, first.tokenizer is None):
            raise Usage(
                f"{self._engines[at]!r} serves {can.model}, another one {first.model}: servers of "
                "one processor must be alike; make two processors of them"
            )

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Send it to the server where most of its beginning has been (rule 2)."""
        failures = list[HostError | Usage]()
        for at in self._ways.pick(request.prompt, _now_s()):
            self._at[request.id] = at
            self._ways.busy[at] += 1
            self._ways.sent(at, request.prompt)
            try:
                failure = await self._ready(at)
                self._check_wanted(request)
                if failure is not None:
                    failures.append(failure)
                    continue
                reply = await self._engines[at].send(request, on_text)
            except Unreachable as error:
                self._gone(at)
                self._check_wanted(request)
                failures.append(error)
            except (EngineDied, ConnectionLost):  # it may have begun to answer
                self._gone(at)
                raise
            else:
                self._ways.answered(at)
                return reply
            finally:
                self._ways.busy[at] -= 1
                self._at.pop(request.id, None)
        if all(isinstance(each, Unreachable) for each in failures):
            raise none_of(failures)
        raise min(failures, key=lambda e: 2 - e.transient if isinstance(e, HostError) else 0)

    def _check_wanted(self, request: Request) -> None:  # raises Cancelled
        if request.id not in self._at:
            raise Cancelled(f"Request {request.id} was cancelled.")

    def _gone(self, at: int) -> None:
        """It is not there: what comes back may be another one."""
        self._ways.failed(at, _now_s())
        self._known.pop(at, None)

    async def _ready(self, at: int) -> HostError | Usage | None:
        """Why nothing can be sent to a server (rule 3); None if it can."""
        if at in self._known or self._whole is None:
            return None
        came_s = _now_s()
        async with self._opening:
            if at in self._known:
                return None
            asked_s, found = self._refused.get(at, (-1.0, None))
            if asked_s >= came_s:  # while this one waited
                return found
            try:
                can = await self._engines[at].capabilities()
                self._check(at, can, self._whole)
                self._check_promised(at, can, self._whole)
            except (HostError, Usage) as error:
                known_s = MOST_COOL_S if isinstance(error, Usage) else COOL_S
                self._ways.failed(at, _now_s(), known_s)
                self._refused[at] = _now_s(), error
                return error
            self._known[at] = can
            return None

    def _check_promised(self, at: int, can: Capabilities, whole: Capabilities) -> None:
        less = _joined([whole, can])
        odd = [name for name in _PROMISED if getattr(less, name) != getattr(whole, name)]
        if odd:
            window = f" ({can.window:,} tokens of {whole.window:,})" * ("window" in odd)
            raise Usage(
                f"{self._engines[at]!r} was not there at first, and can do less than the others, "
                f"in {', '.join(odd)}{window}: start it as they are, or begin anew with all there"
            )

    def cancel(self, request_id: str) -> None:
        """Stop it where it is."""
        at = self._at.pop(request_id, None)
        if at is not None:
            self._engines[at].cancel(request_id)

    async def close(self) -> None:
        """Close all."""
        closing = (engine.close() for engine in self._engines)
        for failed in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failed, BaseException):
                raise failed


def _joined(cans: Sequence[Capabilities]) -> Capabilities:
    """What all can do, and what they have together."""
    first, *rest = cans
    weaker = dict.fromkeys(note for can in cans for note in can.weaker)
    return replace(
        first,
        window=min(can.window for can in cans),
        max_in_flight=sum(can.max_in_flight for can in cans),
        constraints=first.constraints.intersection(*(can.constraints for can in rest)),
        sampling=first.sampling.intersection(*(can.sampling for can in rest)),
        priority=all(can.priority for can in cans),
        probabilities=all(can.probabilities for can in cans),
        weaker=tuple(weaker),
    )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
