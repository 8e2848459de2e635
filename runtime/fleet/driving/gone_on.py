"""Failed inputs that somebody went on with alone (``nlpu resume``): the batch takes that up.

Rules
1. A run goes on, or is replayed where it has ended, as any claimed one: so what it took since is
   charged, and its outcome told, in one way.
2. One that was given up has no end of its own, and has gone on only where there is one now.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from nlpu.label import UNTRUSTED
from nlpu.runtime.fleet.former import Unfinished
from nlpu.runtime.fleet.items import Kept
from nlpu.runtime.fleet.outcomes import recorded
from nlpu.runtime.fleet.share import took_in
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.burials import took_of
from nlpu.runtime.fleet.workers.patient import Patient
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.journal.postgres.store import PostgresStore
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Seat
from nlpu.runtime.resume import log_of


def reopen(db: Patient, ids: Mapping[str, Any], stem: str) -> None:
    """Have the failed runs that came further since be claimed again."""
    rows = db.ask(sql.FAILED, **ids, settled=sql.SETTLED)
    if not rows:
        return
    with closing(PostgresStore(Seat(db.database, stem), read_only=True)) as store:
        runs = [row[0] for row in rows if _went_on(log_of(store, row[0]), *row)]
    db.ask(sql.REOPEN, **ids, runs=runs)


def _went_on(log: RunLog, run: int, side: str, body: str, given_up: bool) -> bool:
    """Whether its end is another by now, or it has none any more."""
    if not log.rows:
        return False
    past = past_in(log)
    if given_up and past.end is None:  # rule 2
        return False
    took = took_in(past)
    left = Unfinished(run, past, log.texts, took, took_of(""))
    kept, ended = Kept(run, "failed", side, body, label=UNTRUSTED, took=took), recorded(left)
    again = ended is not None and not kept.is_failing_as(ended)
    return left.went_on(kept) or again
