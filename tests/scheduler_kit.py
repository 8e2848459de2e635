"""A scheduler alone, on a table: no loop, no journal, no graph."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from kit import echo

from nlpu import op
from nlpu.errors import Cancelled
from nlpu.label import USER
from nlpu.ops.op import Call, Op
from nlpu.processor import FREE, Limits, Processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime import Budget
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Counts
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import BudgetLedger
from nlpu.runtime.scheduler.events import Done, Failed, Follows
from nlpu.runtime.scheduler.queue import Attempt
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.runtime.scheduler.scheduler import Scheduler
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer, Tokenizer
from nlpu.wire import Capabilities, Reply, Usage

count = op("Count the words.", int, name="count")


class Table:
    """A scheduler, a run on it, and a hand that only settles nodes."""

    def __init__(
        self,
        max_in_flight: int = 2,
        budget: Budget | None = None,
        gate: Gate | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.scheduler = Scheduler(Random(7))
        self.scheduler.default = "main"
        able = Capabilities("m", 10_000, max_in_flight, tokenizer="chars")
        codec = Codec(tokenizer or CharTokenizer(), scripted_frame())
        limits = Limits(attempts=3, timeout_s=10.0, patience_s=60.0)
        self.scheduler.add(Processor("main", Scripted(), able, codec, FREE, limits))
        (self.queue,) = self.scheduler.queues.values()
        self.ledger, self.counts = BudgetLedger(budget or Budget()), Counts()
        run = RunCalls(1, self.ledger, self.counts, DEFAULT, {}, gate)
        self.scheduler.runs[1] = run
        self.scope: Any = SimpleNamespace(
            run=SimpleNamespace(number=1),
            path="main",
            issued=0,
            label=USER,
            control=None,
            origin=None,
            going=True,
        )
        self.seq, self.now = 0, 0.0

    def issue(self, text: str, *reads: Node, op: Op[Any] = echo) -> Node:
        """A call that is not ready yet."""
        node = Node(self.scope, Call(op), reads or (text,))
        self.seq += 1
        node.issue_seq, node.operand_texts = self.seq, (text,)
        node.call_key = f"{op.name} {text}".encode()
        self.scheduler.issued(node)
        return node

    def ready(self, text: str, op: Op[Any] = echo) -> Node:
        """A call whose operands are there."""
        node = self.issue(text, op=op)
        self.scheduler.submit(node, self.now)
        return node

    def schedule(self) -> list[Attempt]:
        """What is to be sent, and is."""
        attempts = self.scheduler.schedule()
        self.scheduler.sent(attempts, self.now)
        for attempt in attempts:
            attempt.started = True
        return attempts

    def update(self, attempt: Attempt, outcome: Reply | BaseException | str) -> list[Any]:
        """What comes of an outcome; a text is a reply of that."""
        reply = Reply(outcome, "stop", Usage(5, 1)) if isinstance(outcome, str) else outcome
        self.scheduler.update(attempt, reply, self.now)
        return self.told()

    def told(self) -> list[Any]:
        """The events since, applied as far as the graph is concerned."""
        events = self.scheduler.take()
        for event in events:
            match event:
                case Done(node, decoded, _):
                    node.take_outcome(decoded.content, None, USER)
                case Failed(node, error, _):
                    node.take_outcome(None, error, USER)
                case Follows(leader, sharer) if sharer.work_stage is not Stage.SETTLED:
                    sharer.take_outcome(leader._content, leader._error, USER)
        return events

    def cancel(self, node: Node) -> list[Any]:
        """What comes of it that nothing needs a call any more."""
        self.scheduler.cancel(node)
        events = self.told()
        if node.work_stage is not Stage.SETTLED:
            node.take_outcome(None, Cancelled("not needed"), USER)
        return events


def texts(attempts: list[Attempt]) -> list[str]:
    texts = [attempt.node.operand_texts for attempt in attempts]
    return [each[0] for each in texts if each is not None]


def kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]
