"""The hand of the scheduler: journals what it says, sends, and lets results be seen.

Theory of operation
-------------------
The scheduler decides and does nothing. Here is what it takes to do it: the run's journal, the
loop's tasks and timers, the graph. A call that is ready first looks for its result in the journal
of its run's former lives; what is not there is submitted to the scheduler. What that answers are
events, and ``_DO`` has what is done for each, in their order.

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
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Protocol

from nlpu.errors import (
    BadOperand,
    Cancelled,
    Diverged,
    HostError,
    ModelError,
    NlpuError,
    TimedOut,
    described,
)
from nlpu.judgement import PoorJudge
from nlpu.label import join
from nlpu.processor import Processor
from nlpu.runtime.graph.node import Cell, Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Cost, cost_of
from nlpu.runtime.journal.records import Outcome
from nlpu.runtime.run import RunState, failure_of
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.scheduler.events import (
    AskedAgain,
    AtBreakpoint,
    Done,
    Dropped,
    Failed,
    Follows,
    Lost,
    Poor,
    RetryAfter,
    Shared,
    StopRun,
)
from nlpu.runtime.scheduler.queue import Attempt, ProcessorQueue
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.runtime.scheduler.scheduler import Scheduler
from nlpu.wire import Reply

Listener = Callable[[Node, str], None]


class Machine(Protocol):
    """What calls need of the kernel."""

    loop: asyncio.AbstractEventLoop
    turn_s: float

    def settle(self, node: Node, content: Any) -> None:
        """Give the node its content."""

    def fail(self, node: Node, error: BaseException) -> None:
        """Give the node the error that is why it has no content."""

    def arrived(self, settle: Callable[..., None], *facts: Any) -> None:
        """Settle what came from outside in the next turn."""

    def soon(self) -> None:
        """Have a turn at the next opportunity."""

    def stop(self, run: RunState, error: BaseException) -> None:
        """End a run before its programs do."""

    def on_hub(self, step: Callable[[], None]) -> None:
        """Do something in the last phase of a turn, between programs."""

    def processor(self, name: str | None) -> Processor:
        """Give the processor of that name. Raises UnknownProcessor, or why it is not there."""


class Calls:
    """Has the calls of all runs made, as the scheduler says."""

    def __init__(self, machine: Machine, scheduler: Scheduler) -> None:
        self._machine = machine
        self._scheduler = scheduler
        self._listeners: dict[int, Listener] = {}  # by run
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}
        self._watches: dict[str, asyncio.TimerHandle] = {}  # by processor: who takes too long?

    def begin(self, run: RunState, gate: Gate | None = None) -> None:
        """Take on a run."""
        if gate is not None:
            machine = self._machine

            def post(step: Callable[[], None]) -> None:
                machine.loop.call_soon_threadsafe(machine.on_hub, step)

            gate.attach(post, self._pass_on)
        self._scheduler.runs[run.number] = RunCalls(
            run.number, run.ledger, run.counts, run.convention, run.estimates, gate
        )

    def listen(self, run: RunState, listener: Listener) -> None:
        """Hand pieces of the run's replies to a listener as they come."""
        self._listeners[run.number] = listener

    def end(self, run: RunState) -> None:
        """The run is over; what is still under way is not its own any more."""
        self._scheduler.runs.pop(run.number, None)
        self._listeners.pop(run.number, None)

    def write(self) -> None:
        """Carry out what the scheduler has said since."""
        for event in self._scheduler.take():
            self._DO[type(event)](self, event)
        if self._scheduler.due:
            self._scheduler.due = False
            self._machine.soon()

    def _pass_on(self, nodes: list[Node]) -> None:
        self._scheduler.requeue(nodes)
        self.write()

    # -- a call is ready ---------------------------------------------------------------------

    def ready(self, node: Node) -> None:
        """Find the call's result, its equal, or its place in the queue."""
        run, op, texts, scheduler = node.scope.run, node.work.op, node.texts, self._scheduler
        assert texts is not None
        queue = None if run.replay and node.position in run.past.absent else scheduler.queue_of(op)
        if queue is None:
            self._absent(node)
        key = node.key = run.key(node, op, queue.processor, texts)
        if run.resumed:
            run.check_position(node, op, key, texts)
        if scheduler.share(node):
            self.write()
            return
        outcome = run.remembered(node, key) if run.resumed else None
        if outcome is not None:
            scheduler.lead(node)
            self._reuse(node, outcome)
        elif run.replay:
            queue.processor.check(op)
            queue.processor.speaking(run.convention).prompt(op, texts)  # refused before, and again
            self.missing(node)
        else:
            invalid = run.former_replies(key) if run.past.invalid else ()
            scheduler.submit(node, self._machine.turn_s, invalid)
            self.write()

    def _absent(self, node: Node) -> NoReturn:
        """The call's processor is not there (rule 3)."""
        run, name = node.scope.run, node.work.op.processor
        if run.replay and node.position in run.past.absent:
            raise failure_of(*run.past.absent[node.position], "host")
        try:
            name = self._machine.processor(name).name
        except HostError as error:
            before = run.past if run.ancestor is None else run.ancestor.past
            if (name or self._scheduler.default) in before.header.get("processors", ()):
                self._machine.arrived(self._machine.stop, run, error)
            run.history.absent(node.position, error)
            raise
        raise HostError(f"the processor {name} has no queue; please report it")

    def missing(self, node: Node) -> None:
        """In a replay, fail only what needs the call: what lost a race has no result either."""
        run = node.scope.run
        try:
            where = f"{node.position} ({node.name})"
            end = "" if run.past.finished else " (the run did not finish: resume it)"
            run.diverge(where, f"the journal has no result for this call{end}")
        except Diverged as error:
            self._machine.fail(node, error)

    def _reuse(self, node: Node, outcome: Outcome) -> None:
        run = node.scope.run
        run.counts.reused += 1
        node.cost = cost_of(outcome.usage)
        if outcome.fault:
            raise failure_of(outcome.fault, outcome.message, outcome.side)
        text = run.journal.texts[outcome.text]
        if run.ancestor is not None and run.ancestor.was_edited(node.position):
            node._label = join(node._label, run.ancestor.edits.label(node.position))
        try:
            content = node.work.op.result.parse(text)
        except ModelError as error:
            if run.ancestor is None or not run.ancestor.was_edited(node.position):
                raise
            raise BadOperand(f"the text set for {node.position} does not fit: {error}") from None
        node.reply = text
        self._machine.settle(node, content)

    # -- sending -----------------------------------------------------------------------------

    def send(self, attempts: list[Attempt]) -> None:
        """Start attempts whose rows are committed."""
        now, loop = self._machine.loop.time(), self._machine.loop
        self._scheduler.sent(attempts, now)
        for attempt in attempts:
            self._tasks[attempt] = loop.create_task(self._carry(attempt))
            if attempt.queue.processor.name not in self._watches:
                self._watch(attempt.queue, now)

    def _watch(self, queue: ProcessorQueue, now: float) -> None:
        """Give up on attempts that took too long; look again when the next may have."""
        for attempt in queue.expired(now):
            if attempt in self._tasks:
                self._tasks[attempt].cancel()
        end = queue.next_deadline(now)
        if end is not None:
            look = self._machine.loop.call_later(end - now, self._look_again, queue)
            self._watches[queue.processor.name] = look

    def _look_again(self, queue: ProcessorQueue) -> None:
        del self._watches[queue.processor.name]
        self._watch(queue, self._machine.loop.time())

    async def _carry(self, attempt: Attempt) -> None:
        """One attempt (rule 4)."""
        processor, post = attempt.queue.processor, self._machine.arrived
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
            limit = processor.limits.timeout_s
            outcome = TimedOut(
                f"{processor.name} gave no answer within {limit:g} s; it may be overloaded or stuck"
            )
        except NlpuError as error:
            outcome = error
        except Exception as error:
            outcome = HostError(f"the engine of {processor.name} failed: {described(error)}")
            outcome.__cause__ = error
        post(self._ended, attempt, outcome)

    def _ended(self, attempt: Attempt, outcome: Reply | BaseException) -> None:
        del self._tasks[attempt]
        self._scheduler.update(attempt, outcome, self._machine.turn_s)
        if not attempt.queue.attempts and self._watches:
            watch = self._watches.pop(attempt.queue.processor.name, None)
            if watch is not None:
                watch.cancel()
        self.write()

    def drop(self, node: Node) -> None:
        """Stop a call that nothing needs."""
        if node.key is not None:
            self._scheduler.cancel(node)
            self.write()

    # -- what is done for each event -----------------------------------------------------------

    def _attempted(self, attempt: Attempt) -> None:
        node, now = attempt.node, self._machine.turn_s
        run = node.scope.run
        if not run.history.keeps:
            return
        assert node.key is not None and node.texts is not None
        if not node.issue and run.resumed:
            before = run.past.calls.get(node.position)
            if before is not None and before.key == node.key.hex():
                node.issue = before.number
        if node.issue:
            run.history.attempt(node.issue, now)
        else:
            identity = attempt.queue.processor.identity
            completion = round(attempt.most.nlops * TOKENS_PER_NLOP)
            node.issue = run.history.issue(
                node.position, node.work.op, identity, node.key, node.texts, attempt.most,
                completion, now,
            )  # fmt: skip

    def _shared(self, event: Shared) -> None:
        node = event.node
        assert node.key is not None and node.texts is not None
        identity = self._machine.processor(node.work.op.processor).identity
        history = node.scope.run.history
        history.shared(node.position, node.work.op, identity, node.key, node.texts)

    def _follow(self, event: Follows) -> None:
        """A sharer gets its leader's outcome, and waited for it: the leader is on its path."""
        leader, sharer = event
        if sharer.stage is Stage.SETTLED:  # cancelled meanwhile
            return
        sharer.control = Cell(leader, sharer.control)
        if leader._error is not None:
            self._machine.fail(sharer, leader._error)
            return
        kind, content = sharer.work.op.result, leader._content
        if kind.annotation is not leader.work.op.result.annotation:  # it may read it otherwise
            try:
                content = kind.parse(leader.reply)
            except ModelError as error:
                self._machine.fail(sharer, error)
                return
        self._machine.settle(sharer, content)

    def _done(self, event: Done) -> None:
        node, decoded, poor = event
        assert node.cost is not None
        if poor is not None and _is_refused(poor):
            node.cost.wasted_tokens += poor.tokens
            self._failed(Failed(node, poor.error, "program"))
            return
        node.scope.run.history.result(node.issue, decoded.text, node.cost, self._machine.turn_s)
        node.reply = decoded.text
        self._machine.settle(node, decoded.content)

    def _failed(self, event: Failed) -> None:
        node, error, side = event
        if node.issue:  # what was never sent fails again by itself
            now, cost = self._machine.turn_s, node.cost or Cost()
            node.scope.run.history.failure(node.issue, error, side, cost, now)
        self._machine.fail(node, error)

    def _asked_again(self, event: AskedAgain) -> None:
        node, now = event.node, self._machine.turn_s
        if node.issue:
            assert node.cost is not None
            node.scope.run.history.again(node.issue, event.invalid, node.cost, event.most, now)

    def _lost(self, event: Lost) -> None:
        if event.node.issue:
            event.node.scope.run.history.lost(event.node.issue, event.took)

    def _retry_after(self, event: RetryAfter) -> None:
        def again() -> None:
            self._scheduler.retry(event.node, event.queue)
            self.write()

        self._machine.loop.call_later(event.seconds, again)

    def _dropped(self, event: Dropped) -> None:
        node, attempt = event
        started = attempt is not None and attempt.started
        if node.issue:
            node.scope.run.history.cancel(node.issue, started)
        if attempt is None:
            return
        attempt.queue.processor.engine.cancel(attempt.request.id)
        if started:  # a task that never ran has no outcome
            self._tasks[attempt].cancel()

    def _stop(self, event: StopRun) -> None:
        self._machine.arrived(self._machine.stop, event.node.scope.run, event.error)

    def _at_breakpoint(self, event: AtBreakpoint) -> None:
        if event.gate.on_stop is not None:
            event.gate.on_stop()

    _DO: ClassVar[dict[type, Callable[[Calls, Any], None]]] = {
        Attempt: _attempted,
        Shared: _shared,
        Follows: _follow,
        Done: _done,
        Failed: _failed,
        AskedAgain: _asked_again,
        Lost: _lost,
        RetryAfter: _retry_after,
        Dropped: _dropped,
        StopRun: _stop,
        AtBreakpoint: _at_breakpoint,
    }


def _is_refused(poor: Poor) -> bool:
    """Warn of a judgement that is worth little; as an error it is its program's."""
    try:
        # a registry of its own: what another run was told, this one has not been
        warnings.warn_explicit(poor.warning, PoorJudge, "nlpu", 0, registry={})
    except PoorJudge:
        return True
    return False
