"""One budget over eight workers: never exceeded, and as good as all of it can be used."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nlpu.runtime.fleet.share import NOTHING, total
from nlpu.runtime.fleet.workers.purse import Holding, Purse, lent
from nlpu.runtime.scheduler.budget import Amount, Budget

WORKERS = 8


class Bank:
    """What the database does: it knows what each holds, and lends, one after the other."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.spent = budget, NOTHING
        self.holdings: dict[Any, Holding] = {}

    def serve(self, worker: Worker) -> None:
        others = [each for who, each in self.holdings.items() if who is not worker]
        asked = worker.purse.look(give_back=any(each.hungry for each in others))
        loan = lent(self.budget, self.spent, others, asked)
        self.holdings[worker] = Holding(loan.held, asked.spent, loan.hungry)
        worker.purse.take(loan)
        self.check()

    def check(self) -> None:
        """What is held and was spent fits into the budget (rule 1)."""
        held = total([self.spent, *(each.held for each in self.holdings.values())])
        for unit in Amount._fields:
            limit = getattr(self.budget, unit)
            assert limit is None or getattr(held, unit) <= limit + 1e-6, (unit, held)

    def bury(self, worker: Worker) -> None:
        """A worker died: its rows say what it spent, and its calls under way count in full."""
        self.holdings.pop(worker, None)
        self.spent = total([self.spent, worker.purse.spent, *worker.under_way])


class Worker:
    """One that always has another call to make, of sizes that are drawn."""

    def __init__(self, budget: Budget, random: Random) -> None:
        self.purse, self._random = Purse(budget), random
        self.under_way: list[Amount] = []
        self._next = self._drawn()

    def _drawn(self) -> Amount:
        return Amount(1, self._random.choice((0.4, 1.0)), self._random.randrange(50, 200), 0.001)

    def send(self) -> bool:
        """Send the next call if it fits."""
        if len(self.under_way) >= 8 or not self.purse.reserve(self._next):
            if len(self.under_way) < 8:
                self.purse.blocked[:] = [(0, 0, None)]
            return False
        self.purse.blocked.clear()
        self.under_way.append(self._next)
        self._next = self._drawn()
        return True

    def receive(self) -> None:
        if self.under_way:
            most = self.under_way.pop(self._random.randrange(len(self.under_way)))
            part = self._random.random()
            real = Amount(1, most.nlops * part, int(most.tokens * part), most.money * part)
            self.purse.settle(most, real)

    @property
    def is_refused(self) -> bool:
        return not self.under_way and not self.purse.reserved.calls


@pytest.mark.parametrize("deaths", [0, 3])
@pytest.mark.parametrize("seed", range(50))
def test_one_budget_for_eight_workers(seed: int, deaths: int) -> None:
    random = Random(seed)
    limits = (Budget(calls=400), Budget(nlops=150.0), Budget(tokens=40_000), Budget(money=0.2))
    budget = limits[seed % 4]
    bank, crew = Bank(budget), [Worker(budget, random) for _ in range(WORKERS)]
    for step in range(100_000):
        worker = random.choice(crew)
        random.choice((worker.send, worker.send, worker.receive, lambda: bank.serve(worker)))()  # noqa: B023
        spent = total([bank.spent, *(each.purse.spent for each in crew)])
        bank.check()
        if deaths and step % 1500 == 1499 and worker.under_way:
            bank.bury(worker)
            crew[crew.index(worker)] = Worker(budget, random)
            deaths -= 1
        if all(each.is_refused for each in crew):
            break
    else:
        pytest.fail("some wait for ever")
    unit = next(each for each in Amount._fields if getattr(budget, each) is not None)
    limit, used = getattr(budget, unit), getattr(spent, unit)
    assert used <= limit + 1e-6
    assert used >= 0.97 * limit, f"{used:g} of {limit:g} {unit}"


def test_without_a_limit_nothing_is_lent() -> None:
    purse = Purse(Budget())
    assert purse.reserve(Amount(1, 10.0, 1000, 1.0)) and not purse.limited
