"""The journal: what makes a computer's runs survive the death of its process.

Theory of operation
-------------------
One SQLite file (WAL) for one computer, holding all its runs. Two tables:

    text  every distinct text once, with its hash
    log   one row for each thing that happened, in order, and how many texts there were by then

A log row is a JSON array. Its checksum covers the row and the checksum before it, so a row that is
lost, changed or out of order breaks the chain. Rows are buffered and written in one transaction a
turn of the scheduler's loop (group commit); results reach programs only after it.

Rules
1. ``append`` only buffers; ``commit`` makes everything appended so far permanent, or raises
   StorageFailed and nothing of it is.
2. With ``durable`` every commit is synced to the disk (FULL); without, it survives the death of
   the process (NORMAL), and the sync happens at checkpoints.
3. Opening verifies the chain of all rows and the hash of all texts before anything is used, and
   raises JournalDamaged at the first that does not hold.
4. One process owns a journal while it is open (a lock beside it); a second is told who.
5. Rows are data: nothing read back is evaluated or imported by itself.
6. A new file is its owner's alone (``nlpu.private``).

What the rows say is ``history``'s business.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from memory.lock import Lock
from nlpu.errors import JournalDamaged, NlpuError, StorageFailed
from nlpu.private import make_file

_SCHEMA = """
CREATE TABLE IF NOT EXISTS text (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY, texts INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB NOT NULL);
"""
_MAGIC: Final = 0x4E4C5055  # "NLPU", SQLite's application_id
_FORMAT: Final = 1
_CHAIN_BYTES: Final = 8
_HASH_BYTES: Final = 16
_NAMES_KEPT: Final = 4096
_HOST_FAULTS: Final = tuple(  # of SQLite; any other error on a file of ours is damage
    f"SQLITE_{name}"
    for name in ("IOERR", "FULL", "READONLY", "CANTOPEN", "PERM", "AUTH", "BUSY", "LOCKED", "NOMEM")
)

Row = list[Any]
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def text_hash(body: bytes) -> bytes:
    """The name of a text in the store."""
    return blake2b(body, digest_size=_HASH_BYTES).digest()


def link(previous: bytes, seq: int, texts: int, body: bytes) -> bytes:
    """The checksum of a row, which covers all rows before it and the number of texts by then."""
    state = blake2b(previous, digest_size=_CHAIN_BYTES)
    state.update(b"%d:%d:" % (seq, texts))
    state.update(body)
    return state.digest()


def _bytes(text: str) -> bytes:
    """A text as it is stored; error messages may hold lone surrogates, of file names."""
    return text.encode("utf-8", "surrogatepass")


class _Names:
    """Names texts by their hashes, remembering those met lately."""

    def __init__(self) -> None:
        self._names: dict[str, bytes] = {}
        self.rows: list[Row] = []  # all rows found on opening
        self.texts: dict[int, str] = {}  # texts found on opening

    def name(self, text: str) -> bytes:
        """The hash of a text (remembered for texts met lately)."""
        found = self._names.get(text)
        if found is None:
            if len(self._names) >= _NAMES_KEPT:
                self._names.clear()
            found = self._names[text] = text_hash(_bytes(text))
        return found


class Journal(_Names):
    """An open journal."""

    keeps = True  # whether what is appended is kept at all

    def __init__(self, path: Path, *, durable: bool = False, read_only: bool = False) -> None:
        super().__init__()
        self.path = path
        self._ids: dict[bytes, int] = {}
        self._new_texts: list[tuple[int, bytes, bytes]] = []
        self._new_rows: list[tuple[int, int, bytes, bytes]] = []
        self._seq, self._chain = 0, bytes(_CHAIN_BYTES)
        self.read_only, self._durable, self._sync = read_only, durable, False
        self._lock = None if read_only else owned(path)
        try:
            self._db = _connect(path, durable, read_only)
            self._load()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    # -- writing ----------------------------------------------------------------------------

    def text(self, text: str) -> int:
        """The id of a text, stored once."""
        name = self.name(text)
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = len(self._ids) + 1
            self._new_texts.append((found, name, _bytes(text)))
        return found

    def append(self, *row: Any, last: str = "") -> None:
        """Buffer one row: kind, run number, what belongs to the kind; ``last`` is JSON already."""
        body = _dumps(row)
        self.write(f"{body[:-1]},{last}]" if last else body)

    def write(self, row: str) -> None:
        """As ``append``, for a row that is JSON already."""
        body, texts = row.encode("utf-8", "backslashreplace"), len(self._ids)  # as JSON escapes
        self._seq += 1
        self._chain = link(self._chain, self._seq, texts, body)
        self._new_rows.append((self._seq, texts, body, self._chain))

    def sync_next(self) -> None:
        """Have the next commit synced to the disk, whatever ``durable`` says."""
        self._sync = True

    @property
    def dirty(self) -> bool:
        """Whether anything waits for a commit."""
        return bool(self._new_rows or self._new_texts)

    def commit(self) -> None:
        """Write what was appended in one transaction. Raises StorageFailed."""
        if not (self._new_rows or self._new_texts):
            return
        db, sync = self._db, self._sync
        try:
            if sync:
                db.execute("PRAGMA synchronous=FULL")
            db.execute("BEGIN IMMEDIATE")
            if self._new_texts:
                db.executemany("INSERT INTO text VALUES (?,?,?)", self._new_texts)
            db.executemany("INSERT INTO log VALUES (?,?,?,?)", self._new_rows)
            db.execute("COMMIT")
            if sync and not self._durable:
                db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")  # unless SQLite has done that already
            self._forget()
            raise _typed(self.path, error) from error
        self._kept, self._sync = (self._seq, self._chain), False
        self._new_texts.clear()
        self._new_rows.clear()

    def _forget(self) -> None:
        """Drop what was appended since the last commit, as if it had never been."""
        self._seq, self._chain = self._kept
        for _, name, _ in self._new_texts:
            del self._ids[name]
        self._new_texts.clear()
        self._new_rows.clear()

    def close(self) -> None:
        """Close the file and give up ownership. What was not committed is dropped. Idempotent."""
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Close it, and remove the file if nothing was ever written to it."""
        self.close()
        if self._seq == 0 and not self.read_only:
            for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
                self.path.with_suffix(suffix).unlink(missing_ok=True)

    # -- reading ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read again, for what was committed since it was opened."""
        fresh = Journal(self.path, read_only=True)
        fresh.close()
        self.rows, self.texts = fresh.rows, fresh.texts

    def follow(self) -> list[Row]:
        """The rows committed since the last look. For readers; the owner knows its own rows."""
        before = len(self.rows)
        self._load()
        return self.rows[before:]

    def _load(self) -> None:
        db, known = self._db, len(self._ids)
        try:
            db.execute("BEGIN")  # one snapshot: another process may be writing
            if not _is_empty(db):
                new_texts = db.execute("SELECT * FROM text WHERE id > ? ORDER BY id", (known,))
                for number, name, body in new_texts:
                    self._take_text(number, name, body)
                for row in db.execute("SELECT * FROM log WHERE seq > ? ORDER BY seq", (self._seq,)):
                    self._take_row(*row)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _typed(self.path, error) from error
        except (ValueError, TypeError) as error:
            raise JournalDamaged(_damage(self.path, str(error))) from error
        self._kept = (self._seq, self._chain)  # what the last commit covers

    def _take_text(self, number: int, name: bytes, body: bytes) -> None:
        if number != len(self._ids) + 1 or text_hash(body) != name:
            raise JournalDamaged(_damage(self.path, f"text {number} does not match its hash"))
        self._ids[name] = number
        self.texts[number] = body.decode("utf-8", "surrogatepass")

    def _take_row(self, seq: int, texts: int, body: bytes, chain: bytes) -> None:
        expected = link(self._chain, self._seq + 1, texts, body)
        if seq != self._seq + 1 or chain != expected:
            raise JournalDamaged(_damage(self.path, f"row {self._seq + 1} fails its checksum"))
        if texts > len(self._ids):
            raise JournalDamaged(_damage(self.path, f"text {len(self._ids) + 1} is missing"))
        self._seq, self._chain = seq, chain
        self.rows.append(json.loads(body))


