"""Lanes: one processor's queue of ready calls, and its attempts under way. State only.

Rules
1. The queue is ordered by rank, then by issue. A call whose rank has risen is in it twice; the
   entry whose rank is not the call's own is stale and skipped.
2. ``flights`` is in order of sending, by node number.
3. At most ``max_in_flight`` attempts; while the server is down, one that knocks; a suspect alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from heapq import heappush

from nlpu.errors import Quarantined
from nlpu.processor import Processor
from nlpu.wire import Request
from runtime.budget import Amount
from runtime.faults import Health
from runtime.graph import Node


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
        return len(self.flights) < self.processor.max_in_flight


def quarantined(node: Node, lane: Lane) -> Quarantined:
    """The error of a call that is not sent a third time."""
    return Quarantined(
        f"{node.name} at {node.position} was in flight at two deaths of the server of "
        f"{lane.processor.name}; it is not sent again. The other calls go on"
    )
