"""A connection that outlasts restarts of its server.

Rules
1. What is done is a function of a connection, done whole in one transaction, and done again where
   the server went away before it said so: so it must come to the same if it had been done.
2. After the database's ``patience_s`` it fails with StorageFailed, as it does for anything that
   will not pass.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

from nlpu.errors import StorageFailed
from nlpu.postgres.connection import Connection, connect, passing, typed
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.journal.postgres.database import prepare
from nlpu.runtime.journal.where import Database

_T = TypeVar("_T")
_PAUSE_S: Final = 0.2


class Patient:
    """One connection, of one thread at a time; opened when it is first used."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._db: Connection | None = None

    def do(self, work: Callable[[Connection], _T]) -> _T:
        """Have it done in one transaction (rule 1). Raises StorageFailed, Usage (rule 2)."""
        end_s = time.monotonic() + self.database.patience_s
        while True:
            try:
                db = self._connected()
                with db.transaction():
                    return work(db)
            except psycopg.Error as error:
                self.close()
                if not passing(error) or time.monotonic() >= end_s:
                    raise typed(self.database, error) from None
                time.sleep(_PAUSE_S)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """Have one statement done; gives its rows."""

        def work(db: Connection) -> list[Any]:
            done = db.execute(statement.encode(), values)
            return done.fetchall() if done.description else []

        return self.do(work)

    def _connected(self) -> Connection:
        if self._db is None:
            self._db = connect(self.database)
            prepare(self._db, self.database)
        return self._db

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(psycopg.Error):
                db.close()


class BatchRows:
    """A batch's rows in a database, as either end has them: who drives it, or a worker."""

    stem: str
    _db: Patient
    _ids: dict[str, Any]  # of the journal, and of who asks

    def _do(self, statement: str, **values: Any) -> list[Any]:
        return self._db.ask(statement, **self._ids, settled=sql.SETTLED, **values)

    def _row(self, statement: str) -> Any:
        return self.there(self._do(statement))

    def there(self, rows: list[Any]) -> Any:
        """Give the first of the rows that a batch has. Raises StorageFailed where it is gone."""
        if not rows:
            raise StorageFailed(
                f"the batch {self.stem} is gone from {self._db.database}: somebody removed it and "
                "what was answered (nlpu runs prune does); the same command begins it anew"
            )
        return rows[0]

    def facts(self) -> dict[str, Any]:
        """What was noted of the batch."""
        found: dict[str, Any] = json.loads(self._row(sql.FACTS)[0])
        return found

    def note(self, **facts: Any) -> None:
        """Note what it is."""
        self._do(sql.NOTE, facts=json.dumps(facts))
