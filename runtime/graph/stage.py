"""Stages: where a node is in its life, and the one way from one to the next.

    stage      becomes            when
    WAITING    READY, SETTLED     the last operand is there; an operand failed, or it was cancelled
               SENT               a driver is called, or it takes over the attempt of an equal call
    READY      SENT, SETTLED      admitted by the scheduler; found in the journal, or cancelled
    SENT       READY, SETTLED     a transient fault; a reply, a last fault, or cancelled
    SETTLED    -                  never changes again

Rules
1. ``advance`` alone writes a node's stage. What is not in the table raises, and changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from nlpu.errors import HostError


class Stage(IntEnum):
    """Where a node is in its life; see the table above."""

    WAITING = 0
    READY = 1
    SENT = 2
    SETTLED = 3


NEXT: dict[Stage, frozenset[Stage]] = {
    Stage.WAITING: frozenset({Stage.READY, Stage.SENT, Stage.SETTLED}),
    Stage.READY: frozenset({Stage.SENT, Stage.SETTLED}),
    Stage.SENT: frozenset({Stage.READY, Stage.SETTLED}),
    Stage.SETTLED: frozenset(),
}


class Staged(Protocol):
    """What has a stage: a node."""

    work_stage: Stage

    @property
    def issue_position(self) -> str:
        """Where it was issued."""


def advance(node: Staged, stage: Stage) -> None:
    """Move a node on to a stage. Raises HostError where the table has no such step."""
    if stage not in NEXT[node.work_stage]:
        raise HostError(
            f"the node at {node.issue_position} cannot become {stage.name}: it is "
            f"{node.work_stage.name}; please report it"
        )
    node.work_stage = stage
