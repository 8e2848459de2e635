"""A journal that several processes write: the workers of a batch, each the runs that it claimed.

Theory of operation
-------------------
Rows and texts are kept by run, so writers of different runs do not meet. A worker has a row of its
own (``nlpu.worker``), with what the row of a journal has for an owner that is alone: a lease, a
fence, a count of commits and of rows. A worker that is taken to be dead is fenced off as a whole,
and its runs are claimed by others.

Rules
1. Who owns the journal alone (a person who resumes one of its runs) fences all workers off; while
   one of these lives, nobody owns it alone.
2. A worker's lease is ended by who carries out the batch (``runtime.fleet.workers``), when its runs
   and its share of the budget are given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from nlpu.errors import StorageFailed
from nlpu.postgres.connection import Connection
from nlpu.runtime.journal.postgres.leases import COMMIT, Lease, Now, T
from nlpu.runtime.journal.where import Database, Seat

_HOLD: Final = f"""
    UPDATE nlpu.worker SET commits = commits + 1, rows = rows + %(count)s, until_s = {T} + %(lease)s
    WHERE id = %(id)s AND fence = %(fence)s AND commits = %(commits)s RETURNING journal AS id"""
_STATE: Final = "SELECT owner, fence, commits FROM nlpu.worker WHERE id = %(id)s"
_MINE: Final = "SELECT id, fence, commits FROM nlpu.worker WHERE id = %(worker)s AND fence = 1"
_BEAT: Final = f"""
    UPDATE nlpu.worker SET until_s = {T} + %(lease)s WHERE id = %(id)s AND fence = %(fence)s"""


@dataclass(frozen=True)
class Joined(Database):
    """A database as a worker has it that is entered there."""

    worker: int = 0

    def lease(self, db: Connection, seat: Seat, now: Now) -> JoinedLease:
        """Take the worker's part of the journal."""
        return JoinedLease(db, seat, now)


class JoinedLease(Lease):
    """A worker's part of a journal."""

    committed, state, kept = COMMIT.replace("HOLD", _HOLD), _STATE, _BEAT

    def taken(self, db: Connection) -> Any:
        """Find its row. Raises StorageFailed, psycopg.Error."""
        database: Any = self._seat.database
        found = self._do(db, _MINE, worker=database.worker)
        if not found:
            raise StorageFailed("this worker was taken to be dead before it began; begin another")
        return found[0]

    def give_up(self, db: Connection, *, discard: bool) -> None:
        """Leave it as it is (rule 2)."""
