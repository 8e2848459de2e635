"""The file that keeps what became of each input of a batch.

Theory of operation
-------------------
An input is known by its content: ``name`` is a hash of the arguments that were made of it, ``nth``
tells equal ones apart. So a result is never given for an input that is another by now, wherever it
stands. The truth is the runs' journal; what is kept here is derived from it, so that a later life
finds in one look-up what has ended, and how, without reading the runs.

Rules
1. What is kept has ended for good: done, or failed. What was stopped, or waits for a person, is in
   the journal alone, and so is what ended in the moment of a kill.
2. One process has the file.
3. Each row has a seal, a digest of all that is in it, and all are compared when the file is opened:
   a flipped bit would be a result of another input, or a paid answer that is asked for again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpu.errors import HostError, JournalDamaged, ModelError, NlpuError, StorageFailed, root_of
from nlpu.file_lock import Lock
from nlpu.label import Label, label_of, label_text
from nlpu.owner_only import make_dir, make_file
from nlpu.printing import one_line
from nlpu.runtime.fleet.item import Ended
from nlpu.runtime.fleet.share import Took
from nlpu.runtime.journal.where import Where
from nlpu.runtime.scheduler.budget import Amount
from nlpu.seals import seal_rows

SUFFIX = ".items"
UNKEPT = "result"  # whose fault it is where a run is done, and its result cannot be kept
_TABLES = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS item (
    name TEXT NOT NULL, nth INTEGER NOT NULL, run INTEGER NOT NULL, status TEXT NOT NULL,
    side TEXT NOT NULL, body TEXT NOT NULL, label TEXT NOT NULL, took TEXT NOT NULL,
    UNIQUE (name, nth));
"""
_COLUMNS = {"fact": "name, content", "item": "name, nth, run, status, side, body, label, took"}


def side_of(error: BaseException) -> str:
    """Tell whose fault an error was."""
    root = root_of(error)
    sides = {HostError: "host", ModelError: "model"}
    return next((name for kind, name in sides.items() if isinstance(root, kind)), "program")


@dataclass(frozen=True, slots=True)
class Kept:
    """An item as it is kept. ``body``: its result as JSON, or [kind, message] of its error."""

    run: int
    status: Ended
    side: str
    body: str
    label: Label
    took: Took

    def is_failing_as(self, other: Kept) -> bool:
        """Whether it is a failure, and the other the same end of its run, as the journal has it."""
        same = (self.body, self.took) == (other.body, other.took) or self.side == UNKEPT
        return self.run == other.run and same


def has_undone(journal: Where) -> bool:
    """Tell whether a batch has an input whose outcome is not done, whether or not a run began.

    Raises StorageFailed. What cannot be read is taken for that.
    """
    if not isinstance(journal, Path):
        from nlpu.runtime.journal.postgres.database import has_undone as there

        return there(journal)
    path = journal.with_suffix(SUFFIX)
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return bool(db.execute("SELECT 1 FROM item WHERE status <> 'done' LIMIT 1").fetchall())
    except sqlite3.Error:
        return True


class Items:
    """The items of a batch that have ended; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        """Raises RunBusy, StorageFailed, JournalDamaged."""
        self.path, self._lock = path, None
        try:
            if path is not None:
                make_dir(path.parent)
                busy = "this batch is being executed by {owner}; wait for it, or stop it first"
                self._lock = Lock(path.with_suffix(f"{SUFFIX}.lock"), busy)
                make_file(path)
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
            self._compare()
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:  # the last by its schema
            self.close()
            raise self._typed(error) from error
        except JournalDamaged:
            self.close()
            raise

    def _compare(self) -> None:
        """Raise JournalDamaged for what is not as it was written (rule 3), indexes among it."""
        (told,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if told != "ok":
            raise self._damaged(one_line(told))
        for table, columns in _COLUMNS.items():
            seal_rows(self._db, table, columns)
            odd = f"SELECT 1 FROM {table} WHERE seal IS NOT seal_of({columns}) LIMIT 1"
            if self._db.execute(odd).fetchall():
                raise self._damaged(f"a row of {table}s is not as it was written")

    def _damaged(self, why: object) -> JournalDamaged:
        return JournalDamaged(
            f"{self.path} is damaged ({why}); remove it, move the --out file away if it has one, "
            "and start the batch again: it is made anew from the journal beside it"
        )

    def _typed(self, error: Exception) -> NlpuError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # of no disk, lock or file
        if code == sqlite3.SQLITE_ERROR or not isinstance(
            error, sqlite3.OperationalError | OSError
        ):
            return self._damaged(error)
        return StorageFailed(
            f"cannot use {self.path}: {error}. Free space there, make it writable, or choose "
            "another run directory (--run-dir)"
        )

    def facts(self) -> dict[str, Any]:
        """What was noted of the batch."""
        rows = self._run("SELECT name, content FROM fact").fetchall()
        return {name: json.loads(content) for name, content in rows}

    def note_facts(self, **facts: Any) -> None:
        """Note what the batch is."""
        for name, content in facts.items():
            self._put("fact", name, json.dumps(content))
        self.commit()

    def find(self, name: str, nth: int) -> Kept | None:
        """Find an item that has ended."""
        query = "SELECT run, status, side, body, label, took FROM item"
        row = self._run(f"{query} WHERE name=? AND nth=?", (name, nth)).fetchone()
        if row is None:
            return None
        run, status, side, body, label, took = row
        return Kept(run, status, side, body, label_of(label), _took(took))

    def keep(self, name: str, nth: int, item: Kept) -> None:
        """Keep one that has ended, instead of what was kept of it; ``commit`` makes it last."""
        if self.path is not None:
            label, took = label_text(item.label), json.dumps(item.took)
            row = (name, nth, item.run, item.status, item.side, item.body, label, took)
            self._put("item", *row)

    def _put(self, table: str, *row: Any) -> None:
        places = ",".join("?" * len(row))
        query = f"INSERT OR REPLACE INTO {table} ({_COLUMNS[table]}) VALUES ({places})"
        self._run(query, row)

    def forget(self, name: str, nth: int) -> None:
        """Make last that one's run goes on: from now on its journal alone knows what it took."""
        self._run("DELETE FROM item WHERE name=? AND nth=?", (name, nth))
        self.commit()

    def tally(self) -> dict[str, int]:
        """Count those that have ended, by how."""
        return dict(self._run("SELECT status, count(*) FROM item GROUP BY status"))

    def runs(self) -> set[int]:
        """The numbers of the runs that have ended."""
        return {run for (run,) in self._run("SELECT run FROM item")}

    def failed(self) -> set[int]:
        """The numbers of those that failed."""
        return {run for (run,) in self._run("SELECT run FROM item WHERE status = 'failed'")}

    def took(self) -> Iterator[Took]:
        """What each of them took."""
        return (_took(each) for (each,) in self._run("SELECT took FROM item"))

    def commit(self) -> None:
        """Make what was kept durable."""
        try:
            self._db.commit()
        except sqlite3.Error as error:
            raise self._typed(error) from error

    def _run(self, query: str, values: Any = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, values)
        except sqlite3.Error as error:
            raise self._typed(error) from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            self._lock.release()


def _took(text: str) -> Took:
    return Took(*(Amount(*each) for each in json.loads(text)))
