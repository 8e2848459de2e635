"""The connection of an open memory to its database: opened when it is needed, and once more where
it was cut.

Rules
1. What met a server that restarts, or a cut connection, is done again for ``patience_s``: a read,
   or a whole transaction. All but ``once`` come to the same if they are done twice.
2. A transaction that writes holds the row of ``meta``: writers go one by one, and numbers of pages
   in the order of their commits.
3. One statement at a time, from whatever thread.
4. Only a schema that is ours is written to, in a database that holds every text (UTF8).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql

from nlpu.errors import StorageFailed, Usage
from nlpu.memory.store.postgres.names import MemoryDatabase
from nlpu.memory.store.postgres.statements import HOLD
from nlpu.memory.store.postgres.steps import STEPS
from nlpu.postgres.connection import Connection, check_holds_all, connect, passing, typed
from nlpu.postgres.schema import LOCK, Schema, is_there, prepare, steps_done

MARK: Final = "pages of nlpu"
R = TypeVar("R")
_KEPT: Final = "what was written before is kept"
_PAUSE_S: Final = 0.2
_HOME: Final = """
    SELECT nspname FROM pg_extension JOIN pg_namespace AS home ON home.oid = extnamespace
    WHERE extname = 'vector'"""


class Link:
    """A connection to the schema of a memory. Raises Usage, StorageFailed."""

    def __init__(self, place: MemoryDatabase, *, new: bool) -> None:
        self.place = place
        self._schema = Schema(place.schema, MARK, STEPS)
        self.thread = threading.RLock()  # who has it alone asks
        self._closing = threading.Event()
        self._db: Connection | None = None
        self._inside = False  # of a transaction
        with self.errors():
            self._db = self._opened(new=new)

    def close(self) -> None:
        """End the connection. Idempotent."""
        self._closing.set()
        with self.thread:
            self._disconnect()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Have the database's errors typed."""
        try:
            yield
        except psycopg.Error as error:
            raise typed(self.place, error, _KEPT) from None

    def number(self) -> int:
        """Give a number that no other connection to the server has."""
        return int(self._do(lambda db: db.info.backend_pid))

    def ask(self, statement: str, values: Any = ()) -> list[Any]:
        """Give the rows that are found."""
        return self._do(lambda db: _rows(db, statement, values))

    def write(self, job: Callable[[Connection], R], *, once: bool = False) -> R:
        """Do a job in one transaction; ``once``: a second time would be another (rules 1, 2)."""
        if once:
            self.ask("SELECT 1")  # whatever cut the connection before has no part in it

        def whole(db: Connection) -> R:
            with db.transaction():
                db.execute(HOLD)
                before, self._inside = self._inside, True
                try:
                    return job(db)
                finally:
                    self._inside = before

        return self._do(whole, once=once)

    def _do(self, job: Callable[[Connection], R], *, once: bool = False) -> R:
        with self.thread, self.errors():
            if self._inside:
                return job(self._db)
            end_s = time.monotonic() + self.place.patience_s
            while True:
                try:
                    return job(self._connected())
                except psycopg.Error as error:
                    if not passing(error):
                        raise
                    self._disconnect()
                    if once or time.monotonic() >= end_s or self._closing.wait(_PAUSE_S):
                        raise

    def _connected(self) -> Connection:
        if self._closing.is_set():
            raise StorageFailed(f"cannot use the memory {self.place}: it has been closed")
        if self._db is None:
            self._db = self._opened(new=False)
        return self._db

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(psycopg.Error):
                db.close()

    # -- opening ------------------------------------------------------------------------------

    def _opened(self, *, new: bool) -> Connection:
        db = connect(self.place)
        try:
            if not new and not is_there(db, self._schema):
                raise Usage(
                    f"there is no memory in {self.place}; make one: nlpu memory ingest FILE... "
                    "--store with the same URL"
                )
            steps_done(db, self.place, self._schema)
            self._enter(db)
            prepare(db, self.place, self._schema)
        except BaseException:
            db.close()
            raise
        return db

    def _enter(self, db: Connection) -> None:
        """Have names without a schema be those of the memory, and of pgvector."""
        check_holds_all(db, self.place.told)
        home = db.execute(_HOME).fetchall() or self._with_vectors(db)
        names = sql.Identifier(self._schema.name), sql.Identifier(home[0][0])
        db.execute(sql.SQL("SET search_path TO {}, {}").format(*names))

    def _with_vectors(self, db: Connection) -> list[Any]:
        """Add pgvector to the database. Raises Usage where that cannot be."""
        try:
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            raise Usage(
                f"the database {self.place.told} has no pgvector, which pages need: install it on "
                "its server (Debian: postgresql-17-pgvector), or name another"
            ) from None
        except psycopg.errors.InsufficientPrivilege:
            raise Usage(
                f"the database {self.place.told} has no pgvector yet, and its user may not add it: "
                "have its owner do CREATE EXTENSION vector, or name another"
            ) from None
        return list(db.execute(_HOME).fetchall())


def _rows(db: Connection, statement: str, values: Any) -> list[Any]:
    done = db.execute(statement, values)
    return done.fetchall() if done.description else []
