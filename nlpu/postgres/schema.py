"""A schema of a database that is ours: made and brought up to date by steps, which it counts.

Rules
1. Only a schema that has our mark, or is not there, is written to.
2. Steps are made by one process at a time, all that are missing or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from nlpu.errors import Usage
from nlpu.postgres.connection import Connection, Named

LOCK: Final = 0x4E4C5055  # "NLPU": of who makes a schema


@dataclass(frozen=True)
class Schema:
    """A schema by name, the mark that says whose it is, and the steps that make it."""

    name: str
    mark: str
    steps: Sequence[str]

    def of(self, statement: str) -> sql.Composed:
        """Write a statement about the schema, which stands there as ``{}``."""
        return sql.SQL(statement).format(sql.Identifier(self.name))


def prepare(db: Connection, database: Named, schema: Schema) -> None:
    """Make the schema, or bring it up to date (rules 1, 2). Raises Usage, psycopg.Error."""
    most = len(schema.steps)
    if steps_done(db, database, schema) == most:
        return
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        done = steps_done(db, database, schema)
        if not done:
            db.execute(schema.of("CREATE SCHEMA {}"))
            db.execute(schema.of("CREATE TABLE {}.meta (mark text NOT NULL, steps int NOT NULL)"))
            db.execute(schema.of("INSERT INTO {}.meta VALUES (%s, 0)"), (schema.mark,))
        for step in schema.steps[done:]:
            db.execute(step.encode())
        db.execute(schema.of("UPDATE {}.meta SET steps = %s"), (most,))


def is_there(db: Connection, schema: Schema) -> bool:
    """Tell whether there is a schema of that name."""
    # Not to_regnamespace: it may answer from before the lock that was waited for.
    asked = "SELECT FROM pg_namespace WHERE nspname = %s"
    return bool(db.execute(asked, (schema.name,)).fetchall())


def steps_done(db: Connection, database: Named, schema: Schema, *, least: int = 0) -> int:
    """Count the steps that were done; 0 where there is no schema. Raises Usage (rule 1)."""
    if not is_there(db, schema):
        return 0
    try:
        found = db.execute(schema.of("SELECT mark, steps FROM {}.meta")).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        found = []
    if [mark for mark, _ in found] != [schema.mark]:
        raise Usage(
            f"the database {database} has a schema {schema.name} that is not ours: name another"
        )
    done, most = int(found[0][1]), len(schema.steps)
    if not least <= done <= most:
        which = "a newer" if done > most else "an earlier"
        what = "upgrade nlpu" if done > most else "the next run that begins there brings it up"
        raise Usage(
            f"the database {database} was made by {which} version of nlpu (its schema is {done}, "
            f"this one's {max(least, most)}): {what}, or name another"
        )
    return done
