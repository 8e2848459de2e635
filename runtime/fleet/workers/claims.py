"""A worker's end of a batch in a database: it enters, claims runs, tells what came of them, leaves.

Theory of operation
-------------------
An input is a row with the number of its run. A worker writes its own number into rows that nobody
has (``SKIP LOCKED``: two never wait for each other), and carries these runs out.

Rules
1. What is claimed is asked for as "mine, and not yet under way": a claim whose answer was lost is
   found by the next.
2. A run that was under way at several deaths of workers is claimed by itself, by a worker that has
   no other: so it is known whether it was that one.
3. A run that somebody else goes on with alone (a person, ``nlpu resume``) keeps all workers out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeVar

from nlpu.errors import NlpuError, RunBusy, StorageFailed, Usage, failure_of
from nlpu.postgres.connection import Connection
from nlpu.runtime.fleet.items import Kept
from nlpu.runtime.fleet.share import Took
from nlpu.runtime.fleet.workers import burials
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.burials import columns, took_of
from nlpu.runtime.fleet.workers.entered import read_id
from nlpu.runtime.fleet.workers.patient import LOOK, MISSED, BatchRows, Patient
from nlpu.runtime.journal.postgres.joined import Joined
from nlpu.runtime.journal.postgres.owners import WORKERS, is_dead, this_process, told
from nlpu.runtime.journal.where import Database

_T = TypeVar("_T")
_FENCED: Final = (
    "this worker was taken to be dead, as nothing had been heard of it, and others go on with its "
    "runs; nothing of it was written since"
)


class Work(NamedTuple):
    """An input that was claimed.

    took: of all its runs so far; before: of those before this. failed: its run did, and is tried
    again. begun: its run has rows. alone: nothing is to be claimed beside it (rule 2).
    """

    run: int
    name: str
    nth: int
    at: int
    id: str
    args: str
    took: Took
    before: Took
    failed: bool
    begun: bool
    alone: bool


class Seen(NamedTuple):
    """What a worker sees at a look.

    stopped: why the batch is to end. alive: how many workers are. late: whether the lease of one
    has ended.
    """

    stopped: NlpuError | None
    alive: int
    late: bool


class Claims(BatchRows):
    """Raises Usage, StorageFailed, RunBusy."""

    def __init__(self, database: Database, stem: str, name: str) -> None:
        self.stem, self.database = stem, database
        self._db, self._kin = Patient(database, listens=True), ""
        try:
            host, _, space, _ = this_process().split(" ")
            self._ids: dict[str, Any] = {"lease": database.lease_s, "host": host, "space": space}
            self._open()
            (self.worker,) = self._do(sql.JOIN, name=name, owner=this_process())[0]
        except BaseException:
            self._db.close()
            raise
        self._ids["worker"] = self.worker

    @property
    def joined(self) -> Joined:
        """The database for the journal of a computer that carries out what is claimed."""
        at = self.database
        return Joined(
            at.url, at.told, at.has_password, at.lease_s, at.patience_s, worker=self.worker
        )

    def _open(self) -> None:
        """Find the batch, and keep those out who would own its journal alone (rule 3)."""
        found = self._db.ask(sql.FIND, stem=self.stem)
        if not found:
            raise Usage(f"there is no batch {self.stem} in {self.database}; see: nlpu runs")
        (self._ids["journal"],) = found[0]
        owner, left_s = self._row(sql.OWNER)
        dead = [owner] if is_dead(owner) else []
        if not self._do(sql.OPEN, workers=WORKERS, dead=dead):
            raise RunBusy(
                f"a run of the batch {self.stem} is being executed by {told(owner)}; wait for it, "
                f"or stop it first. If it is dead, in {max(left_s, 0):.0f} s the batch can go on"
            )

    # -- going on ----------------------------------------------------------------------------

    def beat(self) -> Seen:
        """Stay alive, and keep others out; gives what is seen.

        Raises StorageFailed if this one was taken to be dead.
        """
        is_mine, stopped, alive, late, self._kin, keep = self._row(sql.BEAT)
        if not is_mine:
            raise StorageFailed(_FENCED)
        if keep:
            self._do(sql.KEEP, workers=WORKERS)
        return Seen(failure_of(*json.loads(stopped)) if stopped else None, alive, late)

    def hear(self, wait_s: float = 0.0) -> list[str]:
        """Give what was called out since, or is within a time; MISSED where some may be."""
        return self._db.hear(wait_s)

    def is_called(self, said: str) -> bool:
        """Tell whether what was called out is for all workers of the batch, or may have been."""
        return said in (self.said(LOOK), MISSED)

    def has_dead_kin(self) -> bool:
        """Tell whether the worker that is next to this one on its machine has died."""
        return is_dead(self._kin)

    def claim(self, live: Collection[int], most: int, parts: int) -> list[Work]:
        """Claim runs, up to ``most`` beside those that are ``live`` (rules 1, 2).

        parts: no more at once than so large a part of what is left, so that others find some.
        """
        self._do(sql.CLAIM, most=most, parts=parts)
        found = self._mine(live)
        if not found and not live:
            self._do(sql.CLAIM_ALONE)
            found = self._mine(live)
        return found

    def _mine(self, live: Collection[int]) -> list[Work]:
        found = []
        for *first, took, before, side, begun, alone in self._do(sql.MINE, live=list(live)):
            run, name, nth, at, id_, args = first
            both = took_of(took), took_of(before)
            read = name, nth, at, read_id(id_), args
            found.append(Work(run, *read, *both, bool(side), begun, alone))
        return found

    def end(self, run: int, kept: Kept) -> None:
        """Tell what came of a run."""
        self._do(sql.END, run=run, **columns(kept))

    def is_over(self) -> bool:
        """Tell whether every input has an outcome, or is one that no worker may try any more."""
        return not self._do(sql.LEFT_TO_WORKERS)

    def together(self, work: Callable[[Connection, dict[str, Any]], _T]) -> _T:
        """Have something done in one transaction, which may be done again."""
        asked = {**self._ids, "settled": sql.SETTLED}
        return self._db.do(lambda db: work(db, asked))

    def bury(self) -> int:
        """Settle the workers that are dead; gives how many."""
        return burials.bury(self._db, self._ids, self.stem, but=self.worker)

    def close(self, said: str = "") -> None:
        """Leave: what is not done is free for others."""
        try:
            self._do(sql.SAY, said=said)
            burials.settle(self._db, self._ids, self.stem, self.worker)
        finally:
            self._db.close()
