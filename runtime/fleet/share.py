"""One budget for many runs.

Theory of operation
-------------------
A run counts what it spends in a ledger that its budget begins. The runs of a batch are given
``Common`` budgets: each begins a ``Share``, which counts for its run and asks the whole.

Rules
1. What all of them have reserved and spent together never exceeds the budget.
2. What former lives of an unfinished run took is spent from the start (``past``), whenever that
   run is gone on with; its share then counts it instead.
3. A share counts without limits, too: it is what a receipt is made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nlpu.errors import BudgetExceeded
from nlpu.runtime.graph.usage import amount_of, cost_of
from nlpu.runtime.journal.records import Past
from nlpu.runtime.scheduler.budget import Amount, Budget, BudgetLedger

NOTHING = Amount(0)


def total(amounts: Iterable[Amount]) -> Amount:
    """Add up amounts."""
    return Amount(*map(sum, zip(NOTHING, *amounts, strict=True)))


def less(amount: Amount, other: Amount) -> Amount:
    """Give what is left of an amount without the other."""
    calls, nlops, tokens, money = (a - b for a, b in zip(amount, other, strict=True))
    return Amount(int(calls), nlops, int(tokens), money)


class Took(NamedTuple):
    """What calls took: those that were answered, and at most those whose answers were lost."""

    answered: Amount = NOTHING
    lost: Amount = NOTHING


NO_CALLS = Took()


def summed(every: Iterable[Took]) -> Took:
    """Add up what calls took."""
    answered, lost = NOTHING, NOTHING
    for each in every:
        answered, lost = total((answered, each.answered)), total((lost, each.lost))
    return Took(answered, lost)


def without(took: Took, other: Took) -> Took:
    """Give what calls took but for some of them."""
    return Took(less(took.answered, other.answered), less(took.lost, other.lost))


def took_in(past: Past) -> Took:
    """What the calls of a past took, as its run's ledger will count them."""
    answered = [amount_of(cost_of(made.usage)) for made in past.paid if made.side != "host"]
    failed = [amount_of(cost_of(made.usage)) for made in past.paid if made.side == "host"]
    return Took(total(answered), total([*failed, *past.lost, *past.open]))


class Share(BudgetLedger):
    """What one run spends of a budget for many."""

    def __init__(self, whole: BudgetLedger) -> None:
        super().__init__(whole.budget)
        self._whole, self.blocked = whole, whole.blocked

    @property
    def limited(self) -> bool:
        """It is counted in any case (rule 3)."""
        return True

    @property
    def reserved(self) -> Amount:
        """The most that calls under way can take, those of the others, too."""
        return self._whole.reserved

    @property
    def took(self) -> Took:
        """What it spent."""
        return Took(less(self.spent, self.lost), self.lost)

    def reserve(self, most: Amount) -> bool:
        """Set aside the most a call can take; False if it does not fit now."""
        return self._whole.reserve(most)

    def settle(self, most: Amount, real: Amount) -> None:
        """Replace a reservation by what it took."""
        self._whole.settle(most, real)
        super().charge(real)

    def charge(self, amount: Amount, *, lost: bool = False) -> None:
        """Count what was spent."""
        self._whole.charge(amount, lost=lost)
        super().charge(amount, lost=lost)

    def refusal(self, name: str, most: Amount) -> BudgetExceeded:
        """Make the error for a call that does not fit while nothing is reserved."""
        return self._whole.refusal(name, most)


class Common(Budget):
    """A budget that many runs have together, as one of them is given it."""

    __slots__ = ("past", "whole")
    past: Took
    whole: BudgetLedger

    def __init__(self, whole: BudgetLedger, past: Took = NO_CALLS) -> None:
        limits = whole.budget
        super().__init__(limits.calls, limits.nlops, limits.tokens, limits.money)
        object.__setattr__(self, "whole", whole)
        object.__setattr__(self, "past", past)

    def ledger(self) -> Share:
        """Begin the run's share (rule 2)."""
        self.whole.charge(less(NOTHING, self.past.answered))
        self.whole.charge(less(NOTHING, self.past.lost), lost=True)
        return Share(self.whole)
