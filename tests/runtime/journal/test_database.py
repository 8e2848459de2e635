"""A database as a place of runs: who may use it, its versions, and damage to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from database_kit import PATIENCE_S, of, read, store, told, write
from kit import echo, finish, said

from nlpu.errors import JournalDamaged
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import journals, place_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database, Seat
from nlpu.testing.scripted import Scripted


def test_who_may_not_in_is_told_so(postgres: Any) -> None:
    url = postgres.fresh()
    name = urlsplit(url).path[1:]
    wrong = told(journals, place_of(postgres.url(name, password="wrong-word")))
    assert "password authentication failed" in wrong and "PGPASSWORD" in wrong
    assert "wrong-word" not in wrong and postgres.url(name) not in wrong
    nowhere = told(store, of(postgres.url("nowhere")))
    assert "does not exist" in nowhere and "createdb" in nowhere
    postgres.do("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
    weak = told(store, of(postgres.url(name, user="weak", password="weak-password")))
    assert "permission denied" in weak and "GRANT what is missing" in weak


def test_who_may_only_look_looks(postgres: Any) -> None:
    url = postgres.fresh()
    name = urlsplit(url).path[1:]
    with closing(store(of(url))) as one:
        write(one, "a").result(PATIENCE_S)
    postgres.do("CREATE ROLE looks LOGIN PASSWORD 'looks-password'")
    postgres.do("GRANT USAGE ON SCHEMA nlpu TO looks", name)
    postgres.do("GRANT SELECT ON ALL TABLES IN SCHEMA nlpu TO looks", name)
    looks = of(postgres.url(name, user="looks", password="looks-password"))
    assert read(looks) == ["a"] and len(journals(looks)) == 1
    assert "permission denied" in told(store, looks)


def test_a_database_of_somebody_else_is_left_alone(postgres: Any) -> None:
    for schema in ("CREATE TABLE nlpu.log ()", "CREATE TABLE nlpu.meta (mark text, steps int)"):
        url = postgres.fresh()
        name = urlsplit(url).path[1:]
        postgres.do("CREATE SCHEMA nlpu", name)
        postgres.do(schema, name)
        for look in (store, journals):
            assert "not ours" in told(look, of(url))
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'nlpu'"
        assert postgres.do(tables, name) == [(1,)]


def test_versions_of_the_schema(postgres: Any) -> None:
    """An older one is brought up to date with what it holds; a newer one is left alone."""
    import psycopg

    from nlpu.runtime.journal.postgres.database import STEPS, connect, prepare, steps_done

    database = of(postgres.fresh())
    with closing(store(database)) as one:
        write(one, "a").result(PATIENCE_S)
    later = (*STEPS, "ALTER TABLE nlpu.journal ADD COLUMN note text")
    with connect(database) as db:
        older = told(lambda: steps_done(db, database, least=len(later), steps=later))
        assert "made by an earlier version" in older
        prepare(db, database, later)
        prepare(db, database, later)
        assert db.execute("SELECT note FROM nlpu.journal").fetchall() == [(None,)]
    for look in (store, journals):
        newer = told(look, database)
        assert f"a newer version of nlpu (its schema is {len(later)}" in newer
        assert "upgrade" in newer
    postgres.do("UPDATE nlpu.meta SET steps = steps - 1", database.url.rpartition("/")[2])
    assert read(database) == ["a"]
    broken = (*STEPS, "ALTER TABLE nlpu.journal ADD COLUMN more text", "nonsense")
    with connect(database) as db:
        with pytest.raises(psycopg.Error):
            prepare(db, database, broken)
        assert steps_done(db, database) == len(STEPS), "all steps, or none"


def test_many_find_an_empty_database_at_once(postgres: Any) -> None:
    """One makes the schema, and the others wait for it."""
    for _ in range(5):
        database = of(postgres.fresh())
        gate = Barrier(8)

        def begin(number: int, database: Database = database, gate: Barrier = gate) -> None:
            gate.wait(PATIENCE_S)
            with closing(store(database, f"j{number}")) as one:
                write(one, f"{number}").result(PATIENCE_S)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(begin, range(8)))
        assert [read(database, f"j{n}") for n in range(8)] == [[f"{n}"] for n in range(8)]


def test_damage_is_found(postgres: Any) -> None:
    """A row that is gone, changed, or put elsewhere; a text that is another."""
    from nlpu.runtime.journal.postgres.store import PostgresStore

    for at, harm in enumerate(
        (
            "DELETE FROM nlpu.log WHERE seq = 3",
            "DELETE FROM nlpu.log WHERE seq = 2",
            "UPDATE nlpu.log SET body = '[\"row\",1,9]'::bytea WHERE seq = 2",
            "UPDATE nlpu.log SET seq = seq + 10 WHERE seq = 3",
            "UPDATE nlpu.text SET body = 'b'::bytea WHERE place = 1",
            "DELETE FROM nlpu.text WHERE place = 2",
            "DELETE FROM nlpu.text WHERE place = 3",
        )
    ):
        database, stem = of(postgres.fresh()), f"j{at}"
        with closing(store(database, stem)) as one:
            write(one, "a", "b", "c").result(PATIENCE_S)
        postgres.do(harm, database.url.rpartition("/")[2])
        with pytest.raises(JournalDamaged, match=f"{stem} in postgresql://nlpu@"):
            read(database, stem)
        with pytest.raises(JournalDamaged), closing(PostgresStore(Seat(database, stem))) as again:
            again.read(1)


def test_to_read_a_run_its_own_rows_are_looked_at(postgres: Any) -> None:
    """All are counted once, when a journal is opened: not again for each run that goes on."""
    database = of(postgres.fresh())
    with closing(store(database)) as one:
        for run in (1, 2):
            log = RunLog(one, run)
            log.append("row", log.text(f"{run}"))
        one.flush().result(PATIENCE_S)
    with closing(store(database)) as again:
        postgres.do("DELETE FROM nlpu.log WHERE seq = 2", database.url.rpartition("/")[2])
        assert list(again.read(1)[1].values()) == ["1"]
        with pytest.raises(JournalDamaged):
            store(database, read_only=True)


def test_no_byte_can_change(postgres: Any) -> None:
    """Whatever of a row or a text is another: it is found, and put back all is as it was."""
    database = of(postgres.fresh())
    name = database.url.rpartition("/")[2]
    with closing(store(database)) as one:
        write(one, "a", "bc").result(PATIENCE_S)
        write(one, "a").result(PATIENCE_S)
    parts = [("log", "seq", part) for part in ("body", "chain")]
    parts += [("text", "place", part) for part in ("body", "hash")]
    flips = 0
    for table, key, part in parts:
        sizes = postgres.do(f"SELECT {key}, octet_length({part}) FROM nlpu.{table}", name)
        for at, size in sizes:
            for byte in range(size):
                flip = (
                    f"UPDATE nlpu.{table} SET {part} = set_byte({part}, {byte}, "
                    f"get_byte({part}, {byte}) # 4) WHERE {key} = {at}"
                )
                postgres.do(flip, name)
                with pytest.raises(JournalDamaged):
                    read(database)
                postgres.do(flip, name)
                flips += 1
    assert flips > 80 and read(database) == ["a", "bc", "a"]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_holds_all_texts(postgres: Any, encoding: str) -> None:
    name = encoding.lower()
    postgres.do(f"CREATE DATABASE {name} ENCODING {encoding} TEMPLATE template0")
    database = of(postgres.url(name))
    with closing(store(database)) as one:
        write(one, "中文 \ud800 \0 é").result(PATIENCE_S)
    assert read(database) == ["中文 \ud800 \0 é"]
    assert len(journals(database)) == 1


def test_several_computers_share_a_database(postgres: Any) -> None:
    database = of(postgres.fresh())
    with (
        Computer(Scripted(said), store=database) as one,
        Computer(Scripted(said), store=database) as other,
    ):
        runs = [m.start(lambda: echo.map(["a", "b"])) for m in (one, other, one)]
        assert [finish(run).result for run in runs] == [["a", "b"]] * 3
    assert len({run.name for run in runs}) == 3
    assert len(journals(database)) == 2


def test_what_ran_here_goes_on_there(postgres: Any, tmp_path: Path) -> None:
    """A journal is the same wherever it is kept: results, receipts, and what is reused."""
    database = of(postgres.fresh())
    found = []
    for place in (database, tmp_path):
        with Computer(Scripted(said), store=place) as machine:
            run = finish(machine.start(lambda: echo.map(["a", "b", "a"])))
        with Computer(Scripted("never"), store=place) as machine:
            again = finish(machine.resume(run.name, lambda: echo.map(["a", "b", "a"])))
        found.append((run.result, run.receipt.calls, again.result, again.receipt.reused))
    assert found[0] == found[1]
