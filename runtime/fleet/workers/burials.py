"""Workers that are dead, or leave: what they had is given back.

Theory of operation
-------------------
A worker whose lease has ended, or whose process is known to be dead, is fenced off, and what it had
is free again. The rows of a run say what it took, so they also say what a dead worker really spent.

Rules
1. A worker is settled once, in one transaction: it writes nothing any more, its runs are free or
   have the outcome that it did not come to tell, and its part of the budget is replaced by what its
   runs took.
2. What is to be read of runs is read over a connection beside that transaction: the row that is
   locked keeps the worker from writing meanwhile.
3. The runs that a dead worker had under way are noted with its death: one of them may be why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from nlpu.label import label_text
from nlpu.postgres.connection import Connection, connect
from nlpu.runtime.fleet.former import Unfinished
from nlpu.runtime.fleet.items import Kept
from nlpu.runtime.fleet.outcomes import recorded
from nlpu.runtime.fleet.share import NO_CALLS, Took, summed, took_in, without
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.patient import LENT, LOOK, Patient
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.journal.postgres.owners import WORKERS, is_dead
from nlpu.runtime.journal.postgres.store import PostgresStore
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Seat
from nlpu.runtime.resume import log_of
from nlpu.runtime.scheduler.budget import Amount


def bury(db: Patient, ids: Mapping[str, Any], stem: str, but: int = 0, *, died: bool = True) -> int:
    """Settle the workers of a batch that are dead, but for one; gives how many.

    died: by themselves, as far as can be known (rule 3).
    """
    rows = db.ask(sql.LATE, **ids, settled=sql.SETTLED)
    late = [worker for worker, owner, is_late in rows if is_late or is_dead(owner)]
    return sum(settle(db, ids, stem, worker, died=died) for worker in late if worker != but)


def settle(
    db: Patient, ids: Mapping[str, Any], stem: str, worker: int, *, died: bool = False
) -> bool:
    """Rule 1. False: somebody else is at it, or was."""
    fixed = {"settled": sql.SETTLED, "workers": WORKERS}
    asked = {**ids, "worker": worker, "died": died, **fixed}
    return db.do(partial(_settled, seat=Seat(db.database, stem), asked=asked))


def _settled(db: Connection, seat: Seat, asked: dict[str, Any]) -> bool:
    if not db.execute(sql.DEAD.encode(), asked).fetchall():
        return False
    db.execute(sql.BURY.encode(), asked)
    before = took_of(db.execute(sql.SPENT.encode(), asked).fetchone()[0])
    rows = db.execute(sql.LEFT.encode(), asked).fetchall()
    spent = [without(took_of(row[2]), took_of(row[3])) for row in rows if row[1] != "open"]
    left = [row for row in rows if row[1] == "open"]
    if left:
        spent += _given_back(db, seat, asked, left)
    db.execute(sql.SHUT.encode(), asked)
    db.execute(sql.TOOK_ALL.encode(), {**asked, "spent": json.dumps(summed(spent))})
    db.execute(sql.SPEND.encode(), {**asked, "spent": json.dumps(summed([before, *spent]))})
    db.execute(sql.CALL.encode(), {"said": f"{LOOK if left else LENT} {asked['journal']}"})
    return True


def _given_back(
    db: Connection, seat: Seat, asked: dict[str, Any], left: list[Any]
) -> Iterator[Took]:
    """Free the runs that are open; gives what each took since it was claimed (rule 2)."""
    with connect(seat.database) as beside:  # where it lets nobody in, that is waited for
        store = PostgresStore(seat, read_only=True, db=beside)
        for run, _, _, start, earlier in left:
            log = log_of(store, run)
            now = _left(db, log, {**asked, "run": run}, took_of(earlier))
            yield without(now, took_of(start))


def _left(db: Connection, log: RunLog, asked: dict[str, Any], before: Took) -> Took:
    """Free a run, or tell its end, which its worker did not come to; gives what it took."""
    now, ended = before, None
    if log.rows:
        past = past_in(log)
        left = Unfinished(log.run, past, log.texts, took_in(past), before)
        now, ended = summed((before, left.took)), recorded(left)
    told = {"took": json.dumps(now)} if ended is None else columns(ended)
    db.execute((sql.FREE if ended is None else sql.END).encode(), {**asked, **told})
    return now


def columns(kept: Kept) -> dict[str, Any]:
    """An outcome as its row has it."""
    return {
        "state": kept.status,
        "side": kept.side,
        "body": kept.body,
        "label": label_text(kept.label),
        "took": json.dumps(kept.took),
    }


def took_of(text: str) -> Took:
    """Read what calls took; "" is none."""
    return Took(*(Amount(*each) for each in json.loads(text))) if text else NO_CALLS
