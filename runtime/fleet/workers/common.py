"""What the workers of a batch share, at one of them: the budget, and the lanes to servers.

Rules
1. Ledgers and queues are of the computer's loop: they are looked at and changed there, and the
   database is asked in between, on the worker's own thread.
2. A worker that leaves, or whose beat is late, holds what it held: nobody else is given that.
3. Who becomes hungry calls it out, and all give back at once; who gives back calls that out, and
   the hungry ask again. All else waits for the next look.
4. A program that computes keeps the loop for itself: who waits for that goes on living and hearing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from nlpu.postgres.connection import Connection
from nlpu.runtime.fleet.share import NOTHING, Took, total
from nlpu.runtime.fleet.workers import lanes
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.burials import took_of
from nlpu.runtime.fleet.workers.claims import Claims
from nlpu.runtime.fleet.workers.pace import TICK_S
from nlpu.runtime.fleet.workers.patient import LENT, LOOK
from nlpu.runtime.fleet.workers.purse import Asked, Holding, Loan, Purse, is_more, lent
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.scheduler.budget import Amount, Budget

_T = TypeVar("_T")


class Commons:
    """A worker's part of what all share. ``server``: what its engine asks; "" for its own model."""

    def __init__(self, claims: Claims, budget: Budget, server: str) -> None:
        self._claims, self._server = claims, server
        self.purse = Purse(budget)
        self._lanes: list[lanes.Lane] | None = None
        self._give_back = self._hungry = False
        self._meanwhile: Callable[[], object] = lambda: None

    @property
    def is_pressed(self) -> bool:
        """Whether a refusal is to be told to others, or a call needs more than is lent.

        It is a glance from beside the loop: what it may miss is there at the next.
        """
        needs = self.purse.limited and bool(self.purse.blocked) and not self._hungry
        return needs or any(lane.was_cut for lane in self._lanes or ())

    def hear(self, said: str, station: Station) -> bool:
        """Hear what was called out; gives whether that wants a look (rule 3)."""
        now = station.kernel.outside.now_s
        for lane in self._lanes or ():
            cuts = lane.told(said)
            if cuts is not None:
                station.call(partial(lambda lane, cuts: lane.hear(cuts, now()), lane, cuts))
        return said == self._claims.said(LENT) and self._hungry

    def beat(self, station: Station, meanwhile: Callable[[], object]) -> None:
        """Give back what is not needed, and take what is. Raises StorageFailed.

        meanwhile: done as long as a program keeps the computer's loop busy (rule 4); may raise.
        """
        self._meanwhile = meanwhile
        if self._lanes is None:
            self._lanes = self._opened(station) if self._server else []
        if self._lanes:
            seen = self._on_loop(station, lambda: [lane.look() for lane in self._lanes or ()])
            found = self._claims.together(lambda db, ids: self._asked(db, ids, seen))
            now = station.kernel.outside.now_s

            def take() -> None:
                for lane, got, was in zip(self._lanes or (), found, seen, strict=True):
                    lane.take(got, was, now())

            self._on_loop(station, take)
            _wake(station)
        if self.purse.limited:
            gave_back = self._give_back
            self._borrow(station)
            if self._give_back and not gave_back:
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

    def _on_loop(self, station: Station, step: Callable[[], _T]) -> _T:
        """Have something done on the computer's loop; gives what it gave."""
        done: Future[_T] = Future()

        def do() -> None:
            try:
                done.set_result(step())
            except BaseException as error:
                done.set_exception(error)

        station.call(do)
        while not wait([done], TICK_S).done:
            self._meanwhile()
        return done.result()

    # -- the budget --------------------------------------------------------------------------

    def _borrow(self, station: Station) -> None:
        asked = self._on_loop(station, lambda: self.purse.look(give_back=self._give_back))
        loan = self._claims.together(lambda db, ids: self._lent(db, ids, asked))
        self._hungry = loan.hungry
        self._on_loop(station, lambda: self.purse.take(loan))
        self._on_loop(station, lambda: _unblock(station))
        _wake(station)

    def _lent(self, db: Connection, ids: dict[str, Any], asked: Asked) -> Loan:
        """Have a part of the budget lent, by a database that others ask, too."""
        spent, facts = self._claims.there(db.execute(sql.SPENT.encode(), ids).fetchall())
        rows = db.execute(sql.HOLDERS.encode(), ids).fetchall()
        holders = {row[0]: Holding(_amount(row[1]), _amount(row[2]), row[3]) for row in rows}
        mine = holders.pop(ids["worker"], Holding(NOTHING, NOTHING, hungry=False))
        others = list(holders.values())
        budget = Budget(**json.loads(facts)["budget"])
        gone: Took = took_of(spent)
        loan = lent(budget, total(gone), others, asked)
        self._give_back = any(each.hungry for each in others)
        told = {"held": json.dumps(loan.held), "spent": json.dumps(asked.spent)}
        db.execute(sql.HOLD.encode(), {**ids, **told, "hungry": loan.hungry})
        if loan.hungry > mine.hungry:  # rule 3
            db.execute(sql.CALL.encode(), {"said": self._claims.said(LOOK)})
        elif self._give_back and is_more(mine.held, loan.held):
            db.execute(sql.CALL.encode(), {"said": self._claims.said(LENT)})
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
