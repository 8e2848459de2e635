"""Whose a journal is: a lease with a heartbeat, and a number that each commit checks.

Theory of operation
-------------------
An owner that dies cannot say so, and one that was stopped does not know that time has passed. So
ownership ends by itself: ``until_s`` of a journal's row is moved on by each commit and each beat.
Who finds it in the past may take the journal over, and counts ``fence`` up. A commit writes if the
fence is still its own, in the same statement: an owner that wakes up later changes no row.

Rules
1. The time is the server's alone: machines need not agree about it. (A test gives its own.)
2. The fence decides, not the time: an owner that was late, and that nobody followed, goes on.
3. Each commit is counted. So one whose answer was lost with the connection is known to have been
   made, or is made once more, and never twice.
4. An owner that is known to be dead is not waited for: a process of this machine, of this boot,
   that is not there any more. To be wrong about that costs its work, and changes nothing (rule 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nlpu.errors import NlpuError, RunBusy, StorageFailed
from nlpu.postgres.connection import Connection
from nlpu.runtime.journal.buffered import Batch
from nlpu.runtime.journal.postgres.owners import is_dead, this_process, told
from nlpu.runtime.journal.where import Seat

Now = Callable[[], float | None]
T: Final = "coalesce(%(now)s::float8, extract(epoch FROM clock_timestamp())::float8)"
_TAKE: Final = f"""
    INSERT INTO nlpu.journal AS j (stem, owner, until_s, changed_s)
    VALUES (%(stem)s, %(owner)s, {T} + %(lease)s, {T})
    ON CONFLICT (stem) DO UPDATE SET
        owner = %(owner)s, until_s = {T} + %(lease)s, fence = j.fence + 1
        WHERE j.until_s <= {T} OR j.owner = %(dead)s
    RETURNING id, fence, commits"""
_WHOSE: Final = f"SELECT owner, until_s - {T} FROM nlpu.journal WHERE stem = %(stem)s"
_BEAT: Final = f"""
    UPDATE nlpu.journal SET until_s = {T} + %(lease)s WHERE id = %(id)s AND fence = %(fence)s"""
_GIVE_UP: Final = """
    UPDATE nlpu.journal SET until_s = 0, owner = '' WHERE id = %(id)s AND fence = %(fence)s"""
_DISCARD: Final = """
    DELETE FROM nlpu.journal j WHERE id = %(id)s AND fence = %(fence)s AND commits = 0
    AND NOT EXISTS (SELECT FROM nlpu.batch b WHERE b.journal = j.id)"""  # its workers commit
_HOLD: Final = f"""
    UPDATE nlpu.journal SET commits = commits + 1, rows = rows + %(count)s, changed_s = {T},
        until_s = {T} + %(lease)s
    WHERE id = %(id)s AND fence = %(fence)s AND commits = %(commits)s RETURNING id"""
COMMIT: Final = """
    WITH held AS (HOLD),
    texts AS (
        INSERT INTO nlpu.text SELECT held.id, new.* FROM held, unnest(
            %(places)b::int8[], %(hashes)b::bytea[], %(bodies)b::bytea[]) AS new),
    rows AS (
        INSERT INTO nlpu.log SELECT held.id, new.* FROM held, unnest(
            %(texts)b::int8[], %(seqs)b::int8[], %(rows)b::bytea[], %(chains)b::bytea[]) AS new)
    SELECT id FROM held"""
_STATE: Final = """
    SELECT owner, fence, commits FROM nlpu.journal WHERE id = %(id)s"""
_ALONE: Final = """
    UPDATE nlpu.worker SET until_s = 0, owner = '', fence = 2
    WHERE journal = %(id)s AND fence = 1"""


class Lease:
    """A journal that was taken. Raises RunBusy, psycopg.Error."""

    committed, state, kept = COMMIT.replace("HOLD", _HOLD), _STATE, _BEAT

    def __init__(self, db: Connection, seat: Seat, now: Now) -> None:
        self._seat, self._now = seat, now
        self._facts: dict[str, Any] = {
            "stem": seat.stem,
            "owner": this_process(),
            "lease": seat.database.lease_s,
            "dead": None,
        }
        self._facts["id"], self._facts["fence"], self._facts["commits"] = self.taken(db)

    def taken(self, db: Connection) -> Any:
        """Take it: its id, fence and commits. Raises RunBusy, psycopg.Error."""
        taken = self._do(db, _TAKE)
        if not taken:
            owner, left_s = (self._do(db, _WHOSE) or [("", 0.0)])[0]
            if is_dead(owner):  # rule 4
                self._facts["dead"] = owner
                taken = self._do(db, _TAKE)
            if not taken:
                raise RunBusy(
                    f"the run is being executed by {told(owner)}; wait for it, or stop it first. "
                    f"If it is dead, the run can be gone on with in {max(left_s, 0):.0f} s"
                )
        self._do(db, _ALONE, id=taken[0][0])  # no worker of its batch writes any more
        return taken[0]

    def _do(self, db: Connection, statement: str, **more: Any) -> list[Any]:
        done = db.execute(statement.encode(), {**self._facts, "now": self._now(), **more})
        return done.fetchall() if done.description else []

    def commit(self, db: Connection, batch: Batch, *, again: bool) -> NlpuError | None:
        """Make a batch durable; gives why that is not so for good. Raises psycopg.Error.

        again: it was tried before, and may have been made (rule 3).
        """
        seqs, texts, rows, chains = zip(*batch.rows, strict=True) if batch.rows else ((),) * 4
        places, hashes, bodies = zip(*batch.texts, strict=True) if batch.texts else ((),) * 3
        done = self._do(
            db,
            self.committed,
            count=len(rows),
            seqs=list(seqs),
            texts=list(texts),
            rows=list(rows),
            chains=list(chains),
            places=list(places),
            hashes=list(hashes),
            bodies=list(bodies),
        )
        if not done:
            known = self._do(db, self.state)
            if not again or not known or known[0][1:] != (self._facts["fence"], self._next):
                return self._lost(*known)
        self._facts["commits"] = self._next
        return None

    @property
    def _next(self) -> int:
        return int(self._facts["commits"]) + 1

    def _lost(self, state: tuple[str, int, int] | None = None) -> StorageFailed:
        """Say why nothing can be written any more."""
        why = "it was removed"
        if state is not None:
            owner, fence, _ = state
            why = f"it was taken over by {told(owner)}, as nothing had been heard of this process"
            if fence == self._facts["fence"]:
                why = "a commit that was given up, as the server was away, has been made after all"
        return StorageFailed(
            f"the journal {self._seat} is not this process's any more: {why}. Nothing of it was "
            "written since; see what became of the run: nlpu runs"
        )

    def beat(self, db: Connection) -> None:
        """Stay the owner. Raises psycopg.Error."""
        self._do(db, self.kept)

    def give_up(self, db: Connection, *, discard: bool) -> None:
        """Let others have it at once. Raises psycopg.Error."""
        if discard:
            self._do(db, _DISCARD)
        self._do(db, _GIVE_UP)
