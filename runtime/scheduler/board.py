"""The board: what all parts of the scheduler look at and write on.

Rules
1. An event is noted in the order of its row. What was noted is applied before anything else is
   asked of the scheduler, so between two questions a node's stage says whether it is closed.
2. Until then ``is_ready`` knows which calls this very question has closed already.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop
from typing import Any

from nlpu.errors import HostError, ModelError
from nlpu.ops.op import Op
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.scheduler.events import Event, Failed, Follows
from nlpu.runtime.scheduler.queue import ProcessorQueue
from nlpu.runtime.scheduler.run_calls import RunCalls

_READY = Stage.READY  # a local name: enum attributes are slow to look up


class Board:
    """The queues, the runs, and what has happened since it was last told."""

    def __init__(self) -> None:
        self.queues: dict[str, ProcessorQueue] = {}
        self.runs: dict[int, RunCalls] = {}
        self.default = ""  # the processor of ops that name none
        self.due = False  # scheduling again would find something
        self.events: list[Event] = []  # since the last ``take``
        self.closed: set[int] = set()  # rule 2

    def take(self) -> list[Event]:
        """Give what has happened since, and forget it."""
        events, self.events = self.events, []
        return events

    def queue_of(self, op: Op[Any]) -> ProcessorQueue | None:
        """Give the queue of an op's processor; None if that is not there."""
        return self.queues.get(op.processor or self.default)

    def nodes(self) -> Iterator[Node]:
        """Give the calls under way, and those that wait to be sent."""
        for queue in self.queues.values():
            yield from queue.nodes()

    def run_of(self, node: Node) -> RunCalls:
        """Give the calls of the node's run."""
        return self.runs[node.issue_scope.run.number]

    def is_ready(self, node: Node) -> bool:
        """Tell whether the call waits to be sent (rule 2), and its run goes on."""
        ready = node.work_stage is _READY and node.issue_seq not in self.closed
        return ready and node.issue_scope.run.number in self.runs

    def push(self, node: Node) -> None:
        """Queue a ready call."""
        self.queues[node.node_work.op.processor or self.default].push(node)
        self.due = True

    def close(self, run: RunCalls, node: Node, error: BaseException) -> None:
        """Fail a call for good, and what shares it."""
        assert node.call_key is not None
        self.closed.add(node.issue_seq)
        sides = {HostError: "host", ModelError: "model"}
        side = next((name for kind, name in sides.items() if isinstance(error, kind)), "program")
        if side == "host":
            run.leaders.pop(node.call_key, None)
        else:
            run.invalid.pop(node.call_key, None)
        self.events.append(Failed(node, error, side))
        for sharer in run.followers.pop(node.call_key, ()):
            self.events.append(Follows(node, sharer))
        self.unblock(run)  # it may have been the one that was tried

    def unblock(self, run: RunCalls) -> None:
        """Try the first of the calls that the budget refused: something settled, or it fitted."""
        while run.ledger.blocked:
            node = heappop(run.ledger.blocked)[2]
            if self.is_ready(node):
                self.push(node)
                break
