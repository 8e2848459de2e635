"""Calls: the hand of the scheduler, which asks and tells it, and carries out what it says.

Theory of operation
-------------------
The scheduler decides and does nothing. Here is what it takes to do it: the journal of a run, the
loop's tasks and timers, the graph. A call that is ready first looks for its result in the journal
of its run's former lives; what is not there is submitted to the scheduler. What that answers are
events; ``call_events`` says what is done for each, in their order.

Rules
1. An outcome is journaled before anyone sees it, and an attempt before it is sent.
2. A replay asks nobody: it fails what its journal does not hold.
3. Without its processor a call fails alone, but a run does not go another way than a former life
   of it that had one: that waits for another day.
4. An attempt's outcome is posted, whatever happens. One that was dropped before it began is not
   sent, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from nlpu.errors import (
    BadOperand,
    Cancelled,
    DeadlineExceeded,
    HostError,
    ModelError,
    NlpuError,
    TimedOut,
    described,
    failure_of,
)
from nlpu.processor import Processor
from nlpu.runtime.call_events import CallEvents
from nlpu.runtime.call_key import key_of
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.usage import cost_of
from nlpu.runtime.journal.records import Outcome
from nlpu.runtime.journal.writer import AskedCall
from nlpu.runtime.ports import Ports
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.events import Dropped, RetryAfter
from nlpu.runtime.scheduler.queue import Attempt, ProcessorQueue
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.runtime.scheduler.scheduler import Scheduler
from nlpu.wire import Reply

Listener = Callable[[Node, str], None]


class Calls:
    """Has the calls of all runs made, as the scheduler says."""

    def __init__(self, scheduler: Scheduler, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduler, self._loop = scheduler, loop
        self._ports: Ports
        self.issued: Callable[[Node], None] = scheduler.issued
        self._listeners: dict[int, Listener] = {}  # by run
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}
        self._watches: dict[str, asyncio.TimerHandle] = {}  # by processor: who takes too long?
        self._do: dict[type, Callable[[Any], None]] = {}

    def connect(self, ports: Ports) -> None:
        """Take the machine, of which this is a part."""
        self._ports = ports
        self._do = CallEvents(ports).do | {Dropped: self._dropped, RetryAfter: self._back_off}

    def begin(self, run: RunState, gate: Gate | None, listener: Listener | None) -> None:
        """Take on a run. ``gate``: its breakpoints; ``listener``: gets pieces of its replies."""
        if listener is not None:
            self.listen(run, listener)
        if gate is not None:

            def post(step: Callable[[], None]) -> None:
                if not self._loop.is_closed():  # else nothing is held any more
                    self._loop.call_soon_threadsafe(self._ports.outside.on_hub, step)

            gate.attach(post, self._pass_on)
        self._scheduler.runs[run.number] = RunCalls(
            run.number,
            ledger=run.ledger,
            counts=run.counts,
            convention=run.convention,
            estimates=run.estimates,
            gate=gate,
        )

    def listen(self, run: RunState, listener: Listener) -> None:
        """Hand pieces of the run's replies to a listener as they come."""
        self._listeners[run.number] = listener

    def expire(self, run: RunState) -> None:
        """Stop a run whose seconds are over."""
        calls, limit = self._scheduler.runs.get(run.number), run.ledger.budget.seconds
        fault = None if calls is None else calls.fault
        why = f"; its newest attempt failed: {fault}" if fault is not None else ""
        error = DeadlineExceeded(f"the run's {limit:g} seconds ran out; it can be resumed{why}")
        self._ports.outside.post(self._ports.outside.stop, run, error)

    def end(self, run: RunState) -> None:
        """Let go of a run that is over; what is still under way is not its own any more."""
        self._scheduler.runs.pop(run.number, None)
        self._listeners.pop(run.number, None)

    def before(self, processor: str) -> int:
        """Give how many calls wait for a processor, or are under way there; raised ranks twice."""
        queue = self._scheduler.queues.get(processor)
        return 0 if queue is None else len(queue.calls) + len(queue.attempts)

    def write(self) -> None:
        """Carry out what the scheduler has said since."""
        scheduler, do = self._scheduler, self._do
        for event in scheduler.take() if scheduler.events else ():
            do[type(event)](event)
        if scheduler.due:
            self._ports.outside.soon()

    def _pass_on(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._scheduler.push(node)
        self.write()

    # -- a call is ready ---------------------------------------------------------------------

    def ready(self, node: Node) -> None:
        """Find the call's result, its equal, or its place in the queue."""
        op, texts, run, scheduler = (
            node.node_work.op,
            node.operand_texts,
            node.issue_scope.run,
            self._scheduler,
        )
        replay, ancestor = run.replay, run.replay.ancestor
        queue = (
            None
            if replay.only and node.issue_position in replay.past.absent
            else scheduler.queue_of(op)
        )
        if queue is None:
            self._absent(node)
        assert texts is not None
        key = key_of(run, op, queue.processor, _draw(node), texts)
        node.call_key = key = (
            key if ancestor is None else ancestor.key(node.issue_position, op, key)
        )
        if not (replay.resumed and self._known(node, key, texts, queue.processor)):
            invalid = replay.invalid(key) if replay.past.invalid else ()
            scheduler.submit(node, self._ports.outside.turn_s, invalid)
            if scheduler.events:  # else it is queued, and this turn goes on to schedule
                self.write()

    def _known(self, node: Node, key: bytes, texts: tuple[str, ...], processor: Processor) -> bool:
        """Whether the journal of a run that was resumed says what becomes of the call (rule 2)."""
        op, run, replay = node.node_work.op, node.issue_scope.run, node.issue_scope.run.replay
        asked = AskedCall(node.issue_position, op, processor.identity, key, texts)
        replay.check_position(asked)
        if self._scheduler.leader(node) is not None:
            return False
        outcome = replay.remembered(asked, node.label_read)
        if outcome is not None:
            self._scheduler.lead(node)
            self._reuse(node, outcome)
        elif replay.only:
            processor.check(op)
            processor.speaking(run.convention).prompt(op, texts)  # refused before, and again
            self._ports.graph.fail(node, replay.missing(node.issue_position, node.work_name))
        return outcome is not None or replay.only

    def _absent(self, node: Node) -> NoReturn:
        """The call's processor is not there (rule 3)."""
        run, name = node.issue_scope.run, node.node_work.op.processor
        if run.replay.only and node.issue_position in run.replay.past.absent:
            raise failure_of(*run.replay.past.absent[node.issue_position], "host")
        try:
            name = self._ports.processors.find(name).name
        except HostError as error:
            if (name or self._scheduler.default) in run.replay.header.get("processors", ()):
                self._ports.outside.post(self._ports.outside.stop, run, error)
            run.history.absent(node.issue_position, error)
            raise
        raise HostError(f"the processor {name} has no queue; please report it")

    def _reuse(self, node: Node, outcome: Outcome) -> None:
        run = node.issue_scope.run
        run.counts.reused += 1
        node.call_cost = cost_of(outcome.usage)
        if outcome.fault:
            raise failure_of(outcome.fault, outcome.message, outcome.side)
        text = run.journal.texts[outcome.text]
        if run.replay.ancestor is not None and run.replay.ancestor.was_edited(node.issue_position):
            node.lower_label(run.replay.ancestor.edits.label(node.issue_position))
        try:
            content = node.node_work.op.result.parse(text)
        except ModelError as error:
            if run.replay.ancestor is None or not run.replay.ancestor.was_edited(
                node.issue_position
            ):
                raise
            raise BadOperand(
                f"the text set for {node.issue_position} does not fit: {error}"
            ) from None
        node.call_reply = text
        self._ports.graph.settle(node, content)

    # -- sending -----------------------------------------------------------------------------

    def send(self, attempts: list[Attempt]) -> None:
        """Start attempts whose rows are committed."""
        now, loop = self._loop.time(), self._loop
        self._scheduler.sent(attempts, now)
        for attempt in attempts:
            self._tasks[attempt] = loop.create_task(self._carry(attempt))
            if attempt.queue.processor.name not in self._watches:
                self._watch(attempt.queue, now)

    def _watch(self, queue: ProcessorQueue, now: float) -> None:
        """Give up on attempts that took too long; look again when the next may have."""
        late, end = queue.expired(now)
        for attempt in late:
            if attempt in self._tasks:
                self._tasks[attempt].cancel()
        if end is not None:
            look = self._loop.call_later(end - now, self._look_again, queue)
            self._watches[queue.processor.name] = look

    def _look_again(self, queue: ProcessorQueue) -> None:
        del self._watches[queue.processor.name]
        self._watch(queue, self._loop.time())

    async def _carry(self, attempt: Attempt) -> None:
        """One attempt (rule 4)."""
        processor, post = attempt.queue.processor, self._ports.outside.post
        if attempt.dropped:
            post(self._ended, attempt, Cancelled("never sent"))
            return
        attempt.started = True
        on_text: Callable[[str], None] | None = None
        listener = self._listeners.get(attempt.run.number)
        if listener is not None:
            on_text = lambda piece: listener(attempt.node, piece)  # noqa: E731
        outcome: Reply | BaseException
        try:
            outcome = await processor.attempt(attempt.request, on_text)
        except asyncio.CancelledError:
            outcome = TimedOut(
                f"{processor.name} gave no answer within {processor.limits.timeout_s:g} s; it may "
                "be overloaded or stuck"
            )
        except NlpuError as error:
            outcome = error
        except Exception as error:
            outcome = HostError(f"the engine of {processor.name} failed: {described(error)}")
            outcome.__cause__ = error
        post(self._ended, attempt, outcome)

    def _ended(self, attempt: Attempt, outcome: Reply | BaseException) -> None:
        del self._tasks[attempt]
        self._scheduler.update(attempt, outcome, self._ports.outside.turn_s)
        if not attempt.queue.attempts and self._watches:  # a clock that jumps would jump to it
            watch = self._watches.pop(attempt.queue.processor.name, None)
            if watch is not None:
                watch.cancel()
        self.write()

    def drop(self, node: Node) -> None:
        """Stop a call that nothing needs."""
        if node.call_key is not None:
            self._scheduler.cancel(node)
            self.write()

    def _dropped(self, event: Dropped) -> None:
        node, attempt = event
        started = attempt is not None and attempt.started
        if node.call_number:
            node.issue_scope.run.history.cancel(node.call_number, started)
        if attempt is None:
            return
        attempt.queue.processor.engine.cancel(attempt.request.id)
        if started:  # a task that never ran has no outcome
            self._tasks[attempt].cancel()

    def _back_off(self, event: RetryAfter) -> None:
        def again() -> None:
            self._scheduler.retry(event.node, event.queue)
            self.write()

        self._loop.call_later(event.seconds, again)


def _draw(node: Node) -> str:
    """Which of the answers to equal calls it is, where they differ."""
    sample = node.node_work.sample
    if sample is not None:
        return f"={sample}"
    return (
        f"{node.issue_scope.path}#{node.draw_number}"
        if node.node_work.op.sampling.temperature > 0
        else ""
    )
