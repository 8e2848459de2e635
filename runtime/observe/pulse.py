"""Progress: what a run's journal says of the present, for those who look on from outside.

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

from collections.abc import Callable, Iterable, Mapping

from nlpu.runtime.graph.node import Node
from nlpu.runtime.run import RunState

EVERY_S = 1.0


class Progress:
    """Writes the pulse rows of all runs of one computer."""

    def __init__(self) -> None:
        self._next_s: float | None = None

    def beat(
        self, runs: Mapping[int, RunState], waiting: Callable[[], Iterable[Node]], now_s: float
    ) -> None:
        """Write one row for each run that goes on, if it is time for that (rule 1).

        waiting: the calls under way, and those that wait to be sent.
        """
        if self._next_s is None:
            self._next_s = now_s + EVERY_S
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        paths = _paths(waiting())
        for number, run in runs.items():
            if number in paths and not run.replay.only:
                run.history.pulse(run.counts.waiting, *paths[number], now_s)


def _paths(nodes: Iterable[Node]) -> dict[int, tuple[int, int]]:
    """Tokens done and expected on the longest path of each run that has calls to make.

    One that was stopped may still have calls under way.
    """
    paths: dict[int, tuple[int, int]] = {}
    for node in nodes:
        run = node.issue_scope.run
        done = _before(node)
        if run.number not in paths or done + node.call_rank > paths[run.number][1]:
            paths[run.number] = (done, done + node.call_rank)
    return paths


def _before(node: Node) -> int:
    """Tokens of the longest path up to the node."""
    control = node.control_cell
    tokens = control.path_tokens if control is not None else 0
    read = (value.path_tokens for value in node.work_operands if isinstance(value, Node))
    return max(tokens, max(read, default=0))
