"""The journal's file: how SQLite opens it, and what its errors mean.

Rules
1. Only what is a journal, or empty, is opened; anything else is left as it is.
2. A file that may have rows in a log beside it is marked so before there is one (``OPEN``): without
   its side record it is damaged. One that was closed (``CLOSED``) is whole without anything beside
   it, and can be sent alone; where it holds several runs, indexes keep them apart, which are
   dropped while it is written. Files of the first format number all their runs together
   (``JOINT``). The oldest of them have no mark and no side record; their calls have other keys, so
   they are read only.
3. What is no file is not opened: to open a pipe might never end (``nature``).
4. What the host did (no space, no permission) is StorageFailed; any other error of SQLite on a file
   of ours is damage.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from nlpu.errors import JournalDamaged, NlpuError, ProgramError, StorageFailed
from nlpu.file_lock import Lock
from nlpu.runtime.journal.witness import SUFFIX, Record, beside, read

_SCHEMA = """
CREATE TABLE IF NOT EXISTS text (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL, place INTEGER);
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY, texts INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB NOT NULL);
"""
_APART: Final = "DROP INDEX IF EXISTS log_run; DROP INDEX IF EXISTS text_run;"
_INDEX: Final = "CREATE INDEX log_run ON log (texts); CREATE INDEX text_run ON text (place);"
_MAGIC: Final = 0x4E4C5055  # "NLPU", SQLite's application_id
_HEAD: Final = 72  # bytes of SQLite's header up to its application_id
OLDEST: Final = 1  # SQLite's user_version: of before there were side records
OPEN: Final = (0x102, 0x101)  # rule 2: of this format, and of the first
CLOSED: Final = (0x202, 0x201)
JOINT: Final = (OLDEST, OPEN[1], CLOSED[1])
ERRORS: Final = (sqlite3.Error, ValueError)  # a damaged schema's error may be no text to the module
_HOST_FAULTS: Final = tuple(  # of SQLite; any other error on a file of ours is damage
    f"SQLITE_{name}"
    for name in ("IOERR", "FULL", "READONLY", "CANTOPEN", "PERM", "AUTH", "BUSY", "LOCKED", "NOMEM")
)


_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def nature(path: Path) -> str:
    """Say what a path is, if that is nothing that SQLite could open; "" if it may be a file.

    Raises OSError.
    """
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except FileNotFoundError:
        return ""


def plain(path: Path) -> None:
    """Refuse a journal that is no file, or has none beside it (rule 3). Raises StorageFailed."""
    for suffix in (".db", ".db-wal", ".db-shm", ".db-journal", SUFFIX):
        try:
            kind = nature(file := beside(path, suffix))
        except OSError as error:
            raise typed(path, error) from error
        if kind:
            raise StorageFailed(f"{file} is {kind} and no file; move it away")


def stranger(path: Path) -> str:
    """Say what a file is that never was a journal; "" for one that may be. Raises OSError."""
    kind = nature(path)
    if kind or not path.exists():
        return kind
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file"
    is_database = head.startswith(b"SQLite format 3\0")
    is_ours = head[-4:] in (_MAGIC.to_bytes(4), bytes(4))  # none before its process made tables
    return "" if is_database and is_ours else "a file of something else"


def journals(directory: Path) -> list[Path]:
    """List the journals of a directory, with those whose file is gone."""
    counted = (side.with_suffix(".db") for side in directory.glob(f"*{SUFFIX}"))
    return sorted({*directory.glob("*.db"), *filter(is_there, counted)})


_OF_A_BATCH = (".items", ".items-wal", ".items-shm", ".items.lock")


def files_of(path: Path) -> list[Path]:
    """List a journal's file, and those that lie beside it."""
    return [beside(path, name) for name in (".db", ".db-wal", ".db-shm", SUFFIX, ".lock")]


def remove(path: Path) -> None:
    """Remove a journal that nobody owns. Raises RunBusy, StorageFailed."""
    lock = owned(path)
    try:
        for each in (*files_of(path), *(beside(path, name) for name in _OF_A_BATCH)):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise typed(path, error) from error
    finally:
        lock.release()


