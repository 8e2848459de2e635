"""Events: what the scheduler says has happened, for whoever carries it out.

They are in the order in which the journal is to hold them. An ``Attempt`` is an event, too: it is
to be journaled, and then sent. Whoever takes them applies them before it asks anything else.
"""

from __future__ import annotations

from typing import NamedTuple

from nlpu.errors import BudgetExceeded, ProgramError
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.decode import Decoded
from nlpu.runtime.graph.node import Node
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import Amount
from nlpu.runtime.scheduler.queue import Attempt, ProcessorQueue


class Shared(NamedTuple):
    """The call met an equal one, and waits for what becomes of that."""

    node: Node


class Follows(NamedTuple):
    """The leader has its outcome, or will have it when the events before are applied."""

    leader: Node
    sharer: Node


class Poor(NamedTuple):
    """A judgement that is worth little: the warning; as an error, what the call fails with, and
    the tokens that were wasted on it."""

    warning: str
    error: ProgramError
    tokens: int


class Done(NamedTuple):
    """The call has a result."""

    node: Node
    decoded: Decoded
    poor: Poor | None


class Failed(NamedTuple):
    """The call failed for good. ``side``: host, model or program."""

    node: Node
    error: BaseException
    side: str


class AskedAgain(NamedTuple):
    """A reply was no result; ``most``: what asking again can take."""

    node: Node
    invalid: Invalid
    most: Amount


class Lost(NamedTuple):
    """An attempt gave no answer, and may have taken that much."""

    node: Node
    took: Amount


class RetryAfter(NamedTuple):
    """The call backs off: ``Scheduler.retry`` is to be called in so many seconds."""

    node: Node
    queue: ProcessorQueue
    seconds: float


class Dropped(NamedTuple):
    """Nothing needs the call any more; ``attempt``: what is to be stopped of it."""

    node: Node
    attempt: Attempt | None


class StopRun(NamedTuple):
    """The run of the call cannot go on."""

    node: Node
    error: BudgetExceeded


class AtBreakpoint(NamedTuple):
    """A call has come to be held."""

    gate: Gate


Event = (
    Attempt
    | Shared
    | Follows
    | Done
    | Failed
    | AskedAgain
    | Lost
    | RetryAfter
    | Dropped
    | StopRun
    | AtBreakpoint
)
