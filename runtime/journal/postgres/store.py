"""A journal in a PostgreSQL database: the store whose commits take a while.

Theory of operation
-------------------
All that is buffered is one statement, and so one transaction: it counts the commit, checks whose
the journal is (``leases``) and adds texts and rows. It is sent by a thread of the store's own, and
the turns that end meanwhile are the next one. The thread keeps the lease while nothing is written.
What is read is read over a connection of the reader's, in one snapshot, run by run.

Rules
1. A commit that met a server that restarts, or a cut connection, is tried again for
   ``patience_s``; then, and with every other error, it fails. What came of it is found out first
   (``leases``, rule 3): where even that cannot be, later commits fail, too.
2. What the store's owner sees changes on its thread alone: ``post`` has a commit's end done there.
   Who gives none waits for the future, and touches nothing until then.
3. Opening holds the number of all rows against what the commits counted; a run is verified when it
   is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final

import psycopg

from nlpu.errors import JournalDamaged, NlpuError, StorageFailed
from nlpu.postgres.connection import Connection, connect, passing, typed
from nlpu.runtime.journal.buffered import Batch, Buffered, Space, place
from nlpu.runtime.journal.postgres.database import prepare, steps_done
from nlpu.runtime.journal.postgres.leases import Lease, Now
from nlpu.runtime.journal.postgres.statements import BEGINNING, COUNT, ROWS, SNAPSHOT, TEXTS
from nlpu.runtime.journal.store import Found
from nlpu.runtime.journal.where import Post, Seat, at_once

_BEATS: Final = 3  # in a lease
_PAUSE_S: Final = 0.2
_CLOSING_S: Final = 10.0


class PostgresStore(Buffered):
    """An open journal. ``now``: the time of tests (None: the server's). ``db``: to read over.

    counts: rule 3, for which all of its rows are looked at.
    """

    def __init__(
        self,
        seat: Seat,
        *,
        read_only: bool = False,
        post: Post = at_once,
        now: Now = lambda: None,
        db: Connection | None = None,
        counts: bool = True,
    ) -> None:
        super().__init__()
        self.path: Any = seat
        self.read_only, self._post, self._now = read_only, post, now
        self._looked: dict[int, tuple[int, int]] = {}  # the last row and the last text, by run
        self._runs: list[int] = []
        self._ends: dict[int, tuple[Space, int]] = {}  # of runs that were read: see ``_end_of``
        self._jobs = SimpleQueue[tuple[Batch, Future[None]] | None]()
        self._there, self._counts = False, counts  # there: whether there is a schema to read in
        self._closing, self._discard = Event(), False
        self._lease: Lease | None = None
        self._thread: Thread | None = None
        self._db = self._lent = db
        with self._errors():
            self._open()

    def _open(self) -> None:
        db, database = self._connected(), self.path.database
        try:
            if not self.read_only:
                prepare(db, database)
                self._lease = getattr(database, "lease", Lease)(db, self.path, self._now)
            self._there = bool(not self.read_only or self._lent or steps_done(db, database))
            if self._there and self._counts:
                self._count(db)
        except BaseException:
            self._discard = True
            self._leave()
            raise
        if self._lease is not None:
            self._thread = Thread(target=self._work, name="nlpu commits", daemon=True)
            self._thread.start()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise typed(self.path.database, error) from None

    def damage(self, what: str) -> JournalDamaged:
        """Make the error that names the journal."""
        return JournalDamaged(
            f"the journal {self.path} is damaged: {what}. Nothing of it was used; restore the "
            "database from a copy, or run the program anew"
        )

    def _count(self, db: Connection) -> None:
        """Rule 3."""
        asked = {"stem": self.path.stem, "writes": not self.read_only}
        for rows, found, runs in db.execute(COUNT, asked).fetchall():
            if rows != found:
                raise self.damage(f"{rows - found} of its {rows} rows are missing")
            self._seq = self._kept_seq = rows
            self._runs = runs

    # -- writing ----------------------------------------------------------------------------

    def flush(self) -> Future[None] | None:
        """Have all that is buffered made durable."""
        if not self.dirty:
            return None
        done: Future[None] = Future()
        self._jobs.put((self.take(), done))
        return done

    def _work(self) -> None:
        """Make commits, and beat between them: the thread's."""
        while True:
            try:
                job = self._jobs.get(timeout=self.path.database.lease_s / _BEATS)
            except Empty:
                self._beat()
                continue
            if job is None:
                self._leave()
                return
            batch, done = job
            error = self._commit(batch)
            with suppress(RuntimeError):  # the loop is closed: as if the process had been killed
                self._post(partial(self._settle, batch, done, error))

    def _settle(self, batch: Batch, done: Future[None], error: NlpuError | None) -> None:
        (self.keep if error is None else self.drop)(batch)
        done.set_result(None) if error is None else done.set_exception(error)

    def _commit(self, batch: Batch) -> NlpuError | None:
        """Make a batch durable; gives why it is not (rule 1)."""
        assert self._lease is not None
        end_s, again = time.monotonic() + self.path.database.patience_s, False
        while True:
            try:
                return self._lease.commit(self._connected(), batch, again=again)
            except psycopg.Error as error:
                self._disconnect()
                late, pause_s = time.monotonic() >= end_s, _PAUSE_S if again else 0
                if late or not passing(error) or self._closing.wait(pause_s):
                    return typed(self.path.database, error)
                again = True
            except Exception as error:  # the future must be set, whatever it is
                return StorageFailed(f"cannot write to {self.path}: {error}")

    def _connected(self) -> Connection:
        if self._db is None:
            self._db = connect(self.path.database)
        return self._db

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None and db is not self._lent:
            db.close()

    def _beat(self) -> None:
        assert self._lease is not None
        try:
            self._lease.beat(self._connected())
        except (psycopg.Error, NlpuError):  # a commit tells it, if there is one
            self._disconnect()

    def _end_of(self, run: int) -> Space:
        if run in self._runs and run not in self._ends:
            self.read(run)
        space, seq = self._ends.pop(run, (None, 0))
        self._seq = max(self._seq, seq)  # where several write, others' numbers may be larger
        return space or super()._end_of(run)

    def close(self, *, discard: bool = False) -> None:
        """End the commit that is under way, and give up ownership. Idempotent.

        discard: and leave nothing, if nothing was ever written.
        """
        self._discard |= discard
        self._closing.set()
        if self._thread is None:
            self._leave()
            return
        self._jobs.put(None)
        self._thread.join(_CLOSING_S)  # where the server hangs the lease ends by itself

    def _leave(self) -> None:
        lease, self._lease = self._lease, None
        for _ in range(2):  # the connection may have been cut
            with suppress(psycopg.Error):  # then it ends by itself
                if lease is not None:
                    lease.give_up(self._connected(), discard=self._discard)
                break
            self._disconnect()
        self._disconnect()

    # -- reading ----------------------------------------------------------------------------

    def runs(self) -> list[int]:
        """List the runs that were there when it was opened."""
        return list(self._runs)

    def read(self, run: int) -> Found:
        """Read all that is durable of a run."""
        if self.read_only and run not in self._looked:
            return self.follow(run)
        with self._reader() as fresh:
            found = fresh.follow(run)
            if run in fresh.spaces:  # where it goes on, if it does
                self._ends[run] = fresh.spaces[run], fresh.last(run)
            return found

    def last(self, run: int) -> int:
        """Give the number of the last row that was read of a run."""
        return self._looked.get(run, (0, 0))[0]

    def follow(self, run: int) -> Found:
        """Read what became durable of a run since the last look. For readers."""
        if not self._there:
            return Found([], {})
        start, end = place(run, 0), place(run + 1, 0)
        stem, (seq, text) = self.path.stem, self._looked.get(run, (0, start))
        with self._errors():
            db = self._connected()
            with db.transaction():
                db.execute(SNAPSHOT)
                texts = db.execute(TEXTS, (stem, text, end)).fetchall()
                rows = db.execute(ROWS, (stem, start, end, seq)).fetchall()
        self._take(texts, rows)
        self._looked[run] = (rows[-1][0] if rows else seq, texts[-1][0] if texts else text)
        return self.found.pop(run, None) or Found([], {})

    def beginning(self, run: int, number: int, most: int) -> tuple[bytes, int]:
        """Read the beginning of a text of a run, and how long all of it is."""
        with self._errors():
            asked = (most, self.path.stem, place(run, number))
            return self._connected().execute(BEGINNING, asked).fetchone() or (b"", 0)

    @contextmanager
    def _reader(self) -> Iterator[PostgresStore]:
        fresh = PostgresStore(self.path, read_only=True, counts=False)  # this one has, for all
        try:
            yield fresh
        finally:
            fresh.close()
