"""Settling: what becomes of an attempt's outcome.

Theory of operation
-------------------
    a reply          decoded and journaled: the call and its sharers have their result
    an invalid one   journaled, and asked for again with what is wrong (``Op.retries``); the last
                     is journaled as a failure of the model, and final
    a fault          tried again later, or final (``faults`` decides)
    dropped          nothing needs it any more; its budget is charged in full, as for a lost answer

A call that the budget refused waits here until something settles. Then the first of those refused
is tried, and the next when that one fitted, so a settlement costs one try and not one for each.

Rules
1. An outcome is journaled before anyone sees it.
2. Sharers get their leader's outcome and keep their own labels.
3. Only faults of the host are tried again as they were. What is asked again with what was wrong
   is another attempt of the same call: with its key, in its turn, out of the same budget.
4. An attempt whose answer was lost has spent what it could: a budget is never exceeded.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from nlpu.errors import DoesNotFit, EngineDied, HostError, ModelError, Overloaded, ProgramError
from nlpu.prompt.codec import Decoded, decode
from nlpu.prompt.complaint import complaint
from nlpu.runtime.graph.node import Cell, Node, Stage
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.runtime.scheduler.judging import check_judge
from nlpu.runtime.scheduler.queue import Flight, Lane, quarantined
from nlpu.wire import Reply, Usage

if TYPE_CHECKING:  # the desk owns this; both are the kernel's
    from nlpu.runtime.kernel import Kernel
    from nlpu.runtime.scheduler.scheduler import CallDesk

_NO_ROOM = "; the window has no room to ask again with what was wrong"


class Settlement:
    """Takes outcomes for the call desk."""

    def __init__(self, kernel: Kernel, desk: CallDesk) -> None:
        self._kernel = kernel
        self._desk = desk

    def outcome(self, flight: Flight, outcome: Reply | BaseException) -> None:
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
            run.purse.settle(flight.most, Amount(0))
            if flight.started:
                run.purse.charge(flight.most, lost=True)
            self.unblock(run)
            return
        now = self._kernel.turn_s
        cost.service_s += now - flight.sent_s
        cost.queue_s = flight.sent_s - cost.start_s if cost.attempts == 1 else cost.queue_s
        run.fault = outcome if isinstance(outcome, HostError) else None
        if isinstance(outcome, Reply):
            self._replied(flight, outcome)
        else:
            run.purse.settle(flight.most, Amount(0))
            if isinstance(outcome, HostError):
                self._faulted(flight, outcome)
            else:
                self.close_failed(node, self._refused(node, outcome))
        self.unblock(run)

    def _replied(self, flight: Flight, reply: Reply) -> None:
        node, run = flight.node, flight.node.scope.run
        flight.lane.health.answer(flight.sent_s)
        flight.lane.answered()
        cost, price = node.cost, flight.lane.processor.price
        assert cost is not None
        took = reply.usage
        cost.add(took)
        money = price.of(took.prompt_tokens, took.cached_tokens, took.completion_tokens)
        cost.money += money
        if run.purse.limited:
            tokens = took.prompt_tokens + took.completion_tokens
            nlops = took.completion_tokens / TOKENS_PER_NLOP
            run.purse.settle(flight.most, Amount(1, nlops, tokens, money))
        run.counts.completion_tokens += took.completion_tokens
        run.counts.prompt_tokens += took.prompt_tokens
        try:
            decoded = decode(node.work.op, reply)
            check_judge(node, flight.lane.processor, decoded.content)
        except (ModelError, ProgramError) as error:
            cost.wasted_tokens += took.completion_tokens
            if not self._ask_again(flight, reply, error):
                run.counts.calls += 1
                self.close_failed(node, error)
            return
        run.counts.calls += 1
        self._close_done(node, decoded)

    def _ask_again(self, flight: Flight, reply: Reply, error: Exception) -> bool:
        """Queue the call once more, if its reply can be complained of and there is room for that.

        If not, the error says how often it was asked, and what is wrong with a record.
        """
        node, run, cost = flight.node, flight.node.scope.run, flight.node.cost
        assert node.key is not None and node.texts is not None and cost is not None
        op, before = node.work.op, run.invalid.get(node.key, ())
        found = complaint(op, reply, error)
        more = ""
        if found is not None and len(before) < op.retries:
            try:
                processor = flight.lane.processor.speaking(run.convention)
                size = len(processor.prompt(op, node.texts, (*before, found)))
            except DoesNotFit:
                more = _NO_ROOM
            else:
                run.invalid[node.key] = (*before, found)
                cost.again += 1
                cost.unsent = 1
                if node.issue:
                    most = run.most(op, flight.lane.processor, size)
                    run.history.again(node.issue, found, cost, most, self._kernel.turn_s)
                node.stage = Stage.READY
                run.counts.waiting += 1
                flight.lane.push(node)
                self._kernel.soon()
                return True
        if (
            found is not None
            and op.result.kind == "json"
            and not found.why.startswith("it is not a ")
        ):
            error.args = (f"{error}: {found.why}",)
        if before:
            more = f"; it was asked {len(before) + 1} times{more}"
        if more:
            error.args = (f"{error}{more}",)
        return False

    def _refused(self, node: Node, error: BaseException) -> BaseException:
        """The error of a refused attempt: if only the complaint did not fit, what it was of."""
        assert node.key is not None
        invalid = node.scope.run.invalid.get(node.key, ())
        if not invalid or not isinstance(error, DoesNotFit):
            return error
        try:
            decode(node.work.op, Reply(invalid[-1].text, "stop", Usage()))
        except ModelError as first:
            first.args = (f"{first}{_NO_ROOM}",)
            return first
        return error

    def _close_done(self, node: Node, decoded: Decoded) -> None:
        run, cost = node.scope.run, node.cost
        assert cost is not None
        assert node.key is not None
        cost.trimmed = decoded.trimmed
        run.invalid.pop(node.key, None)
        run.history.result(node.issue, decoded.text, cost, self._kernel.turn_s)
        node.reply = decoded.text
        self._kernel.settle(node, decoded.content)
        for sharer in run.followers.pop(node.key, ()):
            self.follow(node, sharer)

    def close_failed(self, node: Node, error: BaseException) -> None:
        run = node.scope.run
        assert node.key is not None
        sides = {HostError: "host", ModelError: "model"}
        side = next((name for kind, name in sides.items() if isinstance(error, kind)), "program")
        if node.issue:  # what was never sent fails again by itself
            cost = node.cost or Cost()
            run.history.failure(node.issue, error, side, cost, self._kernel.turn_s)
        if side == "host":
            run.leaders.pop(node.key, None)
        else:
            run.invalid.pop(node.key, None)
        self._kernel.fail(node, error)
        for sharer in run.followers.pop(node.key, ()):
            self.follow(node, sharer)
        self.unblock(run)  # it may have been the one that was tried

    # -- faults ------------------------------------------------------------------------------

    def _faulted(self, flight: Flight, error: HostError) -> None:
        node, lane, now = flight.node, flight.lane, self._kernel.now_s()
        self._charge_lost(flight, error)
        lane.health.fault(node, error, flight.sent_s, now)
        cost = node.cost
        assert cost is not None
        knocking, refused = lane.health.down, isinstance(error, Overloaded)
        cost.knocks += knocking
        if refused:
            cost.refused += not knocking
            lane.refused(flight.sent_s, now)
        free = cost.knocks + cost.refused + cost.again  # those did not fail
        if lane.health.quarantined(node):
            self.close_failed(node, quarantined(node, lane))
        elif knocking and lane.health.given_up(now):
            self._give_up(lane, node, error)
        elif refused and not lane.flights and lane.health.given_up(now):
            self.close_failed(node, error)  # it alone: the next in the queue may have more luck
        elif error.transient and cost.attempts - free < lane.processor.limits.attempts:
            if lane.health.may_retry(error):
                self._later(lane, node, error)
            else:
                self.close_failed(node, error)
        else:
            self.close_failed(node, error)

    def _charge_lost(self, flight: Flight, error: HostError) -> None:
        """What an attempt without an answer may have taken, is spent (rule 4)."""
        run, down_s = flight.node.scope.run, flight.lane.health.down_since_s
        knocked = down_s is not None and flight.sent_s > down_s  # the dead generate nothing
        if error.free or (knocked and isinstance(error, EngineDied)):
            return
        most, price = flight.most, flight.lane.processor.price
        beyond = max(0, error.generated - round(most.nlops * TOKENS_PER_NLOP))
        took = Amount(
            1, most.nlops + beyond / TOKENS_PER_NLOP, most.tokens + beyond,
            most.money + price.of(0, 0, beyond),
        )  # fmt: skip
        run.purse.charge(took, lost=True)
        if flight.node.issue:
            run.history.lost(flight.node.issue, took)

    def _give_up(self, lane: Lane, node: Node, error: HostError) -> None:
        """The server stays down: fail what waits for it, too."""
        self.close_failed(node, error)
        queue, lane.queue = lane.queue, []
        for _, _, waiting in queue:
            if waiting.stage is Stage.READY:
                self.close_failed(waiting, error)
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
            self._kernel.soon()

        self._kernel.loop.call_later(delay, again)

    def follow(self, leader: Node, sharer: Node) -> None:
        """A sharer gets its leader's outcome, and waited for it: the leader is on its path."""
        if sharer.stage is Stage.SETTLED:  # cancelled meanwhile
            return
        sharer.control = Cell(leader, sharer.control)
        if leader._error is not None:
            self._kernel.fail(sharer, leader._error)
            return
        kind, content = sharer.work.op.result, leader._content
        if kind.annotation is not leader.work.op.result.annotation:  # it may read it otherwise
            try:
                content = kind.parse(leader.reply)
            except ModelError as error:
                self._kernel.fail(sharer, error)
                return
        self._kernel.settle(sharer, content)

    # -- budgets -----------------------------------------------------------------------------

    def refuse(self, node: Node) -> None:
        """The budget does not allow the call now; with nothing under way it never will."""
        run = node.scope.run
        heappush(run.blocked, (-node.rank, node.seq, node))
        if run.counts.in_flight == 0 and run.purse.reserved.calls == 0:
            lane = self._desk.lane_of(node.work.op)
            assert node.texts is not None
            processor = lane.processor.speaking(run.convention)
            invalid = run.invalid.get(node.key or b"", ())
            size = len(processor.prompt(node.work.op, node.texts, invalid))
            refusal = run.purse.refusal(node.name, run.most(node.work.op, lane.processor, size))
            self._kernel.arrived(self._kernel.host.stop, run, refusal)

    def unblock(self, run: RunState) -> None:
        """Try the first of the calls that the budget refused: something settled, or it fitted."""
        while run.blocked:
            node = heappop(run.blocked)[2]
            if node.stage is Stage.READY:
                self._desk.lane_of(node.work.op).push(node)
                self._kernel.soon()
                break
