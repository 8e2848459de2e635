"""The call desk: from a call whose operands are there to its result.

Theory of operation
-------------------
A ready call first looks for its result: in the journal of the run's former lives, or at an equal
call of this run that is made or under way. Otherwise it queues for its processor, ordered by the
longest path of work that waits for it. Admission takes from the queue what fits in flight and into
the budget, encodes it, and notes the attempt; sending starts a task for each. What comes back is
decoded and settles the call and those that share it, or goes back to the queue after a fault.

Rules
1. Equal keys are one call; its sharers keep their own labels.
2. Rank = own estimated tokens + the largest rank of those that read it. Ranks are brought up to
   date once a turn, from the newest node back (readers are newer than what they read).
3. At most ``max_in_flight`` attempts a processor; while its server is down, one; a suspect alone.
4. An attempt is journaled before it is sent, its outcome before anyone sees it.
5. Only faults of the host are tried again (``faults``); an invalid answer is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

from nlpu.codec import Decoded, decode
from nlpu.errors import (
    Cancelled,
    Diverged,
    HostError,
    ModelError,
    NlpuError,
    ProgramError,
    Quarantined,
    TimedOut,
)
from nlpu.op import Op
from nlpu.processor import Processor
from nlpu.wire import Reply, Request
from runtime.budget import TOKENS_PER_NLOP, Amount
from runtime.faults import Health
from runtime.graph import Cell, Cost, Node, Stage
from runtime.history import Outcome, cost_of
from runtime.run import RunState

if TYPE_CHECKING:  # the kernel owns the desk
    from runtime.kernel import Kernel


_SETTLED = Stage.SETTLED  # a local name: enum attributes are slow to look up


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


class CallDesk:
    """Admission, sending and settling of calls."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lanes: dict[str, Lane] = {}
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

    def ready(self, node: Node) -> None:
        """Find the call's result, its equal, or its place in the queue."""
        run, op, texts = node.scope.run, node.work.op, node.texts
        assert texts is not None
        lane = self.lane_of(op)
        key = node.key = run.key(node, op, lane.processor, texts)
        if run.resumed:
            run.check_position(node, op, key, texts)
        leader = run.leaders.get(key)
        outcome = run.remembered(key) if run.resumed and leader is None else None
        if leader is not None:
            self._share(node, leader)
        elif outcome is not None:
            run.leaders[key] = node
            self._reuse(node, outcome)
        elif run.replay:
            lane.processor.check(op)
            lane.processor.prompt(op, texts)  # what was refused before it was sent is so again
            self._missing(node)
        else:
            lane.processor.check(op)
            run.leaders[key] = node
            node.stage = Stage.READY
            node.cost = Cost(start_s=self.kernel.turn_s)
            run.counts.waiting += 1
            lane.push(node)
            self.kernel.soon()

    def _missing(self, node: Node) -> None:
        """In a replay, fail only what needs the call: what lost a race has no result either."""
        try:
            where = f"{node.position} ({node.name})"
            node.scope.run.diverge(where, "the journal has no result for this call")
        except Diverged as error:
            self.kernel.fail(node, error)

    def _reuse(self, node: Node, outcome: Outcome) -> None:
        run = node.scope.run
        run.counts.reused += 1
        node.cost = cost_of(outcome.usage)
        if outcome.fault:
            raise run.failure(outcome)
        self.kernel.settle(node, node.work.op.result.parse(run.journal.texts[outcome.text]))

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
            self._follow(leader, node)

    def _follow(self, leader: Node, sharer: Node) -> None:
        """A sharer gets its leader's outcome, and waited for it: the leader is on its path."""
        sharer.control = Cell(leader, sharer.control)
        if leader._error is not None:
            self.kernel.fail(sharer, leader._error)
        else:
            self.kernel.settle(sharer, leader._content)

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
                if node.seq in lane.waiting:
                    continue  # a newer rank is no reason not to back off
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
        assert node.texts is not None and node.cost is not None
        try:
            if lane.health.quarantined(node):
                raise _quarantined(node, lane)
            ids = lane.processor.prompt(op, node.texts)
            prompt = lane.processor.wire_prompt(op, node.texts, ids)
        except (ProgramError, Quarantined) as error:
            run.counts.waiting -= 1
            self._close_failed(node, error)
            return None
        most = run.most(op, lane.processor, len(ids))
        if not run.purse.reserve(most):
            run.blocked.append(node)
            self.check_budget(run)
            return None
        node.stage = Stage.SENT
        node.cost.attempts += 1
        self._journal_attempt(lane, node, most)
        request = Request(
            f"{run.number}:{node.seq}:{node.cost.attempts}", prompt, op.max_tokens, op.temperature,
            op.top_p, None, (), op.result.constraint, -node.rank, op.repetition_penalty,
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
            self.kernel.arrived(self._outcome, flight, Cancelled("never sent"))
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
            outcome = HostError(
                f"the engine of {processor.name} failed: {type(error).__name__}: {error}"
            )
            outcome.__cause__ = error
        self.kernel.arrived(self._outcome, flight, outcome)

    # -- settle ------------------------------------------------------------------------------

    def _outcome(self, flight: Flight, outcome: Reply | BaseException) -> None:
        node, lane = flight.node, flight.lane
        del lane.flights[node.seq]
        lane.alone = False
        if not lane.flights and lane.watch is not None:
            lane.watch.cancel()
            lane.watch = None
        run, cost = node.scope.run, node.cost
        assert cost is not None
        run.counts.in_flight -= 1
        if flight.dropped:
            # What it really took is not known, unless it was never sent.
            run.purse.settle(flight.most, flight.most if flight.started else Amount(0))
            self._unblock(run)
            return
        now = self.kernel.turn_s
        cost.service_s += now - flight.sent_s
        cost.queue_s = flight.sent_s - cost.start_s if cost.attempts == 1 else cost.queue_s
        if isinstance(outcome, Reply):
            self._replied(flight, outcome)
        else:
            run.purse.settle(flight.most, Amount(0))
            if isinstance(outcome, HostError):
                self._faulted(flight, outcome)
            else:
                self._close_failed(node, outcome)
        self._unblock(run)

    def _replied(self, flight: Flight, reply: Reply) -> None:
        node, run = flight.node, flight.node.scope.run
        flight.lane.health.answer(flight.sent_s)
        cost, price = node.cost, flight.lane.processor.price
        assert cost is not None
        cost.prompt_tokens += reply.prompt_tokens
        cost.cached_tokens += reply.cached_tokens
        cost.completion_tokens += reply.completion_tokens
        cost.thinking_tokens += reply.thinking_tokens
        money = price.of(reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens)
        cost.money += money
        if run.purse.limited:
            tokens = reply.prompt_tokens + reply.completion_tokens
            nlops = reply.completion_tokens / TOKENS_PER_NLOP
            run.purse.settle(flight.most, Amount(1, nlops, tokens, money))
        run.counts.calls += 1
        run.counts.completion_tokens += reply.completion_tokens
        run.counts.prompt_tokens += reply.prompt_tokens
        try:
            decoded = decode(node.work.op, reply)
        except ModelError as error:
            cost.wasted_tokens += reply.completion_tokens
            self._close_failed(node, error)
            return
        self._close_done(node, decoded)

    def _close_done(self, node: Node, decoded: Decoded) -> None:
        run, cost = node.scope.run, node.cost
        assert cost is not None
        assert node.key is not None
        cost.trimmed = decoded.trimmed
        run.history.result(node.issue, decoded.text, cost, self.kernel.turn_s)
        self.kernel.settle(node, decoded.content)
        for sharer in run.followers.pop(node.key, ()):
            self._follow(node, sharer)

    def _close_failed(self, node: Node, error: BaseException) -> None:
        run = node.scope.run
        assert node.key is not None
        sides = {HostError: "host", ModelError: "model"}
        side = next((name for kind, name in sides.items() if isinstance(error, kind)), "program")
        if node.issue:  # what was never sent fails again by itself
            cost = node.cost or Cost()
            run.history.failure(node.issue, error, side, cost, self.kernel.turn_s)
        if side == "host":
            run.leaders.pop(node.key, None)
        self.kernel.fail(node, error)
        for sharer in run.followers.pop(node.key, ()):
            self._follow(node, sharer)

    # -- faults ------------------------------------------------------------------------------

    def _faulted(self, flight: Flight, error: HostError) -> None:
        node, lane, now = flight.node, flight.lane, self.kernel.now_s()
        lane.health.fault(node, error, flight.sent_s, now)
        cost = node.cost
        assert cost is not None
        knocking = lane.health.down
        cost.knocks += knocking
        if lane.health.quarantined(node):
            self._close_failed(node, _quarantined(node, lane))
        elif knocking and lane.health.given_up(now):
            self._give_up(lane, node, error)
        elif error.transient and cost.attempts - cost.knocks < lane.processor.limits.attempts:
            if lane.health.may_retry(error):
                self._later(lane, node, error)
            else:
                self._close_failed(node, error)
        else:
            self._close_failed(node, error)

    def _give_up(self, lane: Lane, node: Node, error: HostError) -> None:
        """The server stays down: fail what waits for it, too."""
        self._close_failed(node, error)
        queue, lane.queue = lane.queue, []
        for _, _, waiting in queue:
            if waiting.stage is Stage.READY:
                self._close_failed(waiting, error)
                waiting.scope.run.counts.waiting -= 1

    def _later(self, lane: Lane, node: Node, error: HostError) -> None:
        assert node.cost is not None
        delay = lane.health.delay_s(node.cost.attempts - node.cost.knocks, error)
        node.stage = Stage.READY
        node.scope.run.counts.waiting += 1
        lane.waiting.add(node.seq)

        def again() -> None:
            lane.waiting.discard(node.seq)
            if node.stage is Stage.READY:
                lane.push(node)
            self.kernel.soon()

        self.kernel.loop.call_later(delay, again)

    # -- budgets and cancelling ------------------------------------------------------------------

    def _unblock(self, run: RunState) -> None:
        """Something settled: what the budget refused may fit now."""
        if not run.blocked:
            return
        for node in run.blocked:
            if node.stage is Stage.READY:
                self.lane_of(node.work.op).push(node)
        run.blocked.clear()
        self.kernel.soon()

    def check_budget(self, run: RunState) -> None:
        """A refused call with nothing in flight that could free something: the run stops."""
        if run.counts.in_flight == 0 and run.purse.reserved.calls == 0 and run.blocked:
            node = run.blocked[0]
            lane = self.lane_of(node.work.op)
            assert node.texts is not None
            size = len(lane.processor.prompt(node.work.op, node.texts))
            refusal = run.purse.refusal(node.name, run.most(node.work.op, lane.processor, size))
            self.kernel.arrived(self.kernel.host.stop, run, refusal)

    def drop(self, node: Node) -> None:
        """Stop a call that nothing needs: in the queue, at the server, and for its sharers not."""
        if node.key is None or node.stage not in (Stage.READY, Stage.SENT):
            self._unfollow(node)
            return
        run = node.scope.run
        heirs = [n for n in run.followers.get(node.key, ()) if n.stage is not Stage.SETTLED]
        if heirs:
            self._inherit(node, heirs)
            return
        run.leaders.pop(node.key, None)
        if node.issue:
            run.history.cancel(node.issue)
        if node.stage is Stage.READY:
            run.counts.waiting -= 1
            return
        flight = self.lane_of(node.work.op).flights[node.seq]
        flight.dropped = True
        flight.lane.processor.engine.cancel(flight.request.id)
        if flight.task is not None and flight.started:  # a task that never ran has no outcome
            flight.task.cancel()

    def _unfollow(self, node: Node) -> None:
        if node.key is not None:
            sharers = node.scope.run.followers.get(node.key, [])
            sharers[:] = [sharer for sharer in sharers if sharer is not node]

    def _inherit(self, node: Node, heirs: list[Node]) -> None:
        """A sharer takes the place of a cancelled leader."""
        run, key = node.scope.run, node.key
        assert key is not None
        heir = heirs[0]
        heir.cost, heir.stage, heir.issue = node.cost, node.stage, node.issue
        heir.rank = max(node.rank, heir.rank)
        node.cost = Cost(how="shared")  # what it took is counted once, at the heir
        run.leaders[key] = heir
        run.followers[key] = heirs[1:]
        lane = self.lane_of(node.work.op)
        flight = lane.flights.pop(node.seq, None)
        if flight is None:
            lane.push(heir)
        else:
            flight.node = heir
            lane.flights[heir.seq] = flight


def _quarantined(node: Node, lane: Lane) -> Quarantined:
    return Quarantined(
        f"{node.name} at {node.position} was in flight at two deaths of the server of "
        f"{lane.processor.name}; it is not sent again. The other calls go on"
    )
