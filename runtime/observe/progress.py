"""The pulse: what a run's journal says of the present, for those who look on from outside.

A journal's rows tell what was sent and what came back. How much is waiting, and how far the longest
path has come, only the scheduler knows; so it writes that down now and then.

Rules
1. At most one row a second for each run, only with rows that are committed anyway, and never in a
   replay: a pulse costs no commit of its own.
2. Nothing reads a pulse but people: it decides nothing, and a resume takes no notice of it.
3. The longest path is that of the issued nodes: tokens done before the call on it that is next,
   and tokens expected in all (estimates are upper bounds where nobody gave better ones).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpu.runtime.graph.node import Node

if TYPE_CHECKING:  # the kernel owns its pulse
    from nlpu.runtime.kernel import Kernel

EVERY_S = 1.0


class Pulse:
    """Writes the pulse rows of all runs of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._next_s: float | None = None

    def beat(self) -> None:
        """Write one row for each run that goes on, if it is time for that (rule 1)."""
        kernel = self._kernel
        if not kernel.journal.dirty:
            return
        if self._next_s is None:
            self._next_s = kernel.turn_s + EVERY_S
        if kernel.turn_s < self._next_s:
            return
        self._next_s = kernel.turn_s + EVERY_S
        paths = self._paths()
        for number, run in kernel.runs.items():
            if number in paths and not run.replay:
                run.history.pulse(run.counts.waiting, *paths[number], kernel.turn_s)

    def _paths(self) -> dict[int, tuple[int, int]]:
        """Tokens done and expected on the longest path of each run that has calls to make.

        One that was stopped may still have calls under way.
        """
        paths: dict[int, tuple[int, int]] = {}
        for queue in self._kernel.scheduler.queues.values():
            for node in queue.nodes():
                run = node.scope.run
                done = _before(node)
                if run.number not in paths or done + node.rank > paths[run.number][1]:
                    paths[run.number] = (done, done + node.rank)
        return paths


def _before(node: Node) -> int:
    """Tokens of the longest path up to the node."""
    control = node.control
    tokens = control.path_tokens if control is not None else 0
    read = (value.path_tokens for value in node.operands if isinstance(value, Node))
    return max(tokens, max(read, default=0))
