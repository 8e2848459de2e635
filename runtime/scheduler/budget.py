"""Budgets: what a run may spend, reserved before a call and settled after it.

Theory of operation
-------------------
Before a call is sent its most expensive outcome is reserved; afterwards the reservation is replaced
by what it really took. So no run can overspend, however many calls are in flight. What an attempt
took that gave no answer is told by nobody: one that was cancelled or killed, timed out or failed is
charged in full, unless its error says that nothing can have been generated (``HostError.free``).

Rules
1. spent + reserved never exceeds the budget; ``reserve`` refuses instead.
2. A refusal is final only when nothing is reserved: until then something may come back.
3. What a server generated beyond its limit is spent, though nobody had reserved it.
4. Calls found in the journal cost nothing now: a run that is resumed begins with what its former
   lives spent.
5. ``blocked`` has the calls that it refused, a heap by rank, then by issue; one may be in it twice.
   Runs that share a budget (``runtime.fleet``) share it: what one settles may let another's go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from nlpu.checks import TIME, maybe
from nlpu.errors import BudgetExceeded, Usage
from nlpu.printing import shown

TOKENS_PER_NLOP = 100


@dataclass(frozen=True, slots=True)
class Budget:
    """Most that a run may spend, all its programs together; None is unlimited. Raises Usage.

    What a call can take at most is set aside before it is sent, so no run spends more.

    Attributes:
        calls: Attempts that were answered, or whose answer was lost.
        nlops: Generated tokens / 100.
        tokens: Of prompts and answers together.
        money: By the computer's prices; without any it is refused where it is given.
        seconds: A deadline from the start of this life of the run.
    """

    calls: int | None = None
    nlops: float | None = None
    tokens: int | None = None
    money: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for unit in fields(self):
            most = getattr(self, unit.name)
            if not maybe(TIME)[0](most):
                raise Usage(
                    f"a budget of {shown(most)} {unit.name} is none (a number, 0 or more, is); "
                    "leave it out for no limit"
                )

    def check_prices(self, prices: object) -> None:
        """Raise Usage for a limit of money where nothing has a price: it would limit nothing."""
        if self.money is not None and not prices:
            raise Usage(
                f"a budget of {shown(self.money)} money needs prices: give --price IN,OUT or a "
                "price in nlpu.toml; in Python prices={...}"
            )

    def ledger(self) -> BudgetLedger:
        """Begin to count what a run spends of it."""
        return BudgetLedger(self)


UNLIMITED = Budget()


def budget_of(limits: object, before: Mapping[str, Any] | None = None) -> Budget:
    """Read a budget from what has limits under its names, over those of ``before``."""
    named = {name: getattr(limits, name) for name in Budget.__slots__}
    given = {name: most for name, most in named.items() if most is not None}
    return Budget(**{**(before or {}), **given})


class Amount(NamedTuple):
    """What one call takes, at most or really. ``tokens`` are prompt and completion together."""

    calls: int = 1
    nlops: float = 0.0
    tokens: int = 0
    money: float = 0.0


_SLACK = 1e-9  # sums of floats


class BudgetLedger:
    """A budget being spent. One without limits counts nothing: that is the receipt's task."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.blocked: list[tuple[int, int, Any]] = []  # rule 5
        self._spent: list[Any] = [0, 0.0, 0, 0.0]
        self._reserved: list[Any] = [0, 0.0, 0, 0.0]
        self._lost: list[Any] = [0, 0.0, 0, 0.0]  # of what is spent: by attempts without an answer
        units = enumerate(Amount._fields)
        self._limits = [(i, n) for i, unit in units if (n := getattr(budget, unit)) is not None]

    def __repr__(self) -> str:
        return f"BudgetLedger({self.budget})"

    @property
    def limited(self) -> bool:
        """Whether anything is counted at all."""
        return bool(self._limits)

    @property
    def spent(self) -> Amount:
        """What calls took, or may have taken."""
        return Amount(*self._spent)

    @property
    def lost(self) -> Amount:
        """What of it attempts may have taken whose answers nobody has."""
        return Amount(*self._lost)

    @property
    def reserved(self) -> Amount:
        """The most that calls under way can take."""
        return Amount(*self._reserved)

    def reserve(self, most: Amount) -> bool:
        """Set aside the most a call can take; False if it does not fit now."""
        if not self._limits:
            return True
        if self._short_of(most) is not None:
            return False
        _add(self._reserved, most, 1)
        return True

    def settle(self, most: Amount, real: Amount) -> None:
        """Replace a reservation by what it took."""
        if self._limits:
            _add(self._reserved, most, -1)
            _add(self._spent, real, 1)

    def charge(self, amount: Amount, *, lost: bool = False) -> None:
        """Count what was spent. ``lost``: by an attempt whose answer nobody has."""
        _add(self._spent, amount, 1)
        if lost:
            _add(self._lost, amount, 1)

    def _short_of(self, most: Amount) -> str | None:
        for index, limit in self._limits:
            if self._spent[index] + self._reserved[index] + most[index] > limit + _SLACK:
                return Amount._fields[index]
        return None

    def refusal(self, name: str, most: Amount) -> BudgetExceeded:
        """The error for a call that does not fit while nothing is reserved."""
        unit = self._short_of(most) or "calls"
        limit, spent, lost = (getattr(of, unit) for of in (self.budget, self.spent, self.lost))
        told = f" ({lost:g} by attempts whose answers were lost)" if lost else ""
        less = f", or lower the max_tokens of {name}" if unit != "calls" and spent < limit else ""
        return BudgetExceeded(
            f"the budget of {limit:g} {unit} does not allow another {name}: {spent:g} are "
            f"spent{told} and it may take {getattr(most, unit):g}; "
            f"resume the run with a larger budget{less}"
        )


def _add(total: list[Any], amount: Amount, sign: int) -> None:
    total[:] = [of + sign * more for of, more in zip(total, amount, strict=True)]
