"""What a program gets from outside the graph: the time, random numbers, whichever comes first.

Each is journaled under the position where it was asked, so a resumed program sees the same.
"""

from __future__ import annotations

from collections.abc import Callable
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


def _remembered(make: Callable[[Scope], Any]) -> Any:
    scope = current_scope()
    if scope is None:
        raise NotInRun("runtime.now() and runtime.random() work inside a run only")
    position = f"{scope.path}/{scope.issued}"
    scope.issued += 1
    run = scope.run
    if position in run.past.clocks:
        return run.past.clocks[position]
    content = make(scope)
    run.history.clock(position, content)
    run.kernel.soon()
    return content
