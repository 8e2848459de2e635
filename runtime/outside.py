"""What a program gets from outside the graph: the time, random numbers, whichever comes first.

Each is journaled under the position where it was asked, so a resumed program sees the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from nlpu.errors import BadOperand, NotInRun
from nlpu.value import Value, current
from runtime.graph import Scope, current_scope
from runtime.works import First


def first(*values: Value[Any]) -> Value[Any]:
    """The first of the Values that is there; losers that nothing else needs are cancelled."""
    if not values:
        raise BadOperand("first() needs at least one Value")
    return current().issue(First(), values)


def now() -> datetime:
    """The time (UTC). The same on every resume."""
    return datetime.fromtimestamp(_remembered(lambda scope: scope.run.date_s()), UTC)


def random() -> Random:
    """A random generator whose seed is the same on every resume."""
    return Random(_remembered(_seed))


def _seed(scope: Scope) -> int:
    return Random().getrandbits(48)


async def heard(listen: Callable[[], Awaitable[Any]]) -> Any:
    """What ``listen`` gives (JSON, not null); on a resume, what it gave there before."""
    place = Place()
    return place.note(await listen()) if place.heard is None else place.heard


def _remembered(make: Callable[[Scope], Any]) -> Any:
    place = Place()
    return place.note(make(place.scope)) if place.heard is None else place.heard


class Place:
    """A position of the scope that asks. ``heard``: what was noted there, in a former life too."""

    def __init__(self) -> None:
        scope = current_scope()
        if scope is None:
            raise NotInRun("runtime.now(), random() and heard() work inside a run only")
        self.scope = scope
        self.position = f"{scope.path}/{scope.issued}"
        scope.issued += 1
        self.heard: Any = scope.run.heard(self.position)

    def note(self, content: Any) -> Any:
        """Journal what came from outside (JSON, not null)."""
        self.scope.run.history.clock(self.position, content)
        self.scope.run.kernel.soon()
        self.heard = content
        return content
