"""A database as a place of runs: its name, its secrets, its faults, and its versions."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kit import echo, finish, said

from nlpu.errors import JournalDamaged, NlpuError, StorageFailed, Usage
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import journals, place_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database, Seat
from nlpu.runtime.settings import Settings
from nlpu.runtime.settings import read as read_settings
from nlpu.testing.scripted import Scripted

ROOT = Path(__file__).parents[3]
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


# -- names and secrets ----------------------------------------------------------------------------

SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=8, max_size=20).filter(
    lambda text: text.strip("0") == text
)
NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(secret=SECRETS, user=NAMES, name=NAMES, in_query=st.booleans())
def test_a_password_is_shown_nowhere(secret: str, user: str, name: str, in_query: bool) -> None:
    """Neither by what is printed of a place, nor by the error of a server that is not there."""
    word = quote(secret, safe="")
    assume(secret not in f"postgresql://{user}@127.0.0.1:1/{name}" and word != secret)
    user_part = user if in_query else f"{user}:{word}"
    query = f"?password={word}" if in_query else ""
    database = place_of(f"postgresql://{user_part}@127.0.0.1:1/{name}{query}")
    assert str(database) == f"postgresql://{user}@127.0.0.1:1/{name}"
    error = told(journals, database)
    machine = repr(Computer(Scripted(), store=database))
    for shown in (str(database), repr(database), error, machine):
        assert secret not in shown and word not in shown
    assert isinstance(database, Database) and database.has_password


@example(secret="0?@000000", user="a")
@given(secret=st.from_regex(r"[ -~]{2,8}[@/?%#:][ -~]{2,8}", fullmatch=True), user=NAMES)
def test_a_password_that_is_not_escaped_is_shown_nowhere(secret: str, user: str) -> None:
    """It may be read as a host, a port, a path or a query: then none of these is shown."""
    try:
        database = place_of(f"postgresql://{user}:{secret}@127.0.0.1:1/runs")
    except Usage as error:
        shown = str(error)
    else:
        shown = f"{database} {database!r} {told(journals, database)}"
    assert secret not in shown
    for part in re.split("[@/?%#:&=]", secret):
        assert len(part) < 6 or part not in shown


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite:///x", "https://h/d", "redis://h"])
def test_another_store_is_refused(url: str) -> None:
    assert "runs cannot be kept in a" in told(place_of, url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/ann:s3cret@h/runs",
        "postgresql:ann:s3cret@h/runs",
        "postgresql//ann:s3cret@h/runs",
        " postgresql://ann:s3cret@h/runs",
        '"postgresql://ann:s3cret@h/runs"',
        "'PostgreSQL://ann:s3cret@h/runs",
        " mysql://ann:s3cret@h/runs",
        "host=h user=ann password=s3cret dbname=runs",
        "password = 's3cret' host=h",
    ],
)
def test_a_url_with_a_slip_is_no_folder_and_shown_nowhere(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of that name would be made, with the password in it, and be told of."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "nlpu.toml"
    file.write_text(f"run_dir = {json.dumps(url)}")
    for what in ("run_dir", "store"):
        assert "s3cret" not in told(lambda: Settings().over({what: url}, lambda name: f": {name}"))  # noqa: B023
    assert "s3cret" not in told(place_of, url)
    assert "s3cret" not in told(read_settings)
    assert [*tmp_path.iterdir()] == [file]


def test_a_path_is_no_url() -> None:
    assert "not a path" in told(place_of, Path("postgresql://h/d"))
    assert place_of("runs") == Path("runs") == place_of(Path("runs"))
    for name in ("postgres/runs", "of postgresql", "year=2026/user=ann", "/srv/postgresql/16"):
        assert place_of(name) == Path(name)
    both = {"run_dir": "runs", "store": "runs"}
    with pytest.raises(Usage, match="give one"):
        Computer(Scripted(), **both)  # type: ignore[arg-type]


def test_no_secret_is_kept_of_a_run(postgres: Any) -> None:
    """Nothing in the database has the password that it was opened with."""
    url = postgres.fresh()
    name, secret = urlsplit(url).path[1:], urlsplit(url).password
    with Computer(Scripted(said), store=url) as machine:
        finish(machine.start(lambda: echo("a")))
    kept = postgres.do("SELECT body FROM nlpu.log UNION SELECT body FROM nlpu.text", name)
    kept += postgres.do("SELECT owner::bytea FROM nlpu.journal", name)
    assert len(kept) > 4 and secret
    assert not [body for (body,) in kept if secret.encode() in body]


def test_psycopg_is_imported_when_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys; from nlpu.runtime import Computer; from nlpu.testing import Scripted\n"
        "with Computer(Scripted(), run_dir='runs') as c: c.run(len, 'abc')\n"
        "import nlpu.runtime.terminal.show.run_folder as f; from pathlib import Path\n"
        "assert f.summaries(Path('runs'))[0]\n"
        "assert 'psycopg' not in sys.modules\n"
        "sys.modules['psycopg'] = None\n"
        "try: Computer(Scripted(), store='postgresql://h/d')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path])},
    )
    assert done.stdout.startswith("MissingPart runs in a database need psycopg: pip install"), done


# -- what is not as it should be ------------------------------------------------------------------


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


# -- what happens meanwhile -----------------------------------------------------------------------


def test_a_cut_connection_costs_nothing(postgres: Any) -> None:
    """Also where it is cut with the answer of a commit on its way: it is made once."""
    database = of(postgres.fresh())
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    with closing(store(database)) as one:
        for n in range(5):
            write(one, f"{n}", "same").result(PATIENCE_S)
            postgres.do(cut.format(database.url.rpartition("/")[2]))
        unheard(one)
        write(one, "last").result(PATIENCE_S)
        write(one, "after").result(PATIENCE_S)
        postgres.do(cut.format(database.url.rpartition("/")[2]))
    assert read(database) == [x for n in range(5) for x in (f"{n}", "same")] + ["last", "after"]
    store(database).close()  # nobody has it: it was given up, over another connection


def unheard(store: Any) -> None:
    """Have the next commit be made, and its answer lost with the connection."""
    commit = store._lease.commit

    def made(db: Any, batch: Any, *, again: bool) -> Any:
        store._lease.commit = commit
        assert commit(db, batch, again=again) is None
        store._lease._facts["commits"] -= 1  # as far as is known
        db.close()
        return commit(db, batch, again=again)  # raises, as the connection is closed

    store._lease.commit = made


def test_a_commit_that_was_given_up_and_made_is_followed_by_none(postgres: Any) -> None:
    """What came of it was not known, so all that builds on it fails, as after a kill."""
    database = of(postgres.fresh(), patience_s=0)
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        unheard(one)
        with pytest.raises(StorageFailed):
            write(one, "made").result(PATIENCE_S)
        for _ in range(2):
            with pytest.raises(StorageFailed, match="has been made after all"):
                write(one, "other").result(PATIENCE_S)
    assert read(database) == ["before", "made"]


def test_a_server_that_comes_back_in_time_is_waited_for(postgres: Any) -> None:
    database = of(postgres.fresh())
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        postgres.kill(signal.SIGINT)
        done = write(one, "while it was away")
        postgres.start()
        done.result(PATIENCE_S)
    assert read(database) == ["before", "while it was away"]


def test_one_that_does_not_come_back_is_a_failure_and_loses_nothing(postgres: Any) -> None:
    database = of(postgres.fresh(), patience_s=0.3)
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        postgres.kill(signal.SIGINT)
        try:
            with pytest.raises(StorageFailed, match="what was finished before is kept"):
                write(one, "while it was away").result(PATIENCE_S)
            assert "See that it is up and can be reached" in told(journals, database)
        finally:
            postgres.start()
        write(one, "after").result(PATIENCE_S)
    assert read(database) == ["before", "after"]


def test_a_run_survives_the_end_of_its_server(postgres: Any) -> None:
    """Killed as a machine is, on the way: calls go on, each sent once; the result is the same."""
    database = of(postgres.fresh(), patience_s=PATIENCE_S)
    engine, crashes = Scripted(said), [1, 3]

    def program() -> list[str]:
        texts = []
        for n in range(6):
            texts.append(str(echo(f"{n}")))
            if n in crashes:
                crashes.remove(n)
                postgres.crash()
        return texts

    with Computer(engine, store=database) as machine:
        run = finish(machine.start(program))
    assert run.result == [f"{n}" for n in range(6)]
    assert len(engine.seen) == 6
    postgres.settle()
    silent = Scripted("never")
    with Computer(silent, store=database) as machine:
        assert finish(machine.resume(run.name, program)).result == run.result
    assert silent.seen == []


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
