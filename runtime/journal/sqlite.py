"""The journal: what makes a computer's runs survive the death of its process.

Theory of operation
-------------------
One SQLite file (WAL) for one computer, holding all its runs. Two tables:

    text  every distinct text of a run once, with its hash
    log   one row for each thing that happened, in order, and how many texts its run had by then

A log row is a JSON array. Whose it is says ``place``: the run's number stands above that of the
text, or above the number of texts. How many rows there must be is said by a record beside the file
(``witness``). What is buffered is written in one transaction a turn of the scheduler's loop (group
commit), and is durable when ``flush`` returns.

Rules
1. What a failed flush leaves is nothing, or (where only the side record could not be written) all
   of it, and nothing follows from it: as if the process had been killed then.
2. With ``durable`` every commit is synced to the disk (FULL); without, it survives the death of
   the process (NORMAL), and the sync happens at checkpoints, or where a row asks for it.
3. Opening verifies the number of all rows, and all of the runs that are asked for, before anything
   is used or written: their chains and the hash of their texts. It raises JournalDamaged at the
   first that does not hold.
4. One process owns a journal while it is open, by whatever link (a lock beside it); a second is
   told who.
5. A new file is its owner's alone (``nlpu.owner_only``).
6. A file of an earlier format, with one chain and one numbering for all its runs (``joint``), goes
   on as it is: it is read as a whole.

How the file is opened is ``file``'s business, what the rows say ``records``'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from nlpu.errors import JournalDamaged
from nlpu.owner_only import make_file
from nlpu.runtime.journal.buffered import CHAIN_BYTES, Buffered, Space, place
from nlpu.runtime.journal.file import (
    ERRORS,
    JOINT,
    OLDEST,
    OPEN,
    connect,
    damaged,
    files_of,
    is_empty,
    older,
    owned,
    plain,
    recorded,
    sealed,
    typed,
)
from nlpu.runtime.journal.store import Found, Row
from nlpu.runtime.journal.witness import Witness, agrees, beside, boot_id, lost, side_of

_TEXTS: Final = "SELECT {0}, hash, body FROM text WHERE id > ?{1} ORDER BY id"
_ROWS: Final = "SELECT seq, texts, body, chain FROM log WHERE seq > ?{0} ORDER BY seq"


class Journal(Buffered):
    """An open journal."""

    path: Path

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = False,
        read_only: bool = False,
        boot: bytes = b"",
        run: int | Collection[int] | None = None,
    ) -> None:
        """``boot`` stands for the id of this boot of the machine. run: that is read, or several
        (None: all)."""
        super().__init__()
        self.path = path
        self._run = run
        self._runs: list[int] = []
        self._end = 0, bytes(CHAIN_BYTES)  # the last row, and its checksum
        self._looked = 0, 0  # the last row and the last text there were when it was looked
        self.is_older = False  # made by a version whose calls had other keys
        self.read_only, self._durable = read_only, durable
        self._boot = boot or boot_id()
        self._side = Witness(path, self._boot)
        self._lock = None if read_only else owned(path)
        try:
            self._open(durable)
        except BaseException:
            self._side.close()
            if self._lock is not None:
                self._lock.release()
            raise

    def _open(self, durable: bool) -> None:
        """Look at what is there, and only then open it for writing (rule 3)."""
        plain(self.path)
        self._record = recorded(self.path)
        try:
            self._check_size()  # of a file that is empty SQLite would remove the log
            if not self.read_only:
                make_file(self.path)  # rule 5; the files beside it take its mode
            with ExitStack() as ends:
                self._db = connect(self.path, durable, read_only=True)
                ends.callback(self._db.close)
                self._load()
                if self.is_older and not self.read_only:
                    raise older(self.path)
                if self.read_only:
                    ends.pop_all()
                    return
                where = "id" if self.joint else "place"
                self._insert_text = f"INSERT INTO text ({where}, hash, body) VALUES (?,?,?)"
                self._side.take(self._record, *self._end)  # before there is any row
                self._db = connect(self.path, durable, read_only=False)
        except OSError as error:
            raise typed(self.path, error) from error

    def _check_size(self) -> None:
        rows = self._record.rows if self._record else 0
        if rows and not self.path.exists():
            raise self.damage(f"its file is gone, and with it {rows} rows")
        if rows and not self.path.stat().st_size:
            raise self.damage(f"its file is empty, and with it {rows} rows are gone")

    def damage(self, what: str) -> JournalDamaged:
        """Make the error that names the file."""
        return damaged(self.path, what)

    # -- writing ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was buffered in one transaction. Raises StorageFailed."""
        rows, texts = self._new_rows, self._new_texts
        if not (rows or texts):
            return
        db, sync = self._db, self._sync
        try:
            if sync:
                db.execute("PRAGMA synchronous=FULL")
            db.execute("BEGIN IMMEDIATE")
            if texts:
                db.executemany(self._insert_text, texts)
            db.executemany("INSERT INTO log VALUES (?,?,?,?)", rows)
            db.execute("COMMIT")
            if sync and not self._durable:
                db.execute("PRAGMA synchronous=NORMAL")
        except ERRORS as error:
            with suppress(*ERRORS):
                db.execute("ROLLBACK")  # unless SQLite has done that already
            self.drop(self.take())
            raise typed(self.path, error) from error
        if rows:
            self._end = rows[-1][0], rows[-1][3]
        self.keep_all()
        try:
            self._side.note(*self._end, held=sync or self._durable, sync=sync)
        except OSError as error:
            raise typed(self.path, error) from error

    def _end_of(self, run: int) -> Space:
        if run not in self._runs:
            return super()._end_of(run)
        with self._reader(run) as fresh:
            return fresh.space_of(run)

    def close(self, *, discard: bool = False) -> None:
        """Close the file and give up ownership. What was not committed is dropped. Idempotent.

        discard: and remove it, if nothing was ever written to it.
        """
        if self._side.is_open:
            self._seal()
        self._db.close()
        if self._lock is not None:
            self._lock.release()
        if discard and not self._end[0] and not self.read_only:
            for path in files_of(self.path):
                path.unlink(missing_ok=True)

    def _seal(self) -> None:
        """Make the file whole in itself (see ``file``)."""
        with suppress(*ERRORS, OSError):  # then it is left as by a kill
            several = max([*self._runs, *self.spaces], default=0) > 1
            self._db.executescript(sealed(joint=self.joint, several=several))
            self._db.close()  # unless somebody reads it, all is in the file then, synced
            held = not beside(self.path, ".db-wal").exists()
            self._side.note(*self._end, held=held, sync=False)
        self._side.close()

    # -- reading ----------------------------------------------------------------------------

    @property
    def rows(self) -> list[Row]:
        """All rows that were read last, run by run."""
        return [row for run in sorted(self.found) for row in self.found[run].rows]

    def runs(self) -> list[int]:
        """List the runs that were there when it was opened."""
        return list(self._runs)

    def read(self, run: int) -> Found:
        """Read all that is committed of a run; what was read on opening is handed over."""
        home = 1 if self.joint else run
        if home in self.found and (self._end[0] == self._looked[0] or not self.joint):
            return self._part(run)  # nobody writes to a run that was not read before
        with self._reader(run) as fresh:
            if run in fresh.spaces:  # where it goes on, if it does
                self.spaces.setdefault(run, fresh.spaces[run])
            return fresh._part(run)

    def follow(self, run: int) -> Found:
        """Read what was committed of a run since the last look. For readers."""
        self.found.clear()
        self._load()
        return self._part(run)

    def _part(self, run: int) -> Found:
        """Hand over what was found of a run."""
        if not self.joint:
            return self.found.pop(run, None) or Found([], {})
        rows, texts = self.found[1]
        return Found([row for row in rows if whose(row) in (run, None)], dict(texts))

    @contextmanager
    def _reader(self, run: int) -> Iterator[Journal]:
        fresh = Journal(self.path, read_only=True, boot=self._boot, run=run)
        try:
            yield fresh
        finally:
            fresh.close()

    def _load(self) -> None:
        db = self._db
        self._record = recorded(self.path)  # before the rows, since a writer makes it after them
        try:
            db.execute("BEGIN")  # one snapshot: another process may be writing
            (mark,) = db.execute("PRAGMA user_version").fetchone()
            if not is_empty(db):
                self.joint = mark in JOINT
                self._look()
            db.execute("COMMIT")
        except TypeError as error:  # a page of something else in the place of one of rows
            raise self.damage("what stands where its rows should be is none") from error
        except ERRORS as error:
            raise typed(self.path, error) from error
        self._compare(mark)
        self.is_older = bool(self._seq) and mark == OLDEST

    def _look(self) -> None:
        """Read and check what is new, of all runs or of the one that is asked for."""
        db, (seq, text) = self._db, self._looked
        key, only, bounds = "id" if self.joint else "place", "", tuple[int, ...]()
        if isinstance(self._run, int) and not self.joint:
            only, bounds = (
                " AND {0} >= ? AND {0} < ?",
                (place(self._run, 0), place(self._run + 1, 0)),
            )
        elif not (self.joint or self._run is None or isinstance(self._run, int)):
            only = f" AND ({{0}} >> 32) + 1 IN ({','.join(map(str, self._run))})"
        self._take(
            db.execute(_TEXTS.format(key, only.format("place")), (text, *bounds)),
            db.execute(_ROWS.format(only.format("texts")), (seq, *bounds)),
        )
        (end,) = db.execute("SELECT ifnull(max(seq), 0) FROM log").fetchone()
        if not seq:  # rows of other runs, too
            (count,) = db.execute("SELECT count(*) FROM log").fetchone()
            if count != end:
                raise self.damage(f"{end - count} of its {end} rows are missing")
            every = db.execute("SELECT DISTINCT texts >> 32 FROM log")
            self._runs = sorted(run + 1 for (run,) in every)
            if self.joint:
                self._runs = sorted(
                    {n for row in self.found[1].rows if (n := whose(row)) is not None}
                )
        self._looked = end, db.execute("SELECT ifnull(max(id), 0) FROM text").fetchone()[0]
        self._seq = self._kept_seq = end
        self._end = end, self._chain_at(end)
        record = self._record
        for at in (record.held, record.rows) if record is not None else ():
            if record is not None and 0 < at <= end and not agrees(record, at, self._chain_at(at)):
                raise self.damage(f"row {at} is not the one that its side record names")

    def _chain_at(self, seq: int) -> bytes:
        found = self._db.execute("SELECT chain FROM log WHERE seq = ?", (seq,)).fetchone()
        return found[0] if found else bytes(CHAIN_BYTES)

    def _compare(self, mark: int) -> None:
        """Hold the number of rows against the side record."""
        if self._record is not None:
            missing = lost(self._record, self._seq, self._boot)
            if self._record.rows and not mark:  # which is on the disk before any row
                missing = f"its file holds nothing, and {self._record.rows} rows are missing"
            if mark == OLDEST:  # of a version that made no side records
                missing = missing or "its mark is another than its side record goes with"
            if missing:
                raise self.damage(missing)
        elif mark in OPEN and recorded(self.path) is None:  # its owner may just have made it
            name = side_of(self.path).name
            raise self.damage(f"its side record {name} is missing or says nothing")


def whose(row: Any) -> int | None:
    """Tell whose a row of a joint file is; None for what is no row, which whoever reads it says."""
    whole = isinstance(row, list) and len(row) > 1 and type(row[1]) is int
    return row[1] if whole else None
