"""Equal draws that are asked for at the same moment, as one request for several answers (``n``).

Theory of operation
-------------------
The draws of a vote are sent in one turn of the loop, each as a request of its own. Those whose
bodies are the same gather until the turn is over; then one request goes out for all of them, and
each gets one of its answers. The server reads the prompt once. Who sends does not notice: a draw
has its reply, or its failure, as if it had been alone.

Rules
1. Alike are draws above temperature 0, without a seed of their own, that are not weighed.
2. Who gives up takes nothing from the others; when nobody waits any more, the request is given up.
3. What a server does not give of what it was asked for is asked for alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from nlpu.wire import Reply, Request

Replies = Sequence[Reply | BaseException]


def may_gather(request: Request) -> bool:
    """Whether others may be like it (rule 1)."""
    asked = request.sampling
    return asked.temperature > 0 and asked.seed is None and not request.probabilities


@dataclass(slots=True)
class Together:
    """Gathers draws. ``several`` asks for so many answers at once and may give fewer."""

    several: Callable[[bytes, Request, int], Awaitable[Replies]]
    alone: Callable[[Request], Awaitable[Reply]]
    _gathering: dict[bytes, list[asyncio.Future[Reply]]] = field(default_factory=dict)
    _tasks: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)

    async def draw(self, body: bytes, request: Request) -> Reply:
        """Give the reply of one draw; equal bodies are equal draws."""
        loop, waiting = asyncio.get_running_loop(), self._gathering.setdefault(body, [])
        mine: asyncio.Future[Reply] = loop.create_future()
        waiting.append(mine)
        if len(waiting) == 1:
            self._tasks[body] = loop.create_task(self._carry(body, request))
        task = self._tasks[body]
        try:
            return await mine
        finally:
            if all(each.cancelled() for each in waiting):  # in this turn or a later one
                self._end(body, waiting)
                task.cancel()

    def _end(self, body: bytes, waiting: list[asyncio.Future[Reply]]) -> None:
        """Nobody joins these any more."""
        if self._gathering.get(body) is waiting:
            del self._gathering[body], self._tasks[body]

    async def _carry(self, body: bytes, request: Request) -> None:
        """Ask for all who have gathered by now."""
        gathered = self._gathering[body]
        self._end(body, gathered)
        waiting = [each for each in gathered if not each.cancelled()]
        replies = list[Reply | BaseException]()
        try:
            if len(waiting) > 1:
                replies += await self.several(body, request, len(waiting))
            rest = [self.alone(request) for _ in waiting[len(replies) :]]
            replies += await asyncio.gather(*rest, return_exceptions=True)
        except Exception as error:
            replies = [error] * len(waiting)
        for mine, reply in zip(waiting, replies, strict=False):
            if mine.done():
                continue
            if isinstance(reply, BaseException):
                mine.set_exception(reply)
            else:
                mine.set_result(reply)
