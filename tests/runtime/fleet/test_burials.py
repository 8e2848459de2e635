"""Workers that are taken to be dead: nothing is lost with them, whatever they do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fleet_kit import INPUTS, crew

from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
import psycopg

from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.claims import Claims

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'"


def begun(work: Callable[[], Any], waits: Callable[[], Any]) -> tuple[Thread, list[Any]]:
    """Something that goes on meanwhile, once it is seen to wait, and what it has given."""
    found = list[Any]()
    thread = Thread(target=lambda: found.append(work()))
    thread.start()
    while thread.is_alive() and not waits():
        pass
    return thread, found


def entered(database: Database, folder: Path) -> Any:
    batch = crew(database, folder, INPUTS)
    batch.open()
    batch.enter()
    return batch


def test_who_is_settled_claims_nothing_meanwhile(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """Once its runs are given back: what it claimed then, nobody would have any more."""
    name = database.url.rpartition("/")[2]
    batch = entered(database, tmp_path)
    one, late = Claims(database, "batch", "1"), Claims(database, "batch", "2")
    asked = {"worker": late.worker, "settled": sql.SETTLED}
    with psycopg.connect(database.url) as db:
        for statement in (sql.DEAD, sql.BURY, sql.LEFT):
            db.execute(statement.encode(), asked)
        claiming, claimed = begun(
            lambda: late.claim([], 9, 1), lambda: postgres.do(WAITING.format(name), name)
        )
    claiming.join()
    assert claimed == [[]]
    assert len(one.claim([], 99, 1)) == len(INPUTS), "they are free"
    late.close()
    one.close()
    batch.close()


def test_a_server_that_has_no_connection_left_for_it_is_waited_for(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """What a dead one's runs took is read over another one. It ended who buried it, too."""
    name = database.url.rpartition("/")[2]
    batch = entered(database, tmp_path)
    dead = Claims(database, "batch", "1")
    assert len(dead.claim([], 3, 1)) == 3
    postgres.do(f"UPDATE nlpu.worker SET until_s = 0 WHERE id = {dead.worker}", name)
    postgres.do("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2 IN ROLE nlpu")
    url, log = postgres.url(name, user="few", password="few"), postgres.folder / "log"
    few = place_of(url)
    assert isinstance(few, Database)
    one = Claims(few, "batch", "2")
    with psycopg.connect(url):
        burying, buried = begun(one.bury, lambda: 'connections for role "few"' in log.read_text())
    burying.join()
    assert buried == [1]
    assert len(one.claim([], 99, 1)) == len(INPUTS)
    one.close()
    dead.close()
    batch.close()


def test_the_batch_is_held_by_who_is_left_though_the_last_that_was_heard_of_has_gone(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """After the database was away all are late: who leaves first takes itself to be the last."""
    name = database.url.rpartition("/")[2]
    batch = entered(database, tmp_path)
    one, other = Claims(database, "batch", "1"), Claims(database, "batch", "2")
    postgres.do(f"UPDATE nlpu.worker SET until_s = 0 WHERE id = {one.worker}", name)
    other.close()
    held = "SELECT owner, until_s > 0 FROM nlpu.journal"
    assert postgres.do(held, name) == [("", False)]
    postgres.do("UPDATE nlpu.journal SET changed_s = 0", name)
    one.beat()
    assert postgres.do(held, name) == [("workers", True)]
    one.close()
    batch.close()


def test_what_is_asked_often_looks_at_no_input_that_has_ended(
    database: Database, tmp_path: Path
) -> None:
    """Each claim had gone through all that its worker ever did."""
    batch = entered(database, tmp_path)
    one = Claims(database, "batch", "1")
    asked = {**one._ids, "settled": sql.SETTLED, "live": [], "given": [1], "start": 0, "most": 9}
    with psycopg.connect(database.url) as db:
        db.execute(
            "INSERT INTO nlpu.work (journal, run, name, nth, index, id, args, worker, state) "
            "SELECT journal, run + n, name || n, nth, index + n, id, args, %s, 'done' "
            "FROM nlpu.work, generate_series(100, 2000) AS n WHERE run = 1",
            (one.worker,),
        )
        db.execute("ANALYZE nlpu.work")

        def plan(statement: str) -> str:
            rows = db.execute(f"EXPLAIN {statement}".encode(), asked).fetchall()
            return "\n".join(line for (line,) in rows)

        for statement in (sql.MINE, sql.CLAIM_ALONE, sql.LEFT_TO_WORKERS, sql.COUNTS):
            found = plan(statement)
            assert "using open_work" in found and "Seq Scan on work " not in found
            assert "work_worker_idx" not in found
        assert "hashed SubPlan" in plan(sql.OUTCOMES), "what was given is not gone through for each"
    one.close()
    batch.close()
