"""Lanes: one processor's queue of ready calls, and its attempts under way. State only.

Rules
1. The queue is ordered by rank, then by issue. A call whose rank has risen is in it twice; the
   entry whose rank is not the call's own is stale and skipped.
2. ``flights`` is in order of sending, by node number.
3. At most ``limit`` attempts; while the server is down, one that knocks; a suspect alone.
4. ``limit`` is ``max_in_flight`` until the server refuses for want of room (``Overloaded``). A
   refusal of what was sent since the last cut halves it, each answer lets it creep up again, as
   TCP's window does. Meanwhile calls that back off take room, lest the next be refused as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from heapq import heappush
from math import inf

from nlpu.errors import Quarantined
from nlpu.processor import Processor
from nlpu.runtime.graph.node import Node
from nlpu.runtime.scheduler.budget import Amount
from nlpu.runtime.scheduler.retry import Health
from nlpu.wire import Request

_CREEP = 1 / 16  # of an attempt, for each answer


@dataclass(slots=True)
class Flight:
    """One attempt under way."""

    node: Node
    request: Request
    lane: Lane
    most: Amount
    sent_s: float = 0.0
    task: asyncio.Task[None] | None = None
    started: bool = False
    dropped: bool = False


class Lane:
    """One processor's queue and what it has in flight."""

    def __init__(self, processor: Processor, health: Health) -> None:
        self.processor = processor
        self.health = health
        self.queue: list[tuple[int, int, Node]] = []
        self.flights: dict[int, Flight] = {}  # by node number
        self.limit = float(processor.max_in_flight)  # rule 4
        self.cut_s = -inf  # when it was last halved
        self.alone = False  # a suspect is in flight
        self.waiting: set[int] = set()  # numbers of the nodes that back off
        self.watch: asyncio.TimerHandle | None = None  # for attempts that take too long

    def push(self, node: Node) -> None:
        """Queue a ready call by rank, then by issue."""
        heappush(self.queue, (-node.rank, node.seq, node))

    def has_room(self) -> bool:
        """Whether one more may be sent (rule 3)."""
        if self.alone:
            return False
        if self.health.down_since_s is not None:
            return not self.flights and not self.waiting
        most = int(self.limit)
        busy = most < self.processor.max_in_flight or self.health.refused_since_s < inf
        return len(self.flights) + busy * len(self.waiting) < most

    def refused(self, sent_s: float, now_s: float) -> None:
        """The server had no room for an attempt (rule 4)."""
        self.health.refused_since_s = min(self.health.refused_since_s, now_s)
        if sent_s > self.cut_s:
            self.limit, self.cut_s = max(1.0, self.limit / 2), now_s

    def answered(self) -> None:
        """It had room for one (rule 4)."""
        self.limit = min(self.processor.max_in_flight, self.limit + _CREEP)


def quarantined(node: Node, lane: Lane) -> Quarantined:
    """The error of a call that is not sent a third time."""
    return Quarantined(
        f"{node.name} at {node.position} was in flight at two deaths of the server of "
        f"{lane.processor.name}; it is not sent again. The other calls go on"
    )
