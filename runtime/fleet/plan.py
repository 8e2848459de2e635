"""What a batch is given, and how far it is."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nlpu.errors import NlpuError, Usage
from nlpu.runtime.fleet.share import NO_CALLS, NOTHING, Took
from nlpu.runtime.scheduler.budget import UNLIMITED, Amount, Budget

if TYPE_CHECKING:
    from nlpu.runtime.fleet.item import Item


class Entry(NamedTuple):
    """An input: what it calls itself, and the arguments that are made of it."""

    id: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is carried out; see ``Computer.map``.

    at_once: most runs that go on (0: as many as the processors need). facts: for their headers.
    waits: the next input may be long in coming, and outcomes are given before it is waited for.
    """

    name: str = ""
    at_once: int = 0
    ordered: bool = True
    budget: Budget = UNLIMITED
    retry: bool = False
    changed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    waits: bool = False


def in_turn(program: Callable[..., Any], plan: Plan, workers: int = 0) -> Plan:
    """Have one run at a time where the program's module says ``IN_TURN = True``. Raises Usage.

    Such runs need what one of them has alone, and find what those before them left there.
    """
    module = sys.modules.get(getattr(program, "__module__", None) or "")
    if getattr(module, "IN_TURN", False) is not True:
        return plan
    if plan.at_once > 1 or workers:
        raise Usage(
            f"runs of {program.__name__} go one after the other, as its module says (IN_TURN): "
            "leave --at-once (at_once=) out, and have no workers: --run-dir FOLDER"
        )
    return replace(plan, at_once=1)


@dataclass(slots=True)
class Counts:
    """How far a batch is. known: ended in former lives. cost: of all its items, in all lives.

    lost: what attempts may have taken whose answers were lost; it counts against the budget.
    joined: workers that had joined and were told to end.
    """

    done: int = 0
    failed: int = 0
    needs_person: int = 0
    known: int = 0
    in_flight: int = 0
    cost: Amount = NOTHING
    lost: Amount = NOTHING
    joined: int = 0

    def meet(self, ended: Mapping[str, int], spent: Amount) -> None:
        """Count what is known of a batch that was stopped, whether or not it was given."""
        self.done = max(self.done, ended.get("done", 0))
        self.failed = max(self.failed, ended.get("failed", 0))
        self.needs_person = max(self.needs_person, ended.get("needs_person", 0))
        self.cost = spent

    @property
    def ended(self) -> int:
        """How many inputs have an outcome."""
        return self.done + self.failed + self.needs_person


class Input(NamedTuple):
    """An input as workers get it: known by its content, ``nth`` of its equals, and as JSON."""

    name: str
    nth: int
    at: int
    id: str
    args: str


class Steps(ABC):
    """A batch as whoever tells of it goes through it: of one process, or of many."""

    counts: Counts
    error: NlpuError | None

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether it gives nothing more."""

    @abstractmethod
    def open(self) -> None:
        """Take it up where it was."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What was noted of it."""

    @abstractmethod
    def note_facts(self, **facts: Any) -> None:
        """Note what is to be known of it in later lives."""

    @abstractmethod
    def step(self, timeout_s: float = inf) -> list[Item]:
        """Give items that are there, or wait for some."""

    @abstractmethod
    def stop(self, error: NlpuError) -> None:
        """End what goes on, resumable."""

    @abstractmethod
    def close(self) -> None:
        """Stop what goes on, and let others take it up."""

    def __iter__(self) -> Iterator[Item]:
        try:
            while not self.ended:
                yield from self.step()
        finally:  # whoever leaves it before its end, too
            self.close()
        self._raise()

    async def __aiter__(self) -> AsyncIterator[Item]:
        import asyncio

        try:
            while not self.ended:
                for item in await asyncio.to_thread(self.step):
                    yield item
        finally:
            self.close()
        self._raise()

    def _raise(self) -> None:
        """Raise why it came to no end, which must not look like one."""
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Begun(NamedTuple):
    """An input that has a run. before: what earlier runs of it took.

    run, past: its last one before, and what that took: for where this one cannot begin.
    """

    at: int
    id: str
    name: str
    nth: int
    before: Took = NO_CALLS
    run: int = 0
    past: Took = NO_CALLS