def owned(path: Path) -> Lock:
    """Ownership of a journal. Raises RunBusy, StorageFailed."""
    busy = "the run is being executed by process {owner}; wait for it, or stop it first"
    try:
        return Lock(path.with_suffix(".lock"), busy)
    except OSError as error:
        raise _typed(path, error) from error


def _connect(path: Path, durable: bool, read_only: bool) -> sqlite3.Connection:
    try:
        if not read_only:
            make_file(path)  # rule 6; SQLite's other files take its mode
        mode = "ro" if read_only else "rwc"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        if read_only and _is_frozen(path):
            uri += "&immutable=1"  # else SQLite wants to write its shared memory beside it
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise _typed(path, error) from error
    try:
        _prepare(db, path, durable, read_only)
    except sqlite3.Error as error:
        db.close()
        raise _typed(path, error) from error
    except BaseException:
        db.close()
        raise
    return db


def _is_frozen(path: Path) -> bool:
    """Whether nobody can be writing it: its directory is read-only, and it has no WAL."""
    return not os.access(path.parent, os.W_OK) and not path.with_suffix(".db-wal").exists()


def _prepare(db: sqlite3.Connection, path: Path, durable: bool, read_only: bool) -> None:
    magic = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = _is_empty(db)
    if (magic, version) != ((0, 0) if empty else (_MAGIC, _FORMAT)):
        raise JournalDamaged(_damage(path, "it is not a journal of this program's format"))
    if read_only:
        return
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    if empty:
        script = f"PRAGMA application_id={_MAGIC};PRAGMA user_version={_FORMAT};{_SCHEMA}"
        db.executescript(f"BEGIN;{script}COMMIT;")


