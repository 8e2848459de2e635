"""The journals' schema: brought up to date, and what is asked of it without opening a journal.

Theory of operation
-------------------
All is in one schema, ``nlpu``. What is made there is a list of steps, of which ``nlpu.meta`` counts
those that were done (``nlpu.postgres.schema``):

    journal   one row for each computer's journal: how much of it there is, and whose it is
    text      every distinct text of a run once, with its hash
    log       one row for each thing that happened: as in SQLite, but by run
    batch, work, worker, lane, place
              a batch of many processes (``runtime.fleet.workers``): its inputs, who carries them
              out, and what all of them share

Rules
1. Whoever writes does the steps that are missing; who only reads does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg

from nlpu.errors import RunBusy
from nlpu.postgres import schema
from nlpu.postgres.connection import Connection, check_holds_all, connect, told, typed
from nlpu.postgres.schema import Schema
from nlpu.runtime.journal.postgres.owners import is_dead
from nlpu.runtime.journal.postgres.statements import DELETE, LOOK, SIZE, UNDONE
from nlpu.runtime.journal.postgres.steps import STEPS
from nlpu.runtime.journal.where import Database, Seat

MARK: Final = "journals of nlpu"


def database_of(url: str) -> Database:
    """Make a database of its URL. Raises Usage."""
    shown, has_password = told(url)
    return Database(url, shown, has_password=has_password)


def prepare(db: Connection, database: Database, steps: Sequence[str] = STEPS) -> None:
    """Make the schema, or bring it up to date (rule 1). Raises Usage, psycopg.Error."""
    schema.prepare(db, database, Schema("nlpu", MARK, steps))


def steps_done(
    db: Connection, database: Database, *, least: int = 0, steps: Sequence[str] = STEPS
) -> int:
    """Count the steps that were done; 0 where there is no schema. Raises Usage."""
    return schema.steps_done(db, database, Schema("nlpu", MARK, steps), least=least)


def reach(database: Database) -> None:
    """Raise StorageFailed where it lets nobody in now: for whoever has begun nothing of a batch.

    Raises Usage where it cannot hold one: inputs and outcomes are texts, not bytes as journals are.
    """
    try:
        with connect(database) as db:
            check_holds_all(db, database.told)
    except psycopg.Error as error:
        raise typed(database, error) from None


@contextmanager
def looking(database: Database) -> Iterator[Connection | None]:
    """Give a connection to read with; None where no journal ever was. Raises StorageFailed."""
    try:
        with connect(database) as db:
            yield db if steps_done(db, database, least=len(STEPS)) else None
    except psycopg.Error as error:
        raise typed(database, error) from None


def seats(database: Database, stem: str | None = None) -> list[Seat]:
    """List the journals, or the one that is asked for. Raises StorageFailed."""
    with looking(database) as db:
        return [] if db is None else seen(db, database, stem)


def seen(db: Connection, database: Database, stem: str | None = None) -> list[Seat]:
    """List the journals that a connection sees."""
    found = db.execute(LOOK, {"stem": stem})
    return [
        Seat(database, name, changed_s, owned and not is_dead(owner))
        for name, changed_s, owned, owner in found
    ]


def size(seat: Seat) -> int:
    """Count the bytes of a journal's rows, texts, inputs and outcomes. Raises StorageFailed."""
    with looking(seat.database) as db:
        found = db.execute(SIZE, {"stem": seat.stem}).fetchall() if db is not None else []
    return int(found[0][0]) if found else 0


def has_undone(seat: Seat) -> bool:
    """Tell whether a batch has an input that is not done. Raises StorageFailed."""
    with looking(seat.database) as db:
        return db is not None and bool(db.execute(UNDONE, {"stem": seat.stem}).fetchall())


def delete(seat: Seat) -> None:
    """Remove a journal, with all its runs.

    Raises RunBusy where somebody owns it or has changed it since it was looked at, StorageFailed.
    """
    asked = {"stem": seat.stem, "changed_s": seat.changed_s}
    with looking(seat.database) as db:
        if db is not None and not db.execute(DELETE, asked).fetchall():
            raise RunBusy(f"the journal {seat} is in use")
