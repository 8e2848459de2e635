"""One budget for the workers of a batch: each holds a part of it, and spends of that alone.

Theory of operation
-------------------
What is left of the budget is lent in pieces: much while there is much, in the end what the next
call needs. A worker asks for more where a call does not fit; where that cannot be had, it says that
it is hungry, and everybody gives back what is not in use. So a call is refused for good only where
one ledger for all would refuse it.

    limit = spent (by workers that left) + held (by those that are there) + what can be lent

Rules
1. The parts that are held and what was spent together never exceed the limit.
2. Nobody holds less than it has spent and set aside.
3. A refusal is final when nobody else holds more than it has spent: until then some may come back.
4. ``Purse`` is of the computer's loop; the loan is asked for elsewhere, between ``look`` and
   ``take``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from nlpu.errors import BudgetExceeded
from nlpu.runtime.fleet.share import NOTHING, total
from nlpu.runtime.scheduler.budget import Amount, Budget, BudgetLedger

_SLACK: Final = 1e-9


class Holding(NamedTuple):
    """What another worker holds, and had spent when it said so."""

    held: Amount
    spent: Amount
    hungry: bool


class Asked(NamedTuple):
    """What a worker has and wants.

    used: spent, and set aside for calls under way. keeps: the part that it goes on holding, if
    nothing is lent to it. need: the most that its next call takes; None if it needs nothing.
    """

    spent: Amount
    used: Amount
    keeps: Amount
    need: Amount | None


class Loan(NamedTuple):
    """The part that a worker holds from now on. final: its need will never be met (rule 3)."""

    held: Amount
    hungry: bool
    final: bool


def lent(budget: Budget, spent: Amount, others: Iterable[Holding], asked: Asked) -> Loan:
    """Say which part of a budget a worker is to hold (rules 1, 2)."""
    others = list(others)
    limits = [getattr(budget, unit) for unit in Amount._fields]
    gone = total([spent, *(each.held for each in others)])
    need = asked.need or NOTHING
    wanted = total([asked.used, need])
    left = [
        None if limit is None else limit - taken - mine
        for limit, taken, mine in zip(limits, gone, wanted, strict=True)
    ]
    if any(each is not None and each < -_SLACK for each in left):
        most = [
            float(have) if limit is None else max(used, min(have, limit - taken))
            for have, used, limit, taken in zip(asked.keeps, asked.used, limits, gone, strict=True)
        ]
        idle = not any(is_more(each.held, each.spent) for each in others)
        final = idle and not is_more(asked.used, asked.spent)
        held = asked.used if asked.need is not None else _whole(most)
        return Loan(held, asked.need is not None, final and asked.need is not None)
    parts = 2 * (len(others) + 1)
    hungry = any(each.hungry for each in others)
    ahead = [0.0 if each is None or hungry else max(each, 0) / parts for each in left]
    held = _whole(w + a for w, a in zip(wanted, ahead, strict=True))
    return Loan(held, False, False)


def _whole(parts: Iterable[float]) -> Amount:
    calls, nlops, tokens, money = parts
    return Amount(int(calls), nlops, int(tokens), money)


def is_more(one: Amount, other: Amount) -> bool:
    """Tell whether there is more of anything in an amount than in another."""
    return any(a > b + _SLACK for a, b in zip(one, other, strict=True))


class Purse(BudgetLedger):
    """A worker's part of the budget, for all its runs."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._held = NOTHING
        self._need: Amount | None = None
        self._final = False

    @property
    def reserved(self) -> Amount:
        """What calls under way can take; while more may be lent, it is never nothing."""
        real = super().reserved
        waits = self.limited and not self._final
        return total([real, Amount(1)]) if waits else real

    @property
    def used(self) -> Amount:
        """What was spent, and what calls under way can take."""
        return total([self.spent, super().reserved])

    def reserve(self, most: Amount) -> bool:
        """Set aside the most a call can take; False if it does not fit into this part now."""
        fits = super().reserve(most)
        if not fits:
            self._need = most
        return fits

    def _short_of(self, most: Amount) -> str | None:
        for index, _ in self._limits:
            if (
                self._spent[index] + self._reserved[index] + most[index]
                > self._held[index] + _SLACK
            ):
                return Amount._fields[index]
        return None

    def look(self, *, give_back: bool) -> Asked:
        """Say what it has and wants; ``give_back``: keep no more than is used."""
        need = self._need if self.blocked else None
        if give_back:
            self._held = self.used
        return Asked(self.spent, self.used, self._held, need)

    def take(self, loan: Loan) -> None:
        """Take what was lent since it was looked at."""
        self._held, self._final = loan.held, loan.final

    def refusal(self, name: str, most: Amount) -> BudgetExceeded:
        """Make the error for a call that does not fit, and never will."""
        unit = self._short_of(most) or "calls"
        return BudgetExceeded(
            f"the budget of {getattr(self.budget, unit):g} {unit} does not allow another {name}, "
            f"which may take {getattr(most, unit):g}: the batch's workers have spent the rest; go "
            "on with a larger budget"
        )
