"""The gate: holds calls before they are sent, so that a person can look, step and go on.

Theory of operation
-------------------
A run may be started with a gate. Each of its calls passes it when it would be sent: its operands
are there, there is room for it, nothing is journaled yet. A call of a broken op stops the machine:
it is held, and so is every call that comes after it, until it is stepped or all goes on. What was
sent before runs to its end.

    state      a call arrives                        step              go
    running    passes; a breakpoint: held, stopped   -                 -
    stopped    held                                  some pass         all pass, running

Rules
1. A held call costs no room, no budget and no attempt; it can be cancelled like any other.
2. A call that has passed once is never held again: a retry is not a new call.
3. Any thread may call these methods; what is held changes on the loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nlpu.checks import FLAG, FUNCTION, NAMES, WHOLE, check, maybe
from nlpu.ops.op import Op
from nlpu.printing import one_line, shown
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage


class Held(NamedTuple):
    """A call that waits at the gate: where it is, and what would be sent."""

    position: str
    op: Op[Any]
    texts: tuple[str, ...]

    def __repr__(self) -> str:
        return one_line(f"Held({self.position}: {self.op.name}, {shown(self.texts, 100)})")


class Gate:
    """Breakpoints of one run. Give it to ``Computer.start(..., gate=gate)``.

    breakpoints: names of ops whose calls stop the machine; may be changed while it runs.
    stopped:     start with the machine stopped: every call is held until it is stepped.
    on_stop:     called on the loop thread when calls have come to be held.
    """

    def __init__(
        self,
        breakpoints: Iterable[str] = (),
        *,
        stopped: bool = False,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        fits = {"breakpoints": NAMES, "stopped": FLAG, "on_stop": maybe(FUNCTION)}
        check("Gate", locals(), fits)
        self.breakpoints = set(breakpoints)
        self.stopped = stopped
        self.on_stop = on_stop
        self._held: dict[int, Node] = {}
        self._passed: set[int] = set()
        self._post: Callable[[Callable[[], None]], None] = lambda step: step()
        self._pass_on: Callable[[list[Node]], None] = lambda nodes: None

    def __repr__(self) -> str:
        state = f"{'stopped' if self.stopped else 'open'}, {len(self._held)} held"
        breaks = ", ".join(sorted(self.breakpoints.copy())) or "nothing"
        return one_line(f"Gate({state}, breaks at {breaks})")

    def held(self) -> list[Held]:
        """The calls that wait, in the order in which they would have been sent."""
        waiting = [node for node in list(self._held.values()) if node.work_stage is Stage.READY]
        return [
            Held(node.issue_position, node.node_work.op, node.operand_texts or ())
            for node in waiting
        ]

    def step(self, calls: int | None = 1) -> None:
        """Let the first ``calls`` of those held pass, or all that are held now (None)."""
        check("step", {"calls": calls}, {"calls": maybe(WHOLE)})
        self._post(lambda: self._release(calls))

    def go(self) -> None:
        """Let all pass, until the next breakpoint."""

        def gone() -> None:
            self.stopped = False
            self._release(None)

        self._post(gone)

    # -- for the scheduler, on the loop thread ---------------------------------------------------

    def attach(
        self, post: Callable[[Callable[[], None]], None], pass_on: Callable[[list[Node]], None]
    ) -> None:
        """Begin to hold. ``post``: has a step done on the loop thread, called from any;
        ``pass_on``: queues calls again that were held."""
        self._post, self._pass_on = post, pass_on

    def passes(self, node: Node) -> bool:
        """Tell whether the call may be sent; one that has passed is not asked again (rule 2)."""
        if node.issue_seq in self._passed:
            return True
        if self.stopped or node.work_name in self.breakpoints:
            return False
        self._passed.add(node.issue_seq)
        return True

    def hold(self, node: Node) -> bool:
        """Hold the call, which stops the machine; False if it is held already."""
        self.stopped = True
        if node.issue_seq in self._held:
            return False
        self._held[node.issue_seq] = node
        return True

    def _release(self, calls: int | None) -> None:
        waiting = [node for node in self._held.values() if node.work_stage is Stage.READY]
        passing = waiting[:calls]
        self._held = {node.issue_seq: node for node in waiting[len(passing) :]}
        self._passed.update(node.issue_seq for node in passing)
        self._pass_on(passing)
