"""Where journals are: in a folder, each a file, or in a database, for any number of machines.

Theory of operation
-------------------
Whoever opens, lists or looks at journals asks here, with a place, or where one journal is:

    place   a folder, or a ``Database``, which is named by a URL
    where   one journal: its file, or its ``Seat`` in a database

Rules
1. What a database needs is imported when one is named, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from nlpu.errors import Usage
from nlpu.postgres.urls import database_url, no_psycopg
from nlpu.runtime.journal import file
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import JournalStore
from nlpu.runtime.journal.where import Database, Place, Post, Seat, Where, at_once


def place_of(given: str | os.PathLike[str] | Database) -> Place:
    """Make a place of what names it: a folder, or a URL. Raises Usage, MissingPart."""
    if isinstance(given, Database):
        return given
    url = database_url(given, "runs")
    if url is None:
        return Path(given)
    try:
        from nlpu.runtime.journal.postgres.database import database_of  # rule 1
    except ImportError as error:
        raise no_psycopg("runs") from error
    return database_of(url)


def local(place: Place) -> Path:
    """Name the folder for what belongs to this machine alone, whatever keeps the runs."""
    return place if isinstance(place, Path) else Path(".nlpu", "runs")


def url_of(place: Place) -> str:
    """Name a place with all that opens it: not to be shown."""
    return place.url if isinstance(place, Database) else str(place)


def where_of(place: Place, stem: str) -> Where:
    """Say where a journal of a place is, or would be."""
    return place / f"{stem}.db" if isinstance(place, Path) else Seat(place, stem)


def journals(place: Place) -> list[Where]:
    """List the journals of a place. Raises Usage, StorageFailed."""
    if isinstance(place, Database):
        from nlpu.runtime.journal.postgres.database import seats

        return [*seats(place)]
    if place.exists() and not place.is_dir():
        raise Usage(f"{place} is no directory; --run-dir names the one where runs are journaled")
    return [*file.journals(place)]


def reading(place: Place) -> AbstractContextManager[Any]:
    """Give a connection for reading several journals of a database; None of a folder."""
    if isinstance(place, Path):
        return nullcontext()
    from nlpu.runtime.journal.postgres.database import looking

    return looking(place)


def again(where: Where) -> Where:
    """Look anew at where a journal is."""
    if isinstance(where, Path):
        return where
    from nlpu.runtime.journal.postgres.database import seats

    return next(iter(seats(where.database, where.stem)), where)


def size_of(where: Where) -> int:
    """Count the bytes that a journal takes."""
    if isinstance(where, Path):
        kept = [each for each in file.files_of(where) if each.suffix != ".db-shm" and each.exists()]
        return sum(each.stat().st_size for each in kept)  # who reads leaves an empty log
    from nlpu.runtime.journal.postgres.database import size

    return size(where)


def remove(where: Where) -> None:
    """Remove a journal, with all its runs. Raises RunBusy, StorageFailed."""
    if isinstance(where, Path):
        file.remove(where)
        return
    from nlpu.runtime.journal.postgres.database import delete

    delete(where)


def is_there(where: Where) -> bool:
    """Tell whether there is a journal, or should be."""
    if isinstance(where, Path):
        return file.is_there(where)
    from nlpu.runtime.journal.postgres.database import seats

    return bool(seats(where.database, where.stem))


def opened(
    where: Where,
    *,
    durable: bool = False,
    read_only: bool = False,
    run: int | Collection[int] | None = None,
    post: Post = at_once,
) -> JournalStore:
    """Open a journal; ``post`` has a step done by who writes it. Raises RunBusy, JournalDamaged,
    StorageFailed."""
    if isinstance(where, Path):
        return Journal(where, durable=durable, read_only=read_only, run=run)
    from nlpu.runtime.journal.postgres.store import PostgresStore

    return PostgresStore(where, read_only=read_only, post=post)
