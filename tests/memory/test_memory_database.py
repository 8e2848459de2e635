"""A memory in a database: names and secrets, servers and connections; and where it cannot be, what
is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from memory_database_kit import name_of, of, process, told, url
from memory_kit import memory

from nlpu.errors import StorageFailed
from nlpu.label import USER
from nlpu.memory.controller import Memory
from nlpu.memory.store.page import Page
from nlpu.memory.store.postgres.names import beside, place_of

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
__all__ = ["url"]


def test_a_database_holds_several_memories(url: str) -> None:
    with memory(url) as one, memory(f"{url}#notes of Ann") as other:
        one.write("Seven bees.")
        other.write("Nine trains.")
        assert [page.page.text for page in one.search("bees trains")] == ["Seven bees."]
        assert [page.page.text for page in other.search("bees trains")] == ["Nine trains."]
    assert beside("people", "ann") == "people/ann"
    assert beside(url, "ann") == f"{url}#ann" and beside(f"{url}#x", "ann") == f"{url}#x-ann"
    for name in ("-", "a;b", 'a"b', "é" * 25, ""):
        assert "a name of letters" in told(place_of, f"{url}#{name}")


def test_a_password_is_shown_nowhere(postgres: Any, url: str) -> None:
    wrong = postgres.url(name_of(url), password="wr%2Fng-w%40rd").replace("%25", "%")
    refused = told(memory, wrong)
    assert "password authentication failed" in refused and "PGPASSWORD" in refused
    with memory(url) as store:
        shown = f"{store!r} {store.levels.disk.path!r} {refused} {place_of(wrong)}"
    for secret in ("s3cret", "wr/ng", "w@rd", "w%40rd", "wr%2F"):
        assert secret not in shown
    assert (
        place_of(f"{wrong}#notes").told
        == f"postgresql://nlpu@127.0.0.1:{postgres.port}/{name_of(url)}"
    )
    assert "#" in str(place_of("postgresql://u:pa%23ss@h/d#notes"))
    assert place_of("postgresql://u:pa#ss@h/d").name == "memory"


def test_other_names_are_refused() -> None:
    assert "pages cannot be kept in a mysql:// store" in told(Memory, "mysql://h/d")
    assert "not a path" in told(Memory, Path("postgresql://h/d"))


def test_psycopg_is_imported_when_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys; from nlpu import Memory\n"
        "with Memory('m') as m: m.write('a')\n"
        "assert 'psycopg' not in sys.modules\n"
        "sys.modules['psycopg'] = None\n"
        "try: Memory('postgresql://h/d')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = process(tmp_path, code)
    assert done.stdout.startswith("MissingPart pages in a database need psycopg: pip install"), done


def test_a_cut_connection_and_a_server_that_comes_back_cost_nothing(
    postgres: Any, url: str
) -> None:
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"
    with memory(url) as store:
        for n in range(3):
            store.write(f"page {n}")
            postgres.do(cut)
        assert len(store.search("page")) == 3
        postgres.crash()
        store.write("while it was away")
        assert len(store.search("page away")) == 4 and store.check() == []
        postgres.settle()
    with memory(url) as store:
        assert store.levels.disk.count() == 4


def test_a_server_that_stays_away_is_told_and_loses_nothing(postgres: Any, url: str) -> None:
    import signal

    store = memory(of(url, patience_s=0.3))  # type: ignore[arg-type]
    store.write("before")
    postgres.kill(signal.SIGINT)
    try:
        with pytest.raises(StorageFailed, match="what was written before is kept"):
            store.write("while it was away")
        assert "Connection refused" in told(memory, url)
    finally:
        postgres.start()
    store.write("after")
    store.close()
    store.close()
    assert "has been closed" in told(store.write, "too late")
    with memory(url) as store:
        pages = store.levels.pages(store.levels.disk.numbers())
        assert [page.text for page in pages.values()] == ["before", "after"]


def test_a_write_that_fails_on_its_way_leaves_nothing(url: str) -> None:
    with memory(url) as store:
        refused = told(store.write_pages, [Page("whole", "s"), Page("x", "a\0b")])
        assert "U+0000" in refused and store.levels.disk.count() == 0
        assert store.check() == []
        store.write("a\0b", source="s", label=USER)
        assert store.search("b", most=1)[0].page.text == "a\0b"


def test_who_cannot_be_let_in_is_told_so(postgres: Any, url: str) -> None:
    assert "createdb" in told(memory, postgres.url("nowhere"))
    assert "there is no memory in" in told(memory, url, new=False)
    assert postgres.do("SELECT count(*) FROM pg_extension", name_of(url)) == [(1,)]  # untouched
    postgres.do("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
    guest = postgres.url(name_of(url), user="guest", password="guest-password")
    assert "CREATE EXTENSION vector" in told(memory, guest)
    memory(url).close()
    assert "permission denied" in told(memory, guest) and "GRANT" in told(memory, guest)


def test_a_database_of_somebody_else_is_left_alone(postgres: Any, url: str) -> None:
    postgres.do("CREATE SCHEMA nlpu_memory", name_of(url))
    postgres.do("CREATE TABLE nlpu_memory.page ()", name_of(url))
    assert "a schema nlpu_memory that is not ours" in told(memory, url)
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'nlpu_memory'"
    assert postgres.do(tables, name_of(url)) == [(1,)]


def test_versions_of_the_schema(postgres: Any, url: str) -> None:
    """A newer one is left alone; an older one is brought up to date with what it holds."""
    from nlpu.memory.store.postgres.link import MARK
    from nlpu.memory.store.postgres.steps import STEPS
    from nlpu.postgres.connection import connect
    from nlpu.postgres.schema import Schema, prepare

    with memory(url) as store:
        store.write("a page")
    later = Schema("nlpu_memory", MARK, (*STEPS, "ALTER TABLE nlpu_memory.page ADD note text"))
    with connect(of(url)) as db:
        prepare(db, of(url), later)
        prepare(db, of(url), later)
    newer = told(memory, url)
    assert f"a newer version of nlpu (its schema is {len(STEPS) + 1}" in newer
    assert "upgrade" in newer
    postgres.do("ALTER TABLE nlpu_memory.page DROP note", name_of(url))
    postgres.do("UPDATE nlpu_memory.meta SET steps = steps - 1", name_of(url))
    with memory(url) as store:
        assert store.search("page")[0].page.text == "a page"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_holds_not_every_text_is_refused(postgres: Any, encoding: str) -> None:
    name = f"m_{encoding.lower()}"
    postgres.do(f"CREATE DATABASE {name} ENCODING {encoding} TEMPLATE template0")
    refused = told(memory, postgres.url(name))
    assert "its encoding is not UTF8" in refused and "createdb -E UTF8" in refused


def test_a_server_without_pgvector_is_told(postgres: Any, url: str) -> None:
    """Nothing is made there; once the server has it, the same call does all."""
    name = name_of(url)
    postgres.do(f"ALTER DATABASE {name} SET extension_control_path = '/nowhere'")
    refused = told(memory, url)
    assert f"{name} has no pgvector, which pages need: install it" in refused
    assert "\n" not in refused
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'nlpu%'"
    assert postgres.do(schemas, name) == [(0,)]
    postgres.do(f"ALTER DATABASE {name} RESET extension_control_path")
    with memory(url) as store:
        store.write("a page")
        assert len(store.search("page")) == 1
