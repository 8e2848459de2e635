"""A journal of which sums are kept and nothing else: for ``run_folder``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from nlpu.runtime.journal.buffered import Buffered, Space, place
from nlpu.runtime.journal.odd_rows import check, odd
from nlpu.runtime.journal.sqlite import Journal, whose
from nlpu.runtime.journal.store import Row
from nlpu.runtime.journal.tally import Tally

BEGINNING = 1000  # bytes of a text


class Skim(Buffered, ABC):
    """What a journal is of which sums are kept."""

    sums: dict[int, Tally]

    def _keep_text(self, space: Space, name: bytes, body: bytes) -> None:
        """Nothing of it."""

    def _keep_row(self, space: Space, row: Row) -> None:
        run = whose(row) if self.joint else space.run
        tally = self.sums.setdefault(run or 0, Tally())
        tally.rows += 1
        at = space.rows if self.joint else tally.rows
        check(self.path, at, row, range(1, space.met + 1), run or 0, first=tally.rows == 1)
        if not tally.take(row):
            raise odd(self.path, at, row)

    @abstractmethod
    def start_of(self, run: int, number: int) -> tuple[bytes, int]:
        """Read the beginning of a text of a run, and how many bytes all of it is."""


class SkimFile(Skim, Journal):
    """One in a file; read when it is made."""

    def __init__(self, path: Path) -> None:
        self.sums = {}
        super().__init__(path, read_only=True)

    def start_of(self, run: int, number: int) -> tuple[bytes, int]:
        key, run = ("id", 1) if self.joint else ("place", run)
        query = f"SELECT substr(body, 1, ?), length(body) FROM text WHERE {key} = ?"
        found = self._db.execute(query, (BEGINNING, place(run, number))).fetchone()
        return found or (b"", 0)
