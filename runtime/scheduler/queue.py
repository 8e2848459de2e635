"""One processor's queue of ready calls, and its attempts under way. State only.

Rules
1. The queue is ordered by rank, then by issue. A call whose rank has risen is in it twice; the
   entry whose rank is not the call's own is stale and skipped.
2. ``attempts`` is in order of sending, by node number; so all have the same time limit, the first
   is the first to be overdue.
3. At most ``limit`` attempts; while the server is down, one that knocks; a suspect alone.
4. ``limit`` is ``max_in_flight`` until the server refuses for want of room (``Overloaded``). A
   refusal of what was sent since the last cut halves it, each answer lets it creep up again, as
   TCP's window does. Meanwhile calls that back off take room, lest the next be refused as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappush
from math import inf

from nlpu.errors import Quarantined
from nlpu.processor import Processor
from nlpu.runtime.graph.node import Node
from nlpu.runtime.scheduler.budget import Amount
from nlpu.runtime.scheduler.retry import EndpointHealth
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.wire import Request

_CREEP = 1 / 16  # of an attempt, for each answer


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt of a call: to be sent, or under way.

    started: whoever sends it has begun to; what never began has taken nothing.
    dropped: nothing needs its outcome any more.
    """

    node: Node
    request: Request
    queue: ProcessorQueue
    run: RunCalls
    most: Amount
    sent_s: float = 0.0
    started: bool = False
    dropped: bool = False


class ProcessorQueue:
    """One processor's queue and what it has in flight."""

    def __init__(self, processor: Processor, health: EndpointHealth) -> None:
        self.processor = processor
        self.health = health
        self.calls: list[tuple[int, int, Node]] = []  # a heap
        self.attempts: dict[int, Attempt] = {}  # by node number
        self.limit = float(processor.max_in_flight)  # rule 4
        self.cut_s = -inf  # when it was last halved
        self.alone = False  # a suspect is in flight
        self.backing_off: set[int] = set()  # numbers of nodes

    def push(self, node: Node) -> None:
        """Queue a ready call by rank, then by issue."""
        heappush(self.calls, (-node.call_rank, node.issue_seq, node))

    def nodes(self) -> Iterator[Node]:
        """Give what is under way, then what is queued; some of it may be twice."""
        for attempt in self.attempts.values():
            yield attempt.node
        for entry in self.calls:
            yield entry[2]

    def has_room(self) -> bool:
        """Tell whether one more may be sent (rule 3)."""
        if self.alone:
            return False
        if self.health.down_since_s is not None:
            return not self.attempts and not self.backing_off
        most = int(self.limit)
        busy = most < self.processor.max_in_flight or self.health.refused_since_s < inf
        return len(self.attempts) + busy * len(self.backing_off) < most

    def refused(self, sent_s: float, now_s: float) -> None:
        """Note that the server had no room for an attempt (rule 4)."""
        self.health.refused_since_s = min(self.health.refused_since_s, now_s)
        if sent_s > self.cut_s:
            self.limit, self.cut_s = max(1.0, self.limit / 2), now_s

    def answered(self) -> None:
        """Note that it had room for one (rule 4)."""
        if self.limit < self.processor.max_in_flight:
            self.limit = min(self.processor.max_in_flight, self.limit + _CREEP)

    def expired(self, now: float) -> tuple[list[Attempt], float | None]:
        """Give the attempts that took too long, and when the next will have; None if none will."""
        limit = self.processor.limits.timeout_s
        late: list[Attempt] = []
        for attempt in self.attempts.values():
            end = attempt.sent_s + limit
            if end > now:
                return late, end
            late.append(attempt)
        return late, None


def quarantined(node: Node, queue: ProcessorQueue) -> Quarantined:
    """Make the error of a call that is not sent a third time."""
    return Quarantined(
        f"{node.work_name} at {node.issue_position} was in flight at two deaths of the server of "
        f"{queue.processor.name}; it is not sent again. The other calls go on"
    )
