"""A journal in a database of which sums are kept: for ``nlpu runs`` (see ``run_folder``)."""

from __future__ import annotations

from nlpu.postgres.connection import Connection
from nlpu.runtime.journal.postgres.store import PostgresStore
from nlpu.runtime.journal.where import Seat
from nlpu.runtime.terminal.show.skim import BEGINNING, Skim


class SeatSkim(Skim, PostgresStore):
    """Read when it is made."""

    def __init__(self, seat: Seat, db: Connection | None) -> None:
        self.sums = {}
        super().__init__(seat, read_only=True, db=db)
        for run in self.runs():
            self.follow(run)

    def start_of(self, run: int, number: int) -> tuple[bytes, int]:
        """Read the beginning of a text of a run, and how many bytes all of it is."""
        return self.beginning(run, number, BEGINNING)
