"""Seals: digests of rows, by which a store notices that one is not as it was written.

Theory of operation
-------------------
SQLite finds damage of its pages' structure, and of nothing that is in a row. A table of ours has a
column for a digest of all others. Triggers of the connection keep it, so that no statement that
writes a row has to know.

Rules
1. A row that is damaged stays known as that, whatever is changed of it.
2. A table of an earlier version is sealed as it is found.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Any

_KEPT = """
CREATE TEMP TRIGGER sealed_{table} AFTER INSERT ON main.{table} BEGIN
    UPDATE {table} SET seal = seal_of({new}) WHERE rowid = new.rowid; END;
CREATE TEMP TRIGGER resealed_{table} AFTER UPDATE OF {may_change} ON main.{table}
    WHEN old.seal IS seal_of({old}) BEGIN
    UPDATE {table} SET seal = seal_of({new}) WHERE rowid = new.rowid; END;
"""


def seal_of(*row: Any) -> bytes:
    """Give the digest of all that is in a row."""
    return blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def seal_rows(db: sqlite3.Connection, table: str, columns: str, may_change: str = "") -> None:
    """Have the rows of a table sealed from now on, by this connection.

    columns: all but the seal's own. may_change: those that are ever updated; none by default.
    """
    db.create_function("seal_of", -1, seal_of, deterministic=True)
    if "seal" not in [found[1] for found in db.execute(f"PRAGMA table_info({table})")]:
        db.execute(f"ALTER TABLE {table} ADD COLUMN seal BLOB")
        db.execute(f"UPDATE {table} SET seal = seal_of({columns})")
    every = columns.split(", ")
    new, old = (", ".join(f"{row}.{column}" for column in every) for row in ("new", "old"))
    kept = {"table": table, "may_change": may_change or every[0], "new": new, "old": old}
    db.executescript(_KEPT.format_map(kept))
