"""A store in memory: a run that can be read back without a file, and a database in miniature.

Theory of operation
-------------------
What is durable is on a ``Shelf``, which outlives the stores that are opened on it: to drop a store
and open another is to be killed and come back. With ``later`` its commits take time, as those of a
database over the network do: ``flush`` returns a future, and what ``later`` is given makes the
batch durable, whenever it is called.

Rules
1. A shelf that has no room for a batch takes nothing of it, as a full disk does.
2. A store that was closed makes nothing durable any more, whatever is under way.
3. What ``later`` is given is called on the thread that the store belongs to, or while that waits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from nlpu.errors import StorageFailed
from nlpu.runtime.journal.buffered import Batch, Buffered, Space, run_at
from nlpu.runtime.journal.store import Found

Later = Callable[[Callable[[], None]], object]


@dataclass
class Shelf:
    """What is durable, by run: rows (seq, texts, body, chain) and texts (place, name, body).

    room: how many rows it takes.
    """

    rows: dict[int, list[tuple[int, int, bytes, bytes]]] = field(default_factory=dict)
    texts: dict[int, list[tuple[int, bytes, bytes]]] = field(default_factory=dict)
    room: float = float("inf")
    last: int = 0

    def put(self, batch: Batch) -> None:
        """Take a batch whole. Raises StorageFailed (rule 1)."""
        if len(batch.rows) > self.room:
            raise StorageFailed("the shelf is full: what was finished before is kept")
        self.room -= len(batch.rows)
        for text in batch.texts:
            self.texts.setdefault(run_at(text[0]), []).append(text)
        for row in batch.rows:
            self.rows.setdefault(run_at(row[1]), []).append(row)
            self.last = row[0]


class MemoryStore(Buffered):
    """An open store. See the module for ``later``; without it commits are durable at once."""

    def __init__(
        self, shelf: Shelf | None = None, *, later: Later | None = None, read_only: bool = False
    ) -> None:
        super().__init__()
        self.shelf = Shelf() if shelf is None else shelf
        self.read_only = read_only
        self._later = later
        self._seq = self._kept_seq = self.shelf.last
        self._looked: dict[int, tuple[int, int]] = {}  # rows and texts by run
        self._closed = False

    def runs(self) -> list[int]:
        """List the runs that are there."""
        return sorted(self.shelf.rows)

    def read(self, run: int) -> Found:
        """Read all that is durable of a run."""
        fresh = self.read_only and run not in self._looked
        return (self if fresh else MemoryStore(self.shelf, read_only=True)).follow(run)

    def follow(self, run: int) -> Found:
        """Read what became durable of a run since the last look. For readers."""
        rows, texts = (kept.get(run, []) for kept in (self.shelf.rows, self.shelf.texts))
        before = self._looked.get(run, (0, 0))
        self._looked[run] = len(rows), len(texts)
        self._take(texts[before[1] :], rows[before[0] :])
        return self.found.pop(run, None) or Found([], {})

    def flush(self) -> Future[None] | None:
        """Make all that is buffered durable. Raises StorageFailed."""
        if not self.dirty:
            return None
        batch = self.take()
        if self._later is None:
            self._put(batch)
            return None
        done: Future[None] = Future()

        def finish() -> None:
            try:
                self._put(batch)
            except StorageFailed as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self._later(finish)
        return done

    def _put(self, batch: Batch) -> None:
        try:
            if self._closed:  # rule 2
                raise StorageFailed("the store was closed before this was durable")
            self.shelf.put(batch)
        except StorageFailed:
            self.drop(batch)
            raise
        self.keep(batch)

    def _end_of(self, run: int) -> Space:
        fresh = MemoryStore(self.shelf, read_only=True)
        fresh.follow(run)
        return fresh.spaces.get(run) or super()._end_of(run)

    def close(self, *, discard: bool = False) -> None:
        """Give it up; what is on the shelf stays there. Idempotent."""
        self._closed = True
