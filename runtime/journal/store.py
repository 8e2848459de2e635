"""What keeps the rows of runs: a protocol, for a file, for memory, and for a database.

Theory of operation
-------------------
A run is a row for each thing that happened, in order, and every distinct text once. Rows and texts
are numbered and chained run by run: a row's checksum covers the row and the one before it in its
run, so one that is lost, changed or out of order breaks the chain of its run. What is written is
buffered, and made durable in two phases: ``flush`` hands over all that is buffered and returns at
once; it gives a future, or None if all is durable on return.

    JournalStore    the protocol
    RunLog          one run's part of a store: what a run, its writer and its readers hold

What stores have in common is in ``buffered``.

Rules
1. ``flush`` is called when no other is under way; what is written meanwhile is of the next.
2. A batch is durable whole, or nothing of it is. What failed is dropped with all that was buffered
   behind it, as if it had never been, and the error is StorageFailed: raised, or the future's.
3. To read a run is to read its rows alone, whatever else the store holds.
4. Rows are data: nothing read back is evaluated or imported by itself.
5. A store belongs to one thread: a flush that ends elsewhere is posted there before its future is
   set. Who only reads has a store of their own.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

from nlpu.runtime.journal.where import Where

_HASH_BYTES: Final = 16
_NAMES_KEPT: Final = 4096

Row = list[Any]
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Found(NamedTuple):
    """What a store holds of a run, or has got since it was last looked at."""

    rows: list[Row]
    texts: dict[int, str]


class JournalStore(Protocol):
    """Keeps runs by number. See the module for what ``flush`` promises."""

    @property
    def keeps(self) -> bool:
        """Whether what is written is kept at all."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""

    @property
    def path(self) -> Where | None:
        """Where it is kept: its file, if it has one."""

    @property
    def dirty(self) -> bool:
        """Whether anything waits for a flush."""

    def runs(self) -> list[int]:
        """List the runs that were there when it was opened."""

    def read(self, run: int) -> Found:
        """Read all that is durable of a run. Raises JournalDamaged, StorageFailed."""

    def follow(self, run: int) -> Found:
        """Read what became durable of a run since the last look."""

    def text(self, run: int, text: str, name: bytes) -> int:
        """Number a text of a run, stored once; ``name`` is its hash."""

    def write(self, run: int, row: str, *, sync: bool = False) -> None:
        """Buffer a row, which is JSON. sync: its flush survives the loss of power."""

    def flush(self) -> Future[None] | None:
        """Make all that is buffered durable. Raises StorageFailed."""

    def close(self, *, discard: bool = False) -> None:
        """Give it up, with what is not durable. Idempotent.

        discard: and leave nothing behind where nothing was ever written.
        """


def text_hash(body: bytes) -> bytes:
    """Name a text that is stored."""
    return blake2b(body, digest_size=_HASH_BYTES).digest()


def text_bytes(text: str) -> bytes:
    """Encode a text as it is stored; error messages may hold lone surrogates, of file names."""
    return text.encode("utf-8", "surrogatepass")


def _name(text: str) -> bytes:
    return text_hash(text_bytes(text))


class RunLog:
    """One run's part of a store: what was found of it, and where more of it is written."""

    __slots__ = (
        "_lent",
        "_number",
        "keeps",
        "name",
        "path",
        "read_only",
        "rows",
        "run",
        "store",
        "texts",
        "write",
    )

    def __init__(self, store: JournalStore, run: int, found: Found | None = None) -> None:
        self.store, self.run = store, run
        self.keeps, self.path, self.read_only = store.keeps, store.path, store.read_only
        self.rows, self.texts = found or Found([], {})
        self.write = partial(store.write, run)  # as ``append``, for a row that is JSON already
        self._number = partial(store.text, run)
        self.name = lru_cache(_NAMES_KEPT)(_name)  # hashes a text
        self._lent = 0

    def text(self, text: str) -> int:
        """Number a text, stored once."""
        return self._number(text, self.name(text))

    def lend(self, text: str) -> int:
        """Number a text of another run for this process alone: below zero, and stored nowhere."""
        self._lent -= 1
        self.texts[self._lent] = text
        return self._lent

    def extend(self, found: Found) -> int:
        """Take more that was found; gives how many rows there were before."""
        before = len(self.rows)
        self.rows += found.rows
        self.texts |= found.texts
        return before

    def append(self, kind: str, *rest: Any, last: str = "", sync: bool = False) -> None:
        """Buffer one row: what belongs to its kind; ``last`` is JSON already."""
        if not self.keeps:
            return
        body = _dumps((kind, self.run, *rest))
        self.write(f"{body[:-1]},{last}]" if last else body, sync=sync)


class NoJournal:
    """For computers without a run directory: keeps nothing."""

    path = None
    keeps = dirty = read_only = False

    def runs(self) -> list[int]:
        """There are none."""
        return []

    def read(self, run: int) -> Found:
        """There is nothing."""
        return Found([], {})

    follow = read

    def text(self, run: int, text: str, name: bytes) -> int:
        """No text has a number here."""
        return 0

    def write(self, run: int, row: str, *, sync: bool = False) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing to write."""

    def close(self, *, discard: bool = False) -> None:
        """Nothing to close."""
