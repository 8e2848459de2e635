"""A journal's store in a database: opened, written, read, and what its errors say."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from nlpu.errors import NlpuError
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database, Seat

PATIENCE_S = 60
pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


def of(url: str, **more: float) -> Database:
    found = place_of(url)
    assert isinstance(found, Database)
    return Database(found.url, found.told, found.has_password, **more)


def store(database: Database, stem: str = "run", **more: Any) -> Any:
    from nlpu.runtime.journal.postgres.store import PostgresStore

    return PostgresStore(Seat(database, stem), **more)


def write(store: Any, *texts: str) -> Any:
    log = RunLog(store, 1)
    for text in texts:
        log.append("row", log.text(text))
    return store.flush()


def read(database: Database, stem: str = "run") -> list[str]:
    with closing(store(database, stem, read_only=True)) as reader:
        rows, texts = reader.read(1)
    return [texts[row[2]] for row in rows]


def told(call: Any, *args: Any) -> str:
    with pytest.raises(NlpuError) as caught:
        call(*args)
    return str(caught.value)
