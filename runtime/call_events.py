"""What is done for each event of the scheduler: its row, and what the graph hears of it.

Rules
1. An outcome is journaled before anyone sees it.
2. A call without a number in the journal has no row there: it was never sent, or nothing is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from nlpu.errors import ModelError
from nlpu.judgement import PoorJudge
from nlpu.runtime.graph.seen import Cell
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.journal.writer import AskedCall
from nlpu.runtime.ports import Ports
from nlpu.runtime.scheduler import events
from nlpu.runtime.scheduler.queue import Attempt


class CallEvents:
    """Writes and tells what the scheduler says. ``do``: what is done, by the event's class."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.do: dict[type, Callable[[Any], None]] = {
            Attempt: self._attempted,
            events.Shared: self._shared,
            events.Follows: self._follow,
            events.Done: self._done,
            events.Failed: self._failed,
            events.AskedAgain: self._asked_again,
            events.Lost: self._lost,
            events.StopRun: self._stop,
            events.AtBreakpoint: self._at_breakpoint,
        }

    def _attempted(self, attempt: Attempt) -> None:
        node, now = attempt.node, self._ports.outside.turn_s
        run, key, texts = node.issue_scope.run, node.call_key, node.operand_texts
        if not run.history.keeps:
            return
        assert key is not None and texts is not None
        if not node.call_number and run.replay.resumed:
            before = run.replay.past.calls.get(node.issue_position)
            if before is not None and before.key == key.hex():
                node.call_number = before.number
        if node.call_number:
            run.history.attempt(node.call_number, now)
        else:
            identity = attempt.queue.processor.identity
            asked = AskedCall(node.issue_position, node.node_work.op, identity, key, texts)
            node.call_number = run.history.issue(asked, attempt.most, now)

    def _shared(self, event: events.Shared) -> None:
        node = event.node
        assert node.call_key is not None and node.operand_texts is not None
        identity = self._ports.processors.find(node.node_work.op.processor).identity
        asked = AskedCall(
            node.issue_position, node.node_work.op, identity, node.call_key, node.operand_texts
        )
        node.issue_scope.run.history.shared(asked)

    def _follow(self, event: events.Follows) -> None:
        """A sharer gets its leader's outcome, and waited for it: the leader is on its path."""
        leader, sharer = event
        if sharer.work_stage is Stage.SETTLED:  # cancelled meanwhile
            return
        sharer.control_cell = Cell(leader, sharer.control_cell)
        content, error = leader.settled_outcome()
        if error is not None:
            self._ports.graph.fail(sharer, error)
            return
        kind = sharer.node_work.op.result
        if kind.annotation is not leader.node_work.op.result.annotation:  # it may read it otherwise
            try:
                content = kind.parse(leader.call_reply)
            except ModelError as failure:
                self._ports.graph.fail(sharer, failure)
                return
        self._ports.graph.settle(sharer, content)

    def _done(self, event: events.Done) -> None:
        (node, decoded, poor), cost = event, event.node.call_cost
        assert cost is not None
        if poor is not None and _is_refused(poor):
            cost.wasted_tokens += poor.tokens
            self._failed(events.Failed(node, poor.error, "program"))
            return
        node.issue_scope.run.history.result(
            node.call_number, decoded.text, cost, self._ports.outside.turn_s
        )
        node.call_reply = decoded.text
        self._ports.graph.settle(node, decoded.content)

    def _failed(self, event: events.Failed) -> None:
        node, error, side = event
        if node.call_number:  # what was never sent fails again by itself
            now, cost = self._ports.outside.turn_s, node.call_cost or Cost()
            node.issue_scope.run.history.failure(node.call_number, error, side, cost, now)
        self._ports.graph.fail(node, error)

    def _asked_again(self, event: events.AskedAgain) -> None:
        node, now = event.node, self._ports.outside.turn_s
        if node.call_number:
            assert node.call_cost is not None
            node.issue_scope.run.history.again(
                node.call_number, event.invalid, node.call_cost, event.most, now
            )

    def _lost(self, event: events.Lost) -> None:
        if event.node.call_number:
            event.node.issue_scope.run.history.lost(event.node.call_number, event.took)

    def _stop(self, event: events.StopRun) -> None:
        self._ports.outside.post(self._ports.outside.stop, event.node.issue_scope.run, event.error)

    def _at_breakpoint(self, event: events.AtBreakpoint) -> None:
        if event.gate.on_stop is not None:
            event.gate.on_stop()


def _is_refused(poor: events.Poor) -> bool:
    """Warn of a judgement that is worth little; as an error it is its program's."""
    try:
        # a registry of its own: what another run was told, this one has not been
        warnings.warn_explicit(poor.warning, PoorJudge, "nlpu", 0, registry={})
    except PoorJudge:
        return True
    return False
