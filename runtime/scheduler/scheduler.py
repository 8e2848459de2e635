"""The scheduler: which calls are sent when, and what becomes of them.

Theory of operation
-------------------
It is a machine of its own, without loop, journal or clock. It is asked and told by one hand
(``runtime.calls``), which says what time it is and carries out what it answers:

    asked or told                     answer
    submit           a call is ready  it waits for an equal one, or in its processor's queue
    schedule         -                the attempts to send: reserved, with their prompts
    sent, unsend     attempts         -
    update           an outcome       a result, a failure, another try (``outcomes``)
    retry            a wait is over   it is queued again
    cancel           a call           what is to be stopped
    take             -                events: all that has happened, in the order of its rows

A queue is ordered by the longest path of work that waits for a call. Scheduling takes from it what
fits in flight and into the budget.

Rules
1. Equal keys are one call; its sharers keep their own labels.
2. Rank = own estimated tokens + the largest rank of those that read it. Ranks are brought up to
   date once a turn, from the newest node back (readers are newer than what they read).
3. At most ``max_in_flight`` attempts a processor; while its server is down, one; a suspect alone.
4. An attempt is journaled before it is sent.
5. ``due`` says that scheduling again would find something.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from random import Random

from nlpu.engines.origin import OriginOf, origin_of
from nlpu.errors import HostError, NlpuError, described
from nlpu.ops.op import Call
from nlpu.processor import Processor
from nlpu.prompt.complaint import Invalid
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage, advance
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.scheduler import outcomes
from nlpu.runtime.scheduler.board import Board
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.events import AtBreakpoint, Dropped, Follows, Shared, StopRun
from nlpu.runtime.scheduler.queue import Attempt, ProcessorQueue, quarantined
from nlpu.runtime.scheduler.retry import EndpointHealth
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.wire import Request

_SETTLED, _READY = Stage.SETTLED, Stage.READY  # enum attributes are slow to look up


class Scheduler(Board):
    """Chooses the attempts to send, and says what becomes of calls. ``random``: of backoffs."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._fresh: list[Node] = []  # issued since ranks were brought up to date

    def add(self, processor: Processor) -> None:
        """Open a queue for a processor."""
        limits = processor.limits
        health = EndpointHealth(self._random, limits.patience_s, limits.backoff_s)
        self.queues[processor.name] = ProcessorQueue(processor, health)

    def issued(self, node: Node) -> None:
        """Take note of a new node, in the order of issue: it may raise the rank of others."""
        if type(node.node_work) is Call:
            op, run = node.node_work.op, self.runs[node.issue_scope.run.number]
            node.estimated_tokens = node.call_rank = run.estimates.get(
                op.name, op.sampling.max_tokens
            )
            if (
                node.issue_scope.origin is not None
            ):  # what waits for the nested program waits for these
                node.call_rank += node.issue_scope.origin.call_rank
        self._fresh.append(node)

    # -- a call is ready ---------------------------------------------------------------------

    def submit(self, node: Node, now: float, invalid: tuple[Invalid, ...] = ()) -> None:
        """Let a ready call share the outcome of an equal one, or queue it.

        invalid: what it had been answered in a former life of its run. Raises ConstraintRejected.
        """
        run, op, key = self.runs[node.issue_scope.run.number], node.node_work.op, node.call_key
        assert key is not None
        leader = run.leaders.get(key)
        if leader is not None:
            self._share(run, leader, node)
            return
        queue = self.queues[op.processor or self.default]
        queue.processor.check(op)
        if invalid:
            run.invalid.setdefault(key, invalid)
        run.leaders[key] = node
        advance(node, _READY)
        node.call_cost = Cost(start_s=now)
        run.counts.waiting += 1
        queue.push(node)
        self.due = True

    def _share(self, run: RunCalls, leader: Node, node: Node) -> None:
        assert node.call_key is not None
        run.counts.shared += 1
        node.call_cost = Cost(how="shared")
        self.events.append(Shared(node))
        if leader.work_stage is _SETTLED:
            self.events.append(Follows(leader, node))
        else:
            run.followers.setdefault(node.call_key, []).append(node)

    def leader(self, node: Node) -> Node | None:
        """Give the call that is made for this one and its equals."""
        run = self.runs.get(node.issue_scope.run.number)
        return None if run is None or node.call_key is None else run.leaders.get(node.call_key)

    def lead(self, node: Node) -> None:
        """Let equal calls share this one, whose result is known."""
        assert node.call_key is not None
        self.run_of(node).leaders[node.call_key] = node

    def retry(self, node: Node, queue: ProcessorQueue) -> None:
        """Queue a call again that has backed off."""
        queue.backing_off.discard(node.issue_seq)
        if self.is_ready(node):
            queue.push(node)
        self.due = True

    # -- schedule ----------------------------------------------------------------------------

    def schedule(self) -> list[Attempt]:
        """Give the attempts to send now. Each is an event, too: it is to be journaled (rule 4)."""
        self.due = False
        self.closed.clear()
        self._rank()
        attempts: list[Attempt] = []
        for queue in self.queues.values():
            held: list[Node] = []
            while queue.calls and queue.has_room():
                rank, _, node = heappop(queue.calls)
                if (
                    node.work_stage is not _READY
                    or -rank != node.call_rank
                    or node.issue_seq in self.closed
                ):
                    continue  # settled since, or queued again under a newer rank
                run = self.runs.get(node.issue_scope.run.number)
                if (
                    run is None
                    or node.issue_seq in queue.backing_off
                    or self._holds(run.gate, node)
                ):
                    continue  # ended by force; or it will be pushed again
                alone = queue.health.suspect(node)
                if alone and queue.attempts:
                    held.append(node)  # when the others are back
                    break
                if queue.health.down_since_s is not None and queue.health.let_others_knock(node):
                    held.append(node)
                    continue
                attempt = self._admitted(queue, run, node, alone)
                if attempt is not None:
                    attempts.append(attempt)
            for node in held:
                queue.push(node)
            if held and queue.health.down and queue.has_room():
                queue.health.all_knocked()
                self.due = True
        return attempts

    def _rank(self) -> None:
        """Extend ranks from the nodes issued since the last turn to what they read (rule 2)."""
        fresh, self._fresh = self._fresh, []
        older: list[tuple[int, Node]] = []
        for node in reversed(fresh):
            self._raise_operands(node, older, fresh[0].issue_seq)  # fresh ones come by themselves
        while older:
            self._raise_operands(heappop(older)[1], older)

    def _raise_operands(
        self, node: Node, changed: list[tuple[int, Node]], before: float = inf
    ) -> None:
        """Raise what the node reads; those with numbers ``before`` must then raise what they do."""
        for value in node.work_operands:
            if isinstance(value, Node) and value.work_stage is not _SETTLED:
                rank = value.estimated_tokens + node.call_rank
                if rank > value.call_rank:
                    value.call_rank = rank
                    if value.issue_seq < before:
                        heappush(changed, (-value.issue_seq, value))
                    if value.work_stage is _READY:
                        self.queues[value.node_work.op.processor or self.default].push(value)

    def _holds(self, gate: Gate | None, node: Node) -> bool:
        if gate is None or gate.passes(node):
            return False
        if gate.hold(node):
            self.events.append(AtBreakpoint(gate))
        return True

    def _admitted(
        self, queue: ProcessorQueue, run: RunCalls, node: Node, alone: bool
    ) -> Attempt | None:
        """An attempt of the call with its prompt, if that can be made and the budget allows it."""
        op, key, texts, cost, seq = (
            node.node_work.op,
            node.call_key,
            node.operand_texts,
            node.call_cost,
            node.issue_seq,
        )
        assert key is not None and texts is not None and cost is not None
        try:
            if queue.health.deaths and queue.health.quarantined(node):
                raise quarantined(node, queue)
            processor = queue.processor.speaking(run.convention)
            invalid = run.invalid.get(key, ()) if run.invalid else ()
            ids = processor.prompt(op, texts, invalid)
            prompt = processor.wire_prompt(op, texts, ids, invalid)
        except Exception as error:  # a tokenizer's, too: what was chosen before it is to be sent
            run.counts.waiting -= 1
            what = f"the tokenizer of {queue.processor.name} failed: {described(error)}"
            self.close(run, node, error if isinstance(error, NlpuError) else HostError(what))
            return None
        most = run.most(op, queue.processor, ids.size)
        if not run.ledger.reserve(most):
            heappush(run.ledger.blocked, (-node.call_rank, seq, node))
            if run.counts.in_flight == 0 and run.ledger.reserved.calls == 0:  # it never will
                self.events.append(StopRun(node, run.ledger.refusal(node.work_name, most)))
            return None
        if run.ledger.blocked:
            self.unblock(run)
        advance(node, Stage.SENT)
        cost.attempts += 1
        cost.unsent = 0
        request = Request(
            f"{run.number}:{seq}:{cost.attempts}",
            prompt,
            sampling=op.sampling
            if op.sampling.seed is None
            else op.sampling.drawn(node.node_work.sample, node.issue_scope.path, node.draw_number),
            constraint=op.result.constraint,
            priority=-node.call_rank,
            probabilities=op.result.probabilities,
            result=op.result,
            origin=OriginOf(origin_of, node),
        )
        attempt = queue.attempts[seq] = Attempt(node, request, queue, run, most)
        queue.alone = alone
        run.counts.waiting -= 1
        run.counts.in_flight += 1
        run.counts.attempts += 1
        self.events.append(attempt)
        return attempt

    # -- under way ---------------------------------------------------------------------------

    def unsend(self, attempts: list[Attempt]) -> None:
        """Take attempts back whose turn could not be committed: they were none."""
        for attempt in attempts:
            assert attempt.node.call_cost is not None
            attempt.node.call_cost.attempts -= 1
            attempt.run.counts.attempts -= 1

    def sent(self, attempts: list[Attempt], now: float) -> None:
        """Note that attempts are being sent: their time runs."""
        for attempt in attempts:
            attempt.sent_s = now

    update = outcomes.update  # an attempt has ended

    # -- cancel ------------------------------------------------------------------------------

    def cancel(self, node: Node) -> None:
        """Stop a call that nothing needs: in the queue, at the server, and for its sharers not."""
        if node.call_key is None or node.work_stage not in (_READY, Stage.SENT):
            return
        run, queue = self.runs.get(node.issue_scope.run.number), self.queue_of(node.node_work.op)
        if run is None or queue is None:
            return
        sharers = run.followers.get(node.call_key, [])
        while sharers:
            heir = sharers.pop()
            if heir.work_stage is not _SETTLED:
                self._inherit(run, queue, node, heir)
                return
        run.leaders.pop(node.call_key, None)
        attempt = queue.attempts.get(node.issue_seq)
        self.events.append(Dropped(node, attempt))
        if node.work_stage is _READY:
            run.counts.waiting -= 1
            self.unblock(run)  # it may have been the one that was tried
        elif attempt is not None:  # else its outcome is being settled
            attempt.dropped = True

    def _inherit(self, run: RunCalls, queue: ProcessorQueue, node: Node, heir: Node) -> None:
        """A sharer takes the place of a cancelled leader."""
        assert node.call_key is not None
        advance(heir, node.work_stage)
        heir.call_cost, heir.call_number = node.call_cost, node.call_number
        heir.call_rank = max(node.call_rank, heir.call_rank)
        node.call_cost = Cost(how="shared")  # what it took is counted once, at the heir
        run.leaders[node.call_key] = heir
        attempt = queue.attempts.get(node.issue_seq)
        if attempt is None:
            queue.push(heir)
        else:
            attempt.node = heir  # and its place in the order of sending stays
            queue.attempts = {each.node.issue_seq: each for each in queue.attempts.values()}
