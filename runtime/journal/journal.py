"""The journal: what makes a computer's runs survive the death of its process.

Theory of operation
-------------------
One SQLite file (WAL) for one computer, holding all its runs. Two tables:

    text  every distinct text once, with its hash
    log   one row for each thing that happened, in order, and how many texts there were by then

A log row is a JSON array. Its checksum covers the row and the checksum before it, so a row that is
lost, changed or out of order breaks the chain; how many there must be is said by a record beside
the file (``witness``). Rows are buffered and written in one transaction a turn of the scheduler's
loop (group commit); results reach programs only after it.

Rules
1. ``append`` only buffers; ``commit`` makes everything appended so far permanent, or raises
   StorageFailed and nothing of it is. (Where only the side record could not be written, all of it
   is, and nothing follows from it: as if the process had been killed then.)
2. With ``durable`` every commit is synced to the disk (FULL); without, it survives the death of
   the process (NORMAL), and the sync happens at checkpoints.
3. Opening verifies the chain of all rows, their number and the hash of all texts before anything
   is used or written, and raises JournalDamaged at the first that does not hold.
4. One process owns a journal while it is open, by whatever link (a lock beside it); a second is
   told who.
5. Rows are data: nothing read back is evaluated or imported by itself.
6. A new file is its owner's alone (``nlpu.private``).

How the file is opened is ``journal_file``'s business, what the rows say ``history``'s.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from nlpu.private import make_file
from nlpu.runtime.journal.file import (
    CLOSED,
    ERRORS,
    FORMAT,
    OPEN,
    connect,
    damaged,
    is_empty,
    older,
    owned,
    plain,
    recorded,
    typed,
)
from nlpu.runtime.journal.witness import SUFFIX, Witness, agrees, beside, boot_id, lost, side_of

_CHAIN_BYTES: Final = 8
_HASH_BYTES: Final = 16
_NAMES_KEPT: Final = 4096

Row = list[Any]
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_loads = json.JSONDecoder().decode


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

    def __init__(
        self, path: Path, *, durable: bool = False, read_only: bool = False, boot: bytes = b""
    ) -> None:
        """``boot`` stands for the id of this boot of the machine."""
        super().__init__()
        self.path = path
        self._ids: dict[bytes, int] = {}
        self._new_texts: list[tuple[int, bytes, bytes]] = []
        self._new_rows: list[tuple[int, int, bytes, bytes]] = []
        self._seq, self._chain, self._met = 0, bytes(_CHAIN_BYTES), 0  # _met: texts that were read
        self.is_older = False  # made by a version whose calls had other keys
        self.read_only, self._durable, self._sync = read_only, durable, False
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
                make_file(self.path)  # rule 6; the files beside it take its mode
            with ExitStack() as ends:
                self._db = connect(self.path, durable, read_only=True)
                ends.callback(self._db.close)
                self._load()
                if self.is_older and not self.read_only:
                    raise older(self.path)
                if self.read_only:
                    ends.pop_all()
                    return
                self._side.take(self._record, self._seq, self._chain)  # before there is any row
                self._db = connect(self.path, durable, read_only=False)
        except OSError as error:
            raise typed(self.path, error) from error

    def _check_size(self) -> None:
        rows = self._record.rows if self._record else 0
        if rows and not self.path.exists():
            raise damaged(self.path, f"its file is gone, and with it {rows} rows")
        if rows and not self.path.stat().st_size:
            raise damaged(self.path, f"its file is empty, and with it {rows} rows are gone")

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
        except ERRORS as error:
            with suppress(*ERRORS):
                db.execute("ROLLBACK")  # unless SQLite has done that already
            self._forget()
            raise typed(self.path, error) from error
        self._kept, self._sync = (self._seq, self._chain), False
        self._new_texts.clear()
        self._new_rows.clear()
        try:
            self._side.note(self._seq, self._chain, held=sync or self._durable, sync=sync)
        except OSError as error:
            raise typed(self.path, error) from error

    def _forget(self) -> None:
        """Drop what was appended since the last commit, as if it had never been."""
        self._seq, self._chain = self._kept
        for _, name, _ in self._new_texts:
            del self._ids[name]
        self._new_texts.clear()
        self._new_rows.clear()

    def close(self) -> None:
        """Close the file and give up ownership. What was not committed is dropped. Idempotent."""
        if self._side.is_open:
            self._seal()
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def _seal(self) -> None:
        """Make the file whole in itself (see ``journal_file``)."""
        with suppress(*ERRORS, OSError):  # then it is left as by a kill
            self._db.execute(f"PRAGMA user_version={CLOSED}")
            self._db.close()  # unless somebody reads it, all is in the file then, synced
            held = not beside(self.path, ".db-wal").exists()
            self._side.note(*self._kept, held=held, sync=False)
        self._side.close()

    def discard(self) -> None:
        """Close it, and remove the file if nothing was ever written to it."""
        self.close()
        if self._seq == 0 and not self.read_only:
            names = (".db", ".db-wal", ".db-shm", SUFFIX, ".lock")
            for path in [beside(self.path, name) for name in names]:
                path.unlink(missing_ok=True)

    # -- reading ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read again, for what was committed since it was opened."""
        fresh = Journal(self.path, read_only=True, boot=self._boot)
        fresh.close()
        self.rows, self.texts = fresh.rows, fresh.texts

    def follow(self) -> list[Row]:
        """The rows committed since the last look. For readers; the owner knows its own rows."""
        before = len(self.rows)
        self._load()
        return self.rows[before:]

    def _load(self) -> None:
        db, known = self._db, self._met
        self._record = recorded(self.path)  # before the rows, since a writer makes it after them
        try:
            db.execute("BEGIN")  # one snapshot: another process may be writing
            (mark,) = db.execute("PRAGMA user_version").fetchone()
            if not is_empty(db):
                new_texts = db.execute("SELECT * FROM text WHERE id > ? ORDER BY id", (known,))
                for number, name, body in new_texts:
                    self._take_text(number, name, body)
                for row in db.execute("SELECT * FROM log WHERE seq > ? ORDER BY seq", (self._seq,)):
                    self._take_row(*row)
            db.execute("COMMIT")
        except (*ERRORS, TypeError) as error:
            raise typed(self.path, error) from error
        self._compare(mark)
        self.is_older = bool(self._seq) and mark == FORMAT
        self._kept = (self._seq, self._chain)  # what the last commit covers

    def _compare(self, mark: int) -> None:
        """Hold the number of rows against the side record."""
        if self._record is not None:
            missing = lost(self._record, self._seq, self._boot)
            if self._record.rows and not mark:  # which is on the disk before any row
                missing = f"its file holds nothing, and {self._record.rows} rows are missing"
            if mark == FORMAT:  # of a version that made no side records
                missing = missing or "its mark is another than its side record goes with"
            if missing:
                raise damaged(self.path, missing)
        elif mark == OPEN and recorded(self.path) is None:  # its owner may just have made it
            name = side_of(self.path).name
            raise damaged(self.path, f"its side record {name} is missing or says nothing")

    def _take_text(self, number: int, name: bytes, body: bytes) -> None:
        if number != self._met + 1 or text_hash(body) != name:
            raise damaged(self.path, f"text {number} does not match its hash")
        self._met = number
        self._keep_text(number, name, body)

    def _keep_text(self, number: int, name: bytes, body: bytes) -> None:
        self._ids[name] = number
        self.texts[number] = body.decode("utf-8", "surrogatepass")

    def _take_row(self, seq: int, texts: int, body: bytes, chain: bytes) -> None:
        expected = link(self._chain, self._seq + 1, texts, body)
        if seq != self._seq + 1 or chain != expected:
            raise damaged(self.path, f"row {self._seq + 1} fails its checksum")
        if texts > self._met:
            raise damaged(self.path, f"text {self._met + 1} is missing")
        if self._record is not None and not agrees(self._record, seq, chain):
            raise damaged(self.path, f"row {seq} is not the one that its side record names")
        self._seq, self._chain = seq, chain
        try:
            row = _loads(body.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, f"row {seq} cannot be read: {error}") from error
        self._keep_row(row)

    def _keep_row(self, row: Row) -> None:
        self.rows.append(row)


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
