"""The graph: puts work on it, makes nodes ready, settles them.

Theory of operation
-------------------
A node is issued with the work that will settle it. Its kind says what it waits for; when that is
there it is ready, and its kind settles it, has a call sent, or grows the graph. What is settled
makes its readers ready, and is noted for the programs that wait for it: they are woken in the last
phase of a turn, after the commit.

Rules
1. A node fails alone: its error goes to the nodes that read it, and to nothing else.
2. What a kind of work does is in ``kind.KINDS``; the graph knows only nodes.
3. What waits for a node to grow is ready once its items are known, or never will be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from nlpu.errors import Cancelled, Diverged, NlpuError
from nlpu.label import Label
from nlpu.ops.op import Call
from nlpu.reliability import Reliably
from nlpu.runtime.executor.raised import internal
from nlpu.runtime.graph.kind import KINDS
from nlpu.runtime.graph.node import Node, Scope
from nlpu.runtime.graph.stage import Stage, advance
from nlpu.runtime.graph.upstream import upstream
from nlpu.runtime.journal.commits import CommitGate
from nlpu.runtime.ports import Ports
from nlpu.value import peek_error, peek_label

_SETTLED = Stage.SETTLED  # enum attributes are slow to look up


class Graph:
    """The growing graph of all runs of a computer."""

    def __init__(self, commits: CommitGate[Node]) -> None:
        self.ports: Ports  # of the machine that it is made a part of
        self._commits = commits
        self._ready: deque[Node] = deque()
        self._released: list[Node] = []
        self._seq = 0

    @property
    def pending(self) -> bool:
        """Whether any node is ready."""
        return bool(self._ready)

    def advance(self) -> None:
        """Have every node that is ready settled, grown or queued, and those that this makes so."""
        while self._ready:
            self._step(self._ready.popleft())

    def released(self) -> list[Callable[[], None]]:
        """What waits for nodes that were settled since this was last asked, in that order."""
        if self._commits.later:
            self._released += self._commits.settled
            self._commits.settled.clear()
        nodes, self._released = self._released, []
        wakers: list[Callable[[], None]] = []
        for node in nodes:
            mine, node.parked_wakers = node.parked_wakers, None
            wakers += mine or ()
        return wakers

    def _step(self, node: Node) -> None:
        if node.work_stage is _SETTLED:
            return
        kind = KINDS[type(node.node_work)]
        try:
            if not kind.takes_failures:
                _check_operands(node)
            kind.ready(self, node)
        except BaseException as error:
            self._cancel_grown(node)  # it may have been refused halfway
            self.failed(node, error if isinstance(error, NlpuError) else internal(error))

    def failed(self, node: Node, error: NlpuError) -> None:
        """Fail a node; a divergence stops its run, so that no program can catch it."""
        if isinstance(error, Diverged):
            self.ports.outside.stop(node.issue_scope.run, error)
        else:
            self.fail(node, error)

    # -- issuing -----------------------------------------------------------------------------

    def issue(self, scope: Scope, work: Any, operands: tuple[Any, ...]) -> Node:
        """Put work on the graph, and give its node."""
        if scope.asked is not None and type(work) is Call and work.op.reliability is None:
            work = Reliably(work.op, work.sample, scope.asked)
        node = Node(scope, work, operands)
        replay = scope.run.replay
        if replay.reworded or replay.persona is not None:
            node.node_work, label = replay.worded(work)
            if label is not None:
                node.lower_label(label)
        self._seq += 1
        node.issue_seq = self._seq
        scope.nodes.append(node)
        try:
            KINDS[type(work)].issued(self, node)
        except NlpuError:  # the program learns of what the node would have read
            self._cancel_grown(node)
            scope.nodes.pop()
            for value in node.values_read():
                if not isinstance(value, Node) or value.work_stage is _SETTLED:
                    scope.see(peek_label(value))
            raise
        self.ports.calls.issued(node)
        return node

    def wait_for(self, node: Node, values: Iterable[Any], needed: int | None = None) -> None:
        """Make the node ready when all (or ``needed``) of the values are settled."""
        if node.grown_values is not None and node.waiting_growers:
            self._grown(node)
        waiting = 0
        for value in values:
            if isinstance(value, Node) and value.work_stage is not _SETTLED:
                waiting += 1
                if value.user_nodes is None:
                    value.user_nodes = []
                value.user_nodes.append(node)
        node.waits_for = waiting if needed is None else min(waiting, needed)
        if node.waits_for == 0:
            self._make_ready(node)

    def _grown(self, source: Node) -> None:
        """The source's items are known, or never will be (rule 3)."""
        growers, source.waiting_growers = source.waiting_growers, None
        for node in growers or ():
            if node.work_stage is not _SETTLED:
                node.waits_for = 0
                self._make_ready(node)

    def _make_ready(self, node: Node) -> None:
        self._ready.append(node)
        self.ports.outside.soon()

    # -- settling ----------------------------------------------------------------------------

    def send(self, node: Node) -> None:
        """Note that what the node stands for is under way."""
        advance(node, Stage.SENT)

    def settle(self, node: Node, content: Any, vouched: Label | None = None) -> None:
        """The node's content is there. Its label joins its operands' and its scope's.

        vouched: the label where the operands' do not count. Only an endorsement may say so.
        """
        self._close(node, content, None, node.label_given() if vouched is None else vouched)

    def fail(self, node: Node, error: BaseException) -> None:
        """The node has no content; this is why."""
        if node.work_stage is not _SETTLED:
            self._close(
                node, None, error, node.label_read()
            )  # an error may tell of all that was read

    def _close(self, node: Node, content: Any, error: BaseException | None, label: Any) -> None:
        node.take_outcome(content, error, label)
        if self._commits.later:
            self._commits.settled.append(node)
        elif node.parked_wakers:
            self._released.append(node)
        if node.waiting_growers:
            self._grown(node)
        users, node.user_nodes = node.user_nodes, None
        for user in users or ():
            user.waits_for -= 1
            if user.waits_for == 0 and user.work_stage is not _SETTLED:
                self._ready.append(user)

    # -- cancelling --------------------------------------------------------------------------

    def cancel(self, node: Node) -> None:
        """Nothing needs the node any more. Idempotent."""
        if node.work_stage is _SETTLED:
            return
        self.ports.calls.drop(node)
        error = Cancelled(
            f"{node.work_name} at {node.issue_position} was cancelled: nothing needs its result"
        )
        self.fail(node, error)
        self._cancel_grown(node)

    def _cancel_grown(self, node: Node) -> None:
        """Cancel what grew out of a cancelled node: a nested program, or calls only it needs."""
        scope = node.inner_scope
        if scope is None:
            return
        spawned = scope.origin is node
        if spawned:
            self.ports.programs.kill(scope)
        for inner in list(scope.subtree()) if spawned else reversed(scope.nodes):
            if spawned or not inner.needed_by_others(node):
                self.cancel(inner)


def _check_operands(node: Node) -> None:
    for value in node.work_operands:
        if isinstance(value, Node) and peek_error(value) is not None:
            raise upstream(node, value)