def _is_empty(db: sqlite3.Connection) -> bool:
    """Whether it has no tables yet: its process died before it made them."""
    return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _typed(path: Path, error: Exception) -> NlpuError:
    """What the host did to us, or else damage: SQLite says no more than that."""
    name = getattr(error, "sqlite_errorname", "")
    refused = name == "SQLITE_READONLY" and os.access(path, os.W_OK)  # by the file's own header
    if isinstance(error, OSError) or (name.startswith(_HOST_FAULTS) and not refused):
        return StorageFailed(_storage_message(path, error))
    return JournalDamaged(_damage(path, str(error)))


def _damage(path: Path, what: str) -> str:
    return (
        f"the journal {path} is damaged: {what}. Nothing of it was used; "
        "restore it from a copy, or run the program anew"
    )


def _storage_message(path: Path, error: Exception) -> str:
    return (
        f"cannot use the journal {path}: {error}. Free space there, make it writable, or choose "
        "another directory with --run-dir; what was finished before is kept and can be resumed"
    )


class NoJournal(_Names):
    """For computers without a run directory: names texts, keeps nothing."""

    path = None
    keeps = False
    dirty = False
    read_only = False

    def text(self, text: str) -> int:
        """No text has an id here."""
        return 0

    def append(self, *row: Any, last: str = "") -> None:
        """Nothing is kept."""

    def write(self, row: str) -> None:
        """Nothing is kept."""

    def commit(self) -> None:
        """Nothing to write."""

    def sync_next(self) -> None:
        """Nothing to sync."""

    def close(self) -> None:
        """Nothing to close."""

    def discard(self) -> None:
        """Nothing to close."""

    def refresh(self) -> None:
        """Nothing to read."""
