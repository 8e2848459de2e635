"""Budgets: what a run may spend, reserved before a call and settled after it.

Theory of operation
-------------------
Before a call is sent its most expensive outcome is reserved; afterwards the reservation is replaced
by what it really took. So no run can overspend, however many calls are in flight.

Rules
1. spent + reserved never exceeds the budget; ``reserve`` refuses instead.
2. A refusal is final only when nothing is reserved: until then something may come back.
3. Calls found in the journal cost nothing now; they were charged when they were made. Attempts
   that a kill left open are charged in full.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from nlpu.errors import BudgetExceeded

TOKENS_PER_NLOP = 100


@dataclass(frozen=True, slots=True)
class Budget:
    """Most that a run may spend; None is unlimited. ``seconds`` is a deadline, not a budget."""

    calls: int | None = None
    nlops: float | None = None
    tokens: int | None = None
    money: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """What one call takes, at most or really. ``tokens`` are prompt and completion together."""

    calls: int = 1
    nlops: float = 0.0
    tokens: int = 0
    money: float = 0.0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        """The sum (or difference)."""
        return Amount(
            self.calls + sign * other.calls,
            self.nlops + sign * other.nlops,
            self.tokens + sign * other.tokens,
            self.money + sign * other.money,
        )


NOTHING = Amount(calls=0)
_UNITS = tuple(field.name for field in fields(Amount))
_SLACK = 1e-9  # sums of floats


class Purse:
    """A budget being spent."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = NOTHING
        self.reserved = NOTHING
        self.limited = any(getattr(budget, unit) is not None for unit in _UNITS)

    def reserve(self, most: Amount) -> bool:
        """Set aside the most a call can take; False if it does not fit now."""
        if self.limited and self._short_of(most) is not None:
            return False
        self.reserved = self.reserved.plus(most)
        return True

    def settle(self, most: Amount, real: Amount) -> None:
        """Replace a reservation by what it took."""
        self.reserved = self.reserved.plus(most, -1)
        self.spent = self.spent.plus(real)

    def charge(self, amount: Amount) -> None:
        """Count what was spent before."""
        self.spent = self.spent.plus(amount)

    def _short_of(self, most: Amount) -> str | None:
        wanted = self.spent.plus(self.reserved).plus(most)
        for unit in _UNITS:
            limit = getattr(self.budget, unit)
            if limit is not None and getattr(wanted, unit) > limit + _SLACK:
                return unit
        return None

    def refusal(self, name: str, most: Amount) -> BudgetExceeded:
        """The error for a call that does not fit while nothing is reserved."""
        unit = self._short_of(most) or "calls"
        return BudgetExceeded(
            f"the budget of {getattr(self.budget, unit):g} {unit} does not allow another {name}: "
            f"{getattr(self.spent, unit):g} are spent and it may take {getattr(most, unit):g}; "
            f"resume the run with a larger budget"
        )
