"""A connection that outlasts restarts of its server.

Rules
1. What is done is a function of a connection, done whole in one transaction, and done again where
   the server went away before it said so: so it must come to the same if it had been done.
2. After the database's ``patience_s`` it fails with StorageFailed, as it does for anything that
   will not pass.
3. What is called out while there is no connection is not heard: MISSED stands for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

from nlpu.errors import NlpuError, StorageFailed
from nlpu.postgres.connection import Connection, connect, passing, typed
from nlpu.runtime.fleet.items import side_of
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.journal.postgres.database import prepare
from nlpu.runtime.journal.where import Database

_T = TypeVar("_T")
_PAUSE_S: Final = 0.2
LOOK: Final = "look"  # what is called out to the workers of a batch: see what is new
LENT: Final = "lent"  # a part of the budget was given back
MISSED: Final = ""


class Patient:
    """One connection, of one thread at a time; opened when it is first used.

    listens: it hears what is called out (``statements.CALL``).
    """

    def __init__(self, database: Database, *, listens: bool = False) -> None:
        self.database, self._listens = database, listens
        self._db: Connection | None = None
        self._missed = list[str]()

    def do(self, work: Callable[[Connection], _T]) -> _T:
        """Have it done in one transaction (rule 1). Raises StorageFailed, Usage (rule 2)."""

        def whole(db: Connection) -> _T:
            with db.transaction():
                return work(db)

        return self._done(whole)

    def _done(self, work: Callable[[Connection], _T]) -> _T:
        end_s = time.monotonic() + self.database.patience_s
        while True:
            try:
                return work(self._connected())
            except psycopg.Error as error:
                self.close()
                if not passing(error) or time.monotonic() >= end_s:
                    raise typed(self.database, error) from None
                time.sleep(_PAUSE_S)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """Have one statement done, which is a transaction by itself; gives its rows."""

        def work(db: Connection) -> list[Any]:
            done = db.execute(statement.encode(), values)
            return done.fetchall() if done.description else []

        return self._done(work)

    def hear(self, wait_s: float) -> list[str]:
        """Give what was called out since, or is within a time; MISSED where some may be (rule 3).

        Raises Usage.
        """
        try:
            db = self._connected()
            missed, self._missed = self._missed, []
            if missed:
                return missed
            first = list(db.notifies(timeout=wait_s, stop_after=1))
            return [each.payload for each in (*first, *db.notifies(timeout=0))]
        except psycopg.Error:  # whoever asks next waits for the server, or says why not
            self.close()
            time.sleep(min(wait_s, _PAUSE_S))
            return [MISSED]

    def _connected(self) -> Connection:
        if self._db is None:
            self._db = connect(self.database)
            prepare(self._db, self.database)
            if self._listens:
                self._db.execute("LISTEN nlpu")
                self._missed = [MISSED]
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

    def stop(self, error: NlpuError) -> None:
        """Have all workers of the batch end."""
        why = [type(error).__name__, str(error), side_of(error)]
        self._do(sql.STOP, why=json.dumps(why))
        self.call()

    def call(self, what: str = LOOK) -> None:
        """Call something out to its workers."""
        self._do(sql.CALL, said=self.said(what))

    def said(self, what: str) -> str:
        """How something of this batch is called out."""
        return f"{what} {self._ids['journal']}"
