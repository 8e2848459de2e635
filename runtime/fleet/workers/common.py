"""What the workers of a batch share, at one of them: the budget, and the lanes to servers.

Rules
1. Ledgers and queues are of the computer's loop: they are looked at and changed there, and the
   database is asked in between, on the worker's own thread.
2. A worker that leaves, or whose beat is late, holds what it held: nobody else is given that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from nlpu.postgres.connection import Connection
from nlpu.runtime.fleet.share import NOTHING, Took, total
from nlpu.runtime.fleet.workers import lanes
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.burials import took_of
from nlpu.runtime.fleet.workers.claims import Claims
from nlpu.runtime.fleet.workers.purse import Asked, Holding, Loan, Purse, lent
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.scheduler.budget import Amount, Budget

_T = TypeVar("_T")


class Commons:
    """A worker's part of what all share. ``server``: what its engine asks; "" for its own model."""

    def __init__(self, claims: Claims, budget: Budget, server: str) -> None:
        self._claims, self._server = claims, server
        self.purse = Purse(budget)
        self._lanes: list[lanes.Lane] | None = None
        self._give_back = False

    def beat(self, station: Station) -> None:
        """Give back what is not needed, and take what is. Raises StorageFailed."""
        if self._lanes is None:
            self._lanes = self._opened(station) if self._server else []
        if self._lanes:
            seen = _on_loop(station, lambda: [lane.look() for lane in self._lanes or ()])
            found = self._claims.together(lambda db, ids: self._asked(db, ids, seen))
            now = station.kernel.outside.now_s

            def take() -> None:
                for lane, got, was in zip(self._lanes or (), found, seen, strict=True):
                    lane.take(got, was["cuts"], now())

            _on_loop(station, take)
            _wake(station)
        if self.purse.limited:
            self._borrow(station)

    def _opened(self, station: Station) -> list[lanes.Lane]:
        queues = station.kernel.scheduler.queues
        return [
            lanes.Lane(f"{self._server} {name}", queue, queue.processor.max_in_flight)
            for name, queue in queues.items()
        ]

    def _asked(self, db: Connection, ids: dict[str, Any], seen: list[Any]) -> list[lanes.Got]:
        both = zip(self._lanes or (), seen, strict=True)
        return [lanes.ask(db, ids, lane, was) for lane, was in both]

    # -- the budget --------------------------------------------------------------------------

    def _borrow(self, station: Station) -> None:
        asked = _on_loop(station, lambda: self.purse.look(give_back=self._give_back))
        loan = self._claims.together(lambda db, ids: self._lent(db, ids, asked))
        _on_loop(station, lambda: self.purse.take(loan))
        _on_loop(station, lambda: _unblock(station))
        _wake(station)

    def _lent(self, db: Connection, ids: dict[str, Any], asked: Asked) -> Loan:
        """Have a part of the budget lent, by a database that others ask, too."""
        spent, facts = self._claims.there(db.execute(sql.SPENT.encode(), ids).fetchall())
        rows = db.execute(sql.HOLDERS.encode(), ids).fetchall()
        others = [
            Holding(_amount(held), _amount(used), hungry)
            for worker, held, used, hungry in rows
            if worker != ids["worker"]
        ]
        budget = Budget(**json.loads(facts)["budget"])
        gone: Took = took_of(spent)
        loan = lent(budget, total(gone), others, asked)
        self._give_back = any(each.hungry for each in others)
        told = {"held": json.dumps(loan.held), "spent": json.dumps(asked.spent)}
        db.execute(sql.HOLD.encode(), {**ids, **told, "hungry": loan.hungry})
        return loan


def _amount(text: str) -> Amount:
    return Amount(*json.loads(text)) if text else NOTHING


def _unblock(station: Station) -> None:
    """Let the first call that did not fit be tried again."""
    scheduler = station.kernel.scheduler
    for run in scheduler.runs.values():
        if run.ledger.blocked:
            scheduler.unblock(run)
            return


def _wake(station: Station) -> None:
    """Have a turn: there may be room now."""

    def soon() -> None:
        station.kernel.scheduler.due = True
        station.kernel.outside.soon()

    station.call(soon)


def _on_loop(station: Station, step: Callable[[], _T]) -> _T:
    """Have something done on the computer's loop; gives what it gave."""
    done: Future[_T] = Future()

    def do() -> None:
        try:
            done.set_result(step())
        except BaseException as error:
            done.set_exception(error)

    station.call(do)
    return done.result()
