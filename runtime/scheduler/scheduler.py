"""The call desk: from a call whose operands are there to its result.

Theory of operation
-------------------
A ready call first looks for its result: in the journal of the run's former lives, or at an equal
call of this run that is made or under way. Otherwise it queues for its processor, ordered by the
longest path of work that waits for it. Admission takes from the queue what fits in flight and into
the budget, encodes it, and notes the attempt; sending starts a task for each. What comes back is
the business of ``settling``.

Rules
1. Equal keys are one call; its sharers keep their own labels.
2. Rank = own estimated tokens + the largest rank of those that read it. Ranks are brought up to
   date once a turn, from the newest node back (readers are newer than what they read).
3. At most ``max_in_flight`` attempts a processor; while its server is down, one; a suspect alone.
4. An attempt is journaled before it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

from nlpu.errors import (
    BadOperand,
    Cancelled,
    Diverged,
    HostError,
    ModelError,
    NlpuError,
    ProgramError,
    Quarantined,
    TimedOut,
    described,
)
from nlpu.label import join
from nlpu.ops.op import Op
from nlpu.processor import Processor
from nlpu.runtime.graph.node import Node, Stage
from nlpu.runtime.graph.usage import Cost, cost_of
from nlpu.runtime.journal.records import Outcome
from nlpu.runtime.run import failure_of
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.runtime.scheduler.outcomes import Settlement
from nlpu.runtime.scheduler.queue import Flight, Lane, quarantined
from nlpu.runtime.scheduler.retry import Health
from nlpu.wire import Reply, Request

if TYPE_CHECKING:  # the kernel owns the desk
    from nlpu.runtime.kernel import Kernel


_SETTLED = Stage.SETTLED  # a local name: enum attributes are slow to look up


class CallDesk:
    """Admission, sending and cancelling of calls."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lanes: dict[str, Lane] = {}
        self.settling = Settlement(kernel, self)
        self.fresh: list[Node] = []  # issued since ranks were brought up to date

    def add(self, processor: Processor) -> None:
        """Open a lane for a processor."""
        limits = processor.limits
        health = Health(self.kernel.random, limits.patience_s, limits.backoff_s)
        self.lanes[processor.name] = Lane(processor, health)

    def lane_of(self, op: Op[Any]) -> Lane:
        """The lane an op runs in. Raises UnknownProcessor."""
        lane = self.lanes.get(op.processor or self.kernel.default)
        return lane or self.lanes[self.kernel.processor(op.processor).name]

    # -- a call is ready ---------------------------------------------------------------------

    def _lane_for(self, node: Node) -> Lane:
        """The lane of a call that is ready. Without its processor it fails alone, but a run does
        not go another way than a former life of it that had one: that waits for another day."""
        run, name = node.scope.run, node.work.op.processor or self.kernel.default
        if run.replay and node.position in run.past.absent:
            raise failure_of(*run.past.absent[node.position], "host")
        try:
            return self.lane_of(node.work.op)
        except HostError as error:
            before = run.past if run.ancestor is None else run.ancestor.past
            if name in before.header.get("processors", ()):
                self.kernel.arrived(self.kernel.host.stop, run, error)
            run.history.absent(node.position, error)
            raise

    def ready(self, node: Node) -> None:
        """Find the call's result, its equal, or its place in the queue."""
        run, op, texts = node.scope.run, node.work.op, node.texts
        assert texts is not None
        lane = self._lane_for(node)
        key = node.key = run.key(node, op, lane.processor, texts)
        if run.resumed:
            run.check_position(node, op, key, texts)
        leader = run.leaders.get(key)
        outcome = run.remembered(node, key) if run.resumed and leader is None else None
        if leader is not None:
            self._share(node, leader)
        elif outcome is not None:
            run.leaders[key] = node
            self._reuse(node, outcome)
        elif run.replay:
            lane.processor.check(op)
            run.processor(op.processor).prompt(
                op, texts
            )  # what was refused before it was sent is so again
            self.missing(node)
        else:
            lane.processor.check(op)
            if run.past.invalid:
                run.recall_invalid(key)
            run.leaders[key] = node
            node.stage = Stage.READY
            node.cost = Cost(start_s=self.kernel.turn_s)
            run.counts.waiting += 1
            lane.push(node)
            self.kernel.soon()

    def missing(self, node: Node) -> None:
        """In a replay, fail only what needs the call: what lost a race has no result either."""
        run = node.scope.run
        try:
            where = f"{node.position} ({node.name})"
            end = "" if run.past.finished else " (the run did not finish: resume it)"
            run.diverge(where, f"the journal has no result for this call{end}")
        except Diverged as error:
            self.kernel.fail(node, error)

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
        self.kernel.settle(node, content)

    def _share(self, node: Node, leader: Node) -> None:
        run, op = node.scope.run, node.work.op
        assert node.key is not None
        assert node.texts is not None
        run.counts.shared += 1
        identity = self.kernel.processor(op.processor).identity
        run.history.shared(node.position, op, identity, node.key, node.texts)
        node.cost = Cost(how="shared")
        if leader.stage is not Stage.SETTLED:
            run.followers.setdefault(node.key, []).append(node)
        else:
            self.settling.follow(leader, node)

    # -- schedule ----------------------------------------------------------------------------

    def admit(self) -> list[Flight]:
        """The calls to send in this turn, reserved and journaled."""
        self._rank()
        batch: list[Flight] = []
        for lane in self.lanes.values():
            held: list[Node] = []
            while lane.queue and lane.has_room():
                rank, _, node = heappop(lane.queue)
                if node.stage is not Stage.READY or -rank != node.rank:
                    continue  # settled since, or queued again under a newer rank
                if node.seq in lane.waiting or _is_held(node):
                    continue  # it backs off, or stands at a gate: it will be pushed again
                if lane.health.suspect(node) and lane.flights:
                    held.append(node)  # alone, when the others are back
                    break
                if lane.health.let_others_knock(node):
                    held.append(node)
                    continue
                flight = self._admitted(lane, node)
                if flight is not None:
                    batch.append(flight)
            for node in held:
                lane.push(node)
            if held and lane.health.down and lane.has_room():
                lane.health.all_knocked()
                self.kernel.soon()
        return batch

    def _rank(self) -> None:
        """Extend ranks from the nodes issued since the last turn to what they read (rule 2)."""
        fresh, self.fresh = self.fresh, []
        older: list[tuple[int, Node]] = []
        for node in reversed(fresh):
            self._raise_operands(node, older, fresh[0].seq)  # fresh ones come by themselves
        while older:
            self._raise_operands(heappop(older)[1], older)

    def _raise_operands(
        self, node: Node, changed: list[tuple[int, Node]], before: float = inf
    ) -> None:
        """Raise what the node reads; those with numbers ``before`` must then raise what they do."""
        for value in node.operands:
            if isinstance(value, Node) and value.stage is not _SETTLED:
                rank = value.estimate + node.rank
                if rank > value.rank:
                    value.rank = rank
                    if value.seq < before:
                        heappush(changed, (-value.seq, value))
                    if value.stage is Stage.READY:
                        self.lane_of(value.work.op).push(value)

    def _admitted(self, lane: Lane, node: Node) -> Flight | None:
        run, op = node.scope.run, node.work.op
        assert node.key is not None and node.texts is not None and node.cost is not None
        try:
            if lane.health.quarantined(node):
                raise quarantined(node, lane)
            processor = lane.processor.speaking(run.convention)
            invalid = run.invalid.get(node.key, ()) if run.invalid else ()
            ids = processor.prompt(op, node.texts, invalid)
            prompt = processor.wire_prompt(op, node.texts, ids, invalid)
        except (ProgramError, Quarantined) as error:
            run.counts.waiting -= 1
            self.settling.close_failed(node, error)
            return None
        most = run.most(op, lane.processor, len(ids))
        if not run.purse.reserve(most):
            self.settling.refuse(node)
            return None
        if run.blocked:
            self.settling.unblock(run)
        node.stage = Stage.SENT
        node.cost.attempts += 1
        node.cost.unsent = 0
        self._journal_attempt(lane, node, most)
        request = Request(
            f"{run.number}:{node.seq}:{node.cost.attempts}", prompt,
            op.sampling.drawn(node.work.sample, node.scope.path, node.draw),
            op.result.constraint, -node.rank, op.result.probabilities,
        )  # fmt: skip
        flight = Flight(node, request, lane, most)
        lane.flights[node.seq] = flight
        lane.alone = lane.health.suspect(node)
        run.counts.waiting -= 1
        run.counts.in_flight += 1
        run.counts.attempts += 1
        return flight

    def _journal_attempt(self, lane: Lane, node: Node, most: Amount) -> None:
        run, op, now = node.scope.run, node.work.op, self.kernel.turn_s
        if not run.history.keeps:
            return
        assert node.key is not None
        assert node.texts is not None
        if not node.issue and run.resumed:
            before = run.past.calls.get(node.position)
            if before is not None and before.key == node.key.hex():
                node.issue = before.number
        if node.issue:
            run.history.attempt(node.issue, now)
        else:
            identity, completion = lane.processor.identity, round(most.nlops * TOKENS_PER_NLOP)
            node.issue = run.history.issue(
                node.position, op, identity, node.key, node.texts, most, completion, now
            )

    # -- run ---------------------------------------------------------------------------------

    def unsend(self, batch: list[Flight]) -> None:
        """The attempts of a turn that could not be committed were none."""
        for flight in batch:
            assert flight.node.cost is not None
            flight.node.cost.attempts -= 1
            flight.node.scope.run.counts.attempts -= 1

    def send(self, batch: list[Flight]) -> None:
        """Start the admitted attempts."""
        now = self.kernel.now_s()
        for flight in batch:
            flight.sent_s = now
            flight.task = self.kernel.loop.create_task(self._carry(flight))
            if flight.lane.watch is None:
                self._watch(flight.lane, now)

    def _watch(self, lane: Lane, now: float) -> None:
        """Give up on attempts that took too long; look again when the next may have.

        One timer a lane: flights are in order of sending and all have the same time limit.
        """
        limit = lane.processor.limits.timeout_s
        lane.watch = None
        for flight in lane.flights.values():
            left = flight.sent_s + limit - now
            if left > 0:
                lane.watch = self.kernel.loop.call_later(left, self._look_again, lane)
                return
            if flight.task is not None:
                flight.task.cancel()

    def _look_again(self, lane: Lane) -> None:
        self._watch(lane, self.kernel.now_s())

    async def _carry(self, flight: Flight) -> None:
        """One attempt; its outcome goes to the inbox, whatever happens."""
        node, processor = flight.node, flight.lane.processor
        if flight.dropped:  # before it was ever sent
            self.kernel.arrived(self.settling.outcome, flight, Cancelled("never sent"))
            return
        flight.started = True
        limit = processor.limits.timeout_s
        on_text: Callable[[str], None] | None = None
        listener = node.scope.run.on_text
        if listener is not None:
            on_text = lambda piece: listener(flight.node, piece)  # noqa: E731
        outcome: Reply | BaseException
        try:
            outcome = await processor.attempt(flight.request, on_text)
        except asyncio.CancelledError:
            outcome = TimedOut(
                f"{processor.name} gave no answer within {limit:g} s; it may be overloaded or stuck"
            )
        except NlpuError as error:
            outcome = error
        except Exception as error:
            outcome = HostError(f"the engine of {processor.name} failed: {described(error)}")
            outcome.__cause__ = error
        self.kernel.arrived(self.settling.outcome, flight, outcome)

    # -- cancel ------------------------------------------------------------------------------

    def drop(self, node: Node) -> None:
        """Stop a call that nothing needs: in the queue, at the server, and for its sharers not."""
        if node.key is None or node.stage not in (Stage.READY, Stage.SENT):
            return
        run = node.scope.run
        sharers = run.followers.get(node.key, [])
        while sharers:
            heir = sharers.pop()
            if heir.stage is not Stage.SETTLED:
                self._inherit(node, heir)
                return
        run.leaders.pop(node.key, None)
        flight = self.lane_of(node.work.op).flights.get(node.seq)
        if node.issue:
            run.history.cancel(node.issue, flight is not None and flight.started)
        if node.stage is Stage.READY:
            run.counts.waiting -= 1
            self.settling.unblock(run)  # it may have been the one that was tried
            return
        if flight is None:  # its outcome is being settled
            return
        flight.dropped = True
        flight.lane.processor.engine.cancel(flight.request.id)
        if flight.task is not None and flight.started:  # a task that never ran has no outcome
            flight.task.cancel()

    def _inherit(self, node: Node, heir: Node) -> None:
        """A sharer takes the place of a cancelled leader."""
        run, key = node.scope.run, node.key
        assert key is not None
        heir.cost, heir.stage, heir.issue = node.cost, node.stage, node.issue
        heir.rank = max(node.rank, heir.rank)
        node.cost = Cost(how="shared")  # what it took is counted once, at the heir
        run.leaders[key] = heir
        lane = self.lane_of(node.work.op)
        flight = lane.flights.get(node.seq)
        if flight is None:
            lane.push(heir)
        else:
            flight.node = heir  # and its place in the order of sending stays
            lane.flights = {each.node.seq: each for each in lane.flights.values()}


def _is_held(node: Node) -> bool:
    gate = node.scope.run.gate
    return gate is not None and gate.holds(node)