def is_there(path: Path) -> bool:
    """Tell whether there is a journal, or should be: its side record counts rows."""
    if path.is_file():
        return True
    with suppress(OSError):
        record = read(path)
        return record is not None and record.rows > 0
    return True  # opening it says what is wrong


def recorded(path: Path) -> Record | None:
    """Read a journal's side record. Raises StorageFailed."""
    try:
        return read(path)
    except OSError as error:
        raise typed(path, error) from error


def owned(path: Path) -> Lock:
    """Take ownership of a journal. Raises RunBusy, StorageFailed."""
    busy = "the run is being executed by {owner}; wait for it, or stop it first"
    try:
        return Lock(beside(path, ".lock"), busy)
    except OSError as error:
        raise typed(path, error) from error


def connect(path: Path, durable: bool, read_only: bool) -> sqlite3.Connection:
    """Open the file, and make it a journal if it is empty. Raises JournalDamaged, StorageFailed."""
    try:
        mode = "ro" if read_only else "rwc"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        if read_only and _is_frozen(path):
            uri += "&immutable=1"  # else SQLite wants to write its shared memory beside it
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except ERRORS as error:
        raise typed(path, error) from error
    try:
        _prepare(db, path, durable, read_only)
    except ERRORS as error:
        db.close()
        raise typed(path, error) from error
    except BaseException:
        db.close()
        raise
    return db


def _is_frozen(path: Path) -> bool:
    """Whether nobody can be writing it: its directory is read-only, and it has no WAL."""
    log = beside(path, ".db-wal")
    return not os.access(log.parent, os.W_OK) and not log.exists()


def _prepare(db: sqlite3.Connection, path: Path, durable: bool, read_only: bool) -> None:
    db.execute("BEGIN")  # one snapshot: its owner may be making it
    magic = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = is_empty(db)
    db.execute("COMMIT")
    known = [(0, 0)] if empty else [(_MAGIC, mark) for mark in (OLDEST, *OPEN, *CLOSED)]
    if (magic, version) not in known:
        raise damaged(path, "it is not a journal of this program's format")
    if read_only:
        return
    if empty:
        db.execute("PRAGMA synchronous=OFF")  # the checkpoint below syncs it all
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    if version not in OPEN:
        mark = OPEN[version in JOINT]
        marks = f"PRAGMA application_id={_MAGIC};PRAGMA user_version={mark};"
        db.executescript(f"BEGIN;{marks}{_SCHEMA}{_APART}COMMIT;")
        db.execute("PRAGMA wal_checkpoint").fetchone()  # into the file itself, before any row


def sealed(*, joint: bool, several: bool) -> str:
    """Give what makes a file whole in itself, with or without several runs (rule 2)."""
    apart = _INDEX if several and not joint else ""
    return f"BEGIN;{apart}PRAGMA user_version={CLOSED[joint]};COMMIT;"


def is_empty(db: sqlite3.Connection) -> bool:
    """Tell whether it has no tables yet: its process died before it made them."""
    return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def typed(path: Path, error: Exception) -> NlpuError:
    """Tell what the host did to us, or else damage: SQLite says no more than that."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_READONLY_ROLLBACK":  # SQLite would write its pages into the file
        stray = beside(path, ".db-journal").name
        return damaged(path, f"{stray} lies beside it, which none with rows has; move it away")
    refused = name == "SQLITE_READONLY" and os.access(path, os.W_OK)  # by the file's own header
    if isinstance(error, OSError) or (name.startswith(_HOST_FAULTS) and not refused):
        return StorageFailed(
            f"cannot use the journal {path}: {error}. Free space there, make it writable, or "
            "choose another directory with --run-dir; what was finished before is kept and can "
            "be resumed"
        )
    return damaged(path, str(error))


def older(path: Path) -> ProgramError:
    """Say that a journal's calls have the keys of an earlier version."""
    return ProgramError(
        f"the journal {path} was made by an earlier version, which named calls in another way: it "
        "can be looked at (nlpu show), but not gone on with; run the program anew"
    )


def damaged(path: object, what: str) -> JournalDamaged:
    """Make the error that names what is wrong."""
    return JournalDamaged(
        f"the journal {path} is damaged: {what}. Nothing of it was used; restore it and the "
        "files beside it from a copy, or run the program anew"
    )
