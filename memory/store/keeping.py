"""What keeps pages must do, wherever they are: the disk level of a memory.

Its reads are ``queries``; ``store`` keeps pages in a file of SQLite, ``postgres`` in a database.

Rules
1. ``add`` is all or nothing; when it returns, the pages survive the death of the process.
2. Adding a page again adds nothing; its label becomes the join of both.
3. Numbers grow, and no number is used twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from nlpu.memory.store.embedder_folder import Vectors as Rows
from nlpu.memory.store.page import Page
from nlpu.memory.store.queries import Reading


class Keeping(Reading, ABC):
    """An open store of pages. ``add`` and the reads speak of pages by number and Page."""

    @abstractmethod
    def add(self, pages: Iterable[Page]) -> list[int]:
        """The numbers of the pages, those that are new stored (rules 1 and 2)."""

    @abstractmethod
    def remove(self, numbers: Iterable[int]) -> None:
        """Forget pages, and texts that no page holds any more."""

    @abstractmethod
    def set_credit(self, credits: dict[int, float], fade: float = 1.0) -> None:
        """Write what outcomes say about pages; that of all others is multiplied by ``fade``."""

    @abstractmethod
    def set_fact(self, name: str, value: Any) -> None:
        """Keep a single value."""

    @abstractmethod
    def set_file(self, source: str, digest: bytes | None) -> None:
        """Note that a source has been taken in as it is; None: forget that."""

    def taken(self, source: str, digest: bytes, numbers: list[int]) -> bool:
        """Note that a source has been taken in, as these pages; False where it has others by now,
        as another process takes it in, too."""
        self.set_file(source, digest)
        return True

    @abstractmethod
    def check(self) -> list[str]:
        """What is wrong with it, in words; nothing if it is whole."""

    @abstractmethod
    def close(self) -> None:
        """Close it. Idempotent."""


class Nearness(Protocol):
    """What keeps the vectors of one embedder's pages: ``vectors`` in files, ``postgres`` in rows.

    Of a long page there are several, one for each piece; it is as near as the nearest.
    """

    def add(self, numbers: Sequence[int], rows: Rows) -> None:
        """Give pages their vectors; a number that comes again is another piece of its page."""

    def remove(self, numbers: Iterable[int]) -> int:
        """Forget pages; how many further pieces they had."""

    def clear(self) -> None:
        """Throw all away."""

    def count(self) -> int:
        """How many vectors there are: of pages, and of further pieces."""

    def size(self) -> int:
        """How many numbers a vector has; 0 where there is none yet."""

    def numbers(self) -> set[int]:
        """The pages that have a vector."""

    def nearest(self, row: Any, most: int, besides: Collection[int] = ()) -> dict[int, float]:
        """The nearest pages and their cosines, nearest first; but for some."""

    def rows(self, numbers: Iterable[int]) -> dict[int, list[Any]]:
        """The vectors of pages, one for each piece; pages that have none are left out."""

    def close(self) -> None:
        """Release them."""
