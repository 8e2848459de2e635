"""The disk level: every page, in one SQLite file. The truth; all else can be made from it.

Theory of operation
-------------------
    blob    every distinct text once, by its hash
    page    its occurrences, numbered in the order they came
    words   an FTS5 index over the texts (``words``), which holds no copy of them; gives BM25
    file    what has been taken in: a source's name and the digest of its content
    fact    single values: the index's high-water mark, counters, the *seal*

The word index has no copy of the texts to be held against, so what damages it would only change
what is found. Its seal is a digest of all its rows, taken when the store is closed, broken by the
first change, and looked at when it is opened: an index without its seal is made again from the
pages, of which each has a seal of its own, and its text a hash.

Rules
1. ``add`` is one transaction; when it returns, the pages survive the death of the process.
2. Adding a page again adds nothing; its label becomes the join of both.
3. One process owns a store (a lock beside the file); a second one is told who.
4. Safe to use from several threads.
5. What is made is its owner's alone (``nlpu.owner_only``).
6. All pages are compared with their seals before the first look-up: one whose time or credit is
   another could be missing from what is found, where nothing would be read of it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from nlpu.errors import HostError, StorageFailed
from nlpu.file_lock import Lock
from nlpu.label import join, label_of, label_text
from nlpu.memory.store.page import Page, blob_hash
from nlpu.memory.store.queries import Reading
from nlpu.memory.store.words import RULE, TOKENIZER, indexed
from nlpu.owner_only import make_dir, make_file
from nlpu.seals import seal_of, seal_rows

_SCHEMA = """
CREATE TABLE blob (hash BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE page (
    id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL UNIQUE, blob BLOB NOT NULL,
    source TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, time_s REAL NOT NULL,
    label TEXT, importance REAL NOT NULL, credit REAL NOT NULL, links TEXT NOT NULL, seal BLOB);
CREATE INDEX place ON page (source, start);
CREATE INDEX time ON page (time_s);
CREATE INDEX text_of ON page (blob);
CREATE TABLE file (source TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;
"""
_WORDS = f"CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize=\"{TOKENIZER}\")"
_TABLES = ("words_data", "words_idx", "words_docsize", "words_config")
_DROP = (  # "DROP TABLE words" would read what is damaged
    "PRAGMA writable_schema=ON",
    "DELETE FROM sqlite_master WHERE name = 'words'",
    "PRAGMA writable_schema=RESET",
    *(f"DROP TABLE IF EXISTS {table}" for table in _TABLES),
)
_SEALED = "id, address, blob, source, start, stop, time_s, label, importance, credit, links"
_BREAK_SEAL = "DELETE FROM fact WHERE name = 'seal'"
_MAGIC: Final = 0x4E4C504D  # "NLPM", SQLite's application_id


class Disk(Reading):
    """An open store of pages. ``add`` and the reads speak of pages by number and Page."""

    _pages = f"SELECT {_SEALED}, text, seal FROM page LEFT JOIN blob ON blob.hash = page.blob"
    _compared = False

    def __init__(self, directory: Path) -> None:
        self.path = directory / "memory.db"
        self._thread = threading.RLock()
        self._removed = False
        with self._typed():
            make_dir(directory)
            self._lock = Lock(
                directory / "memory.lock",
                f"the memory in {directory} is in use by {{owner}}; wait for it or stop it, or "
                "have one run of a batch at a time (--at-once 1)",
            )
        try:
            with self._typed():
                make_file(self.path)
                self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
                self._prepare()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Close it and give up ownership. Idempotent."""
        with self._thread:
            try:
                if self._removed:
                    self._removed = False
                    with self._transaction() as db:  # words of removed pages are in it till then
                        db.execute("INSERT INTO words (words) VALUES ('optimize')")
                if self.fact("seal") is None:
                    self.set_fact("seal", self._digest())
            finally:
                self._db.close()
                self._lock.release()

    # -- writing ------------------------------------------------------------------------------

    def add(self, pages: Iterable[Page]) -> list[int]:
        """The numbers of the pages, those that are new stored (rules 1 and 2)."""
        with self._transaction():
            return [self._add(page) for page in pages]

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget pages, and texts that no page holds any more."""
        with self._transaction() as db:
            for number, page in self.pages(numbers).items():
                self._removed = True
                db.execute(_BREAK_SEAL)
                db.execute(
                    "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
                    (number, indexed(page.text)),
                )
                db.execute("DELETE FROM page WHERE id = ?", (number,))
                db.execute(
                    "DELETE FROM blob WHERE hash = ? AND NOT EXISTS "
                    "(SELECT 1 FROM page WHERE page.blob = blob.hash)",
                    (blob_hash(page.text),),
                )

    def set_credit(self, credits: dict[int, float], fade: float = 1.0) -> None:
        """Write what outcomes say about pages; that of all others is multiplied by ``fade``."""
        with self._transaction() as db:
            db.execute("UPDATE page SET credit = credit * ? WHERE credit != 0", (fade,))
            db.executemany(
                "UPDATE page SET credit = ? WHERE id = ?", [(c, n) for n, c in credits.items()]
            )

    def set_fact(self, name: str, value: Any) -> None:
        """Keep a single value."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def set_file(self, source: str, digest: bytes | None) -> None:
        """Note that a source has been taken in as it is; None: forget that."""
        with self._transaction() as db:
            db.execute("DELETE FROM file WHERE source = ?", (source,))
            if digest is not None:
                db.execute("INSERT INTO file VALUES (?, ?)", (source, digest))

    def taken(self, source: str, digest: bytes, numbers: list[int]) -> bool:
        """Note that a source has been taken in, as these pages: nobody else writes others."""
        self.set_file(source, digest)
        return True

    def check(self) -> list[str]:
        """What is wrong with it, in words; nothing if it is whole."""
        faults = [str(row[0]) for row in self._all("PRAGMA integrity_check") if row[0] != "ok"]
        self._compared = True  # who asks is told of each
        read = map(self._read, self._all(self._pages))
        faults += [page for page in read if isinstance(page, str)]
        if (held := self._indexed()) != self.count():
            faults.append(f"the word index holds {held} of {self.count()} pages")
        try:
            self._all("INSERT INTO words (words) VALUES ('integrity-check')")
            if self.fact("seal") not in (None, self._digest()):
                faults.append(
                    "the word index is damaged: it is made again when the store is opened"
                )
        except StorageFailed as error:
            faults.append(f"the word index is damaged: {error}")
        return faults

    # -- helpers ------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Compare all pages with their seals, once (rule 6). Raises StorageFailed."""
        odd = f"SELECT id FROM page WHERE seal IS NOT seal_of({_SEALED}) LIMIT 1"
        if not self._compared and (found := self._all(odd)):
            raise self._damaged(f"page {found[0][0]} is not what was stored")
        self._compared = True

    def _read(self, row: Any) -> Page | str:
        """The page in a row, or what is wrong with it."""
        *stored, text, seal = row
        number, _, blob, source, start, stop, time_s, label, *rest, links = stored
        if seal != seal_of(*stored) or type(text) is not str or blob_hash(text) != blob:
            return f"page {number} is not what was stored"
        told = (time_s, label_of(label), *rest, tuple(json.loads(links)))
        return Page(text, source, start, stop, *told)

    def _add(self, page: Page) -> int:
        db, address = self._db, page.address
        found = db.execute("SELECT id, label FROM page WHERE address = ?", (address,)).fetchone()
        if found is not None:
            number, before = int(found[0]), label_of(found[1])
            if join(before, page.label) is not before:
                sunk = label_text(join(before, page.label))
                db.execute("UPDATE page SET label = ? WHERE id = ?", (sunk, number))
            return number
        name = blob_hash(page.text)
        db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?)", (name, page.text))
        row = (
            address,
            name,
            page.source,
            page.start,
            page.stop,
            page.time_s,
            label_text(page.label),
            page.importance,
            page.credit,
            json.dumps(page.links),
        )
        number = (
            db.execute("INSERT INTO page VALUES (NULL,?,?,?,?,?,?,?,?,?,?,NULL)", row).lastrowid
            or 0
        )
        db.execute(_BREAK_SEAL)
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, indexed(page.text)))
        return number

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._thread, self._typed():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _prepare(self) -> None:
        db = self._db
        magic = db.execute("PRAGMA application_id").fetchone()[0]
        empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and magic != _MAGIC:
            raise HostError(f"{self.path} is not a memory of this program; name another directory")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA secure_delete=ON")  # a text that is forgotten is overwritten
        if empty:
            db.executescript(f"BEGIN;PRAGMA application_id={_MAGIC};{_SCHEMA}COMMIT;")
        seal_rows(db, "page", _SEALED, may_change="credit, label")
        self._index_words()

    def _index_words(self) -> None:
        """Make the word index; again where another rule made it, or its seal is not its own."""
        same, seal = self.fact("words") == RULE, self.fact("seal")
        if same and seal is not None and seal == self._digest():
            return
        if same and self._indexed() > self.count():  # pages are lost: look-ups tell
            return
        with self._transaction() as db:
            for line in _DROP:
                db.execute(line)
            db.execute(_WORDS)
            rows = db.execute("SELECT id, text FROM page JOIN blob ON blob.hash = page.blob")
            told = [(number, indexed(text)) for number, text in rows]
            db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", told)
            db.execute(_BREAK_SEAL)
            db.execute("INSERT OR REPLACE INTO fact VALUES ('words', ?)", (RULE,))
        self.set_fact("seal", self._digest())  # only now: FTS5 writes what it holds at the commit
        if told:
            note = "the words of %d pages in %s were indexed anew: %s"
            why = "the index was damaged" if seal else "its last process was killed, or is older"
            why = why if same else "for scripts without blanks"
            logging.getLogger("memory").warning(note, len(told), self.path, why)

    def _digest(self) -> bytes:
        """Of the word index: any of its bits would change it."""
        whole = blake2b(digest_size=16)
        for table in _TABLES:
            for row in self._all(f"SELECT * FROM {table}"):
                parts = (part if type(part) is bytes else repr(part).encode() for part in row)
                whole.update(b" ".join(parts))
        return whole.digest()

    def _indexed(self) -> int:
        """How many pages the word index holds."""
        return int(self._all("SELECT count(*) FROM words_docsize")[0][0])
