"""What a program gets from outside the graph: the time, random numbers, what is typed, whichever
comes first.

Rules
1. Each is journaled under the position where it was asked, so a resumed program sees the same.
2. Its row is in the journal no later than any call the program makes after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from nlpu.errors import BadOperand, NotInRun
from nlpu.runtime.graph.kinds import First
from nlpu.runtime.graph.node import Scope, current_scope
from nlpu.value import Value, current

_HEARD = "what was heard"


def first(*values: Value[Any]) -> Value[Any]:
    """Give the first of the Values that is there; cancel losers that nothing else needs.

    A failure does not win while another Value may come. A resumed run takes the same one. Raises
    BadOperand, NotInRun.
    """
    if not values:
        raise BadOperand("first() needs at least one Value")
    for value in values:
        if not isinstance(value, Value):
            raise BadOperand(f"first() takes Values, not {type(value).__name__}: {value!r:.60}")
    return current().issue(First(), values)


def now() -> datetime:
    """Give the time (UTC), the same on every resume. Raises NotInRun."""
    scope = _scope()
    return datetime.fromtimestamp(scope.remember(scope.run.date_s, "the time"), UTC)


def random() -> Random:
    """Make a random generator whose seed is the same on every resume. Raises NotInRun."""
    return Random(_scope().remember(lambda: Random().getrandbits(48), "a random number"))


async def heard(listen: Callable[[], Awaitable[Any]]) -> Any:
    """What ``listen`` gives (JSON, not null); on a resume, what it gave there before."""
    place = Place()
    return place.note(await listen()) if place.heard is None else place.heard


def _scope() -> Scope:
    scope = current_scope()
    if scope is None:
        raise NotInRun("nlpu.runtime.now(), random() and heard() work inside a run only")
    return scope


class Place:
    """A position of the scope that asks. ``heard``: what was noted there, in a former life too.

    inherits: whether an edited run takes over what the run that it comes from has noted there.
    """

    def __init__(self, inherits: Callable[[Any], bool] = lambda noted: True) -> None:
        self.scope = scope = _scope()
        self.position = f"{scope.path}/{scope.issued}"
        scope.issued += 1
        self.heard: Any = scope.run.replay.heard(self.position, _HEARD, inherits)

    def note(self, content: Any) -> Any:
        """Journal what came from outside (JSON, not null)."""
        self.scope.run.note(self.position, _HEARD, content)
        self.heard = content
        return content
