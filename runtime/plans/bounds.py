"""What a plan is allowed: how much, which effects, and what its outside names stand for.

Rules
1. Drivers and functions come from whoever runs a plan, never from its text.
2. A driver that a text names by digest is that driver, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nlpu.errors import BadProgram
from nlpu.runtime.drivers.driver import EFFECTS, Driver, Effect
from nlpu.runtime.plans.plan import Outside


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most that a plan may do; None is unlimited. ``calls`` and ``nlops`` need its arguments."""

    steps: int = 10_000
    depth: int = 1_000
    calls: int | None = None
    nlops: float | None = None
    effects: frozenset[Effect] = frozenset(EFFECTS)


@dataclass(frozen=True, slots=True)
class Given:
    """What the names of a plan that stand for something outside may stand for."""

    drivers: Mapping[str, Driver] = field(default_factory=dict)
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def of(self, outside: Outside) -> Any:
        """The driver or function. Raises BadProgram."""
        known: Mapping[str, Any] = self.drivers if outside.kind == "driver" else self.functions
        found = known.get(outside.name)
        if found is None:
            names = ", ".join(sorted(known)) or "none"
            raise BadProgram(
                f"the {outside.kind} {outside.name} is not given; a text brings none with it "
                f"(given: {names})"
            )
        if outside.digest and found.digest.hex() != outside.digest:
            raise BadProgram(f"the driver {outside.name} is not the one the text was written for")
        return found
