"""What became of each input of a batch: an item, and the file that keeps them.

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
4. A line depends on the input and on the answers alone, not on when it was made: a batch that was
   killed gives the same lines.
5. A program that reads what came of an input, in whatever form, has seen it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from nlpu.errors import (
    HostError,
    JournalDamaged,
    ModelError,
    NlpuError,
    ProgramError,
    StorageFailed,
    root_of,
)
from nlpu.file_lock import Lock
from nlpu.label import UNTRUSTED, Label, label_of, label_text
from nlpu.printing import one_line
from nlpu.private import make_dir, make_file
from nlpu.runtime.fleet.share import NOTHING, Took
from nlpu.runtime.scheduler.budget import Amount
from nlpu.types.json_text import compact
from nlpu.value import see

Ended = Literal["done", "failed", "needs_person"]
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


@dataclass(frozen=True, slots=True)
class Item:
    """The outcome of one input.

    Attributes:
        index: Which input it is, from 0 on.
        id: What the input calls itself: its ``id``, or its file's name in a folder.
        status: ``done``, ``failed`` or ``needs_person``.
        run: The name of its run, to look at: ``nlpu show RUN``.
        cost: What its answered calls took, in all its lives.
        label: Who vouches for its result.
    """

    index: int
    id: str
    status: Ended
    _error: BaseException | None = field(repr=False)
    run: str
    cost: Amount = NOTHING
    label: Label = UNTRUSTED
    _text: str = field(default="", repr=False)
    _why: tuple[str, ...] = field(default=(), repr=False)
    _content: Any = field(default=None, repr=False)

    @property
    def result(self) -> Any:
        """The program's result; raises the error if it has none."""
        if self.error is not None:
            raise self.error
        return self._content

    @property
    def error(self) -> BaseException | None:
        """Why it has no result."""
        see(self.label)
        return self._error

    @property
    def why(self) -> tuple[str, ...]:
        """The kind and the message of its error; empty if it has a result."""
        see(self.label)
        return self._why

    @property
    def text(self) -> str:
        """Its result as JSON; "" if it has none."""
        see(self.label)
        return self._text

    def line(self) -> str:
        """Write it as one line of JSON (rule 4). Raises ProgramError for a result that has none."""
        if self.text.endswith(" "):
            raise ProgramError(f"the result of input {self.index + 1} has no JSON form")
        cost = {name: round(each, 9) for name, each in self.cost._asdict().items()}
        error = dict(zip(("type", "message"), self.why, strict=False)) or None
        text = self.text or "null"
        if "NaN" in text or "Infinity" in text:  # which JSON has not
            text = compact(json.loads(text, parse_constant=str))
        named = f'"id":{compact(self.id)},' if self.id else ""
        return (
            f'{{"index":{self.index},{named}"status":"{self.status}","result":{text}'
            f',"error":{compact(error)},"run":{compact(self.run)},"cost":{compact(cost)}}}'
        )


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
            self._db.create_function("seal_of", -1, seal_of, deterministic=True)
            self._compare()
        except (OSError, sqlite3.Error) as error:
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
            if "seal" not in (each[1] for each in self._db.execute(f"PRAGMA table_info({table})")):
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN seal TEXT")  # of an older version
                self._db.execute(f"UPDATE {table} SET seal = seal_of({columns})")
                self._db.commit()
            for *row, seal in self._db.execute(f"SELECT {columns}, seal FROM {table}"):
                if seal != seal_of(*row):
                    raise self._damaged(f"a row of {table}s is not as it was written")

    def _damaged(self, why: object) -> JournalDamaged:
        return JournalDamaged(
            f"{self.path} is damaged ({why}); remove it and start the batch again: it is "
            "made anew from the journal beside it"
        )

    def _typed(self, error: Exception) -> NlpuError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.DatabaseError) and (
            code == sqlite3.SQLITE_ERROR or not isinstance(error, sqlite3.OperationalError)
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
        places = ",".join("?" * (len(row) + 1))
        query = f"INSERT OR REPLACE INTO {table} ({_COLUMNS[table]}, seal) VALUES ({places})"
        self._run(query, (*row, seal_of(*row)))

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


def seal_of(*row: Any) -> str:
    """A digest of all that is in a row."""
    return blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _took(text: str) -> Took:
    return Took(*(Amount(*each) for each in json.loads(text)))
