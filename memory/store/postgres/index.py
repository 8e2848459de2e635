"""The index of pages in a database: what they lack is asked of the database, not noted beside it.

Theory of operation
-------------------
As ``memory.store.index``, for vectors that lie beside the pages: each batch of them is one
transaction, and goes with its pages when these are forgotten. So there is no mark that could be
behind, and nothing to be compared. Several processes that embed the same new pages begin at
different batches, and leave out what another has done meanwhile.

Rules
1. The embedder and the anchors are the store's, also where another process has changed them since,
   but for an embedder that was asked for by name.
2. Vectors of different anchors have different names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlpu.memory.store.counters import Counters
from nlpu.memory.store.embedders import Embedder
from nlpu.memory.store.index import BATCH, DEFAULT_EMBEDDER, Index, Progress
from nlpu.memory.store.page import digest
from nlpu.memory.store.postgres.names import MemoryDatabase
from nlpu.memory.store.postgres.pages import PostgresPages
from nlpu.memory.store.postgres.vectors import PostgresVectors


class SharedIndex(Index):
    """The vectors of a database's pages."""

    disk: PostgresPages
    vectors: PostgresVectors

    def __init__(
        self,
        place: Any,
        disk: PostgresPages,
        embedder: str | Path | Embedder | None,
        counters: Counters,
    ) -> None:
        super().__init__(place, disk, embedder, counters)
        self._is_given = embedder is not None

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make both indexes again; how many pages were embedded."""
        self.disk.index_words()
        return super().rebuild(progress)

    def migrate(
        self, embedder: str | Path | Embedder, portable: bool, progress: Progress | None = None
    ) -> int:
        """Change the embedder, as in a folder; vectors of others are thrown away."""
        self._take_over()
        self._is_given = True
        done = super().migrate(embedder, portable, progress)
        self.vectors.clear_others()
        return done

    def forget(self, numbers: list[int]) -> None:
        """Forget anchors; vectors go with their pages."""
        self._take_over()
        super().forget(numbers)

    def count(self) -> int:
        """How many pages are in it."""
        return len(self.vectors.numbers())

    # -- helpers ------------------------------------------------------------------------------

    def _opened(self, *, empty: bool = False) -> PostgresVectors:
        name = self.embedder_name + (f" {digest(*self._anchors)}" if self._anchors else "")
        vectors = PostgresVectors(self.disk.link, name)
        if empty:
            vectors.clear()
        return vectors

    def _take_over(self) -> None:
        """Rule 1."""
        embedder = self._embedder
        if not self._is_given:
            embedder = self.disk.fact("embedder", DEFAULT_EMBEDDER)
        anchors = self.disk.listed("anchors")
        if (embedder, anchors) != (self._embedder, self._anchors):
            self._embedder, self._anchors = embedder, anchors
            self._reopen(anchors)

    def _follow(self, progress: Progress | None) -> int:
        self._take_over()
        lacking = self.vectors.lacking()
        parts = [lacking[start : start + BATCH] for start in range(0, len(lacking), BATCH)]
        first = self.disk.link.number() % len(parts) if parts else 0
        seen = done = 0
        for part in parts[first:] + parts[:first]:
            mine = self.vectors.lacking(part)
            self._embed(mine)
            seen, done = seen + len(part), done + len(mine)
            if progress is not None:
                progress(seen, len(lacking))
        if done and (self._is_given or self.disk.fact("embedder") is None):
            self.disk.set_fact("embedder", self.chosen)
        return done

    def _add_further(self, count: int) -> None:
        """Nothing counts them."""

    def _drop(self, numbers: list[int]) -> None:
        """They go with their pages."""


def opened_in(
    place: MemoryDatabase, embedder: str | Path | Embedder | None, counters: Counters, *, new: bool
) -> tuple[PostgresPages, SharedIndex]:
    """Open the pages of a memory, and their index. Raises Usage, StorageFailed."""
    pages = PostgresPages(place, new=new)
    try:
        return pages, SharedIndex(place, pages, embedder, counters)
    except BaseException:
        pages.close()
        raise
