"""A memory in a database: ranked as in a folder, for several processes, and told in one sentence
where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_kit import TALK, Bag, memory, talk
from terminal_fixture import environment

from nlpu.errors import NlpuError, StorageFailed
from nlpu.label import USER
from nlpu.memory.controller import Memory
from nlpu.memory.ingest import ingest
from nlpu.memory.store.page import Page
from nlpu.memory.store.postgres.names import MemoryDatabase, beside, place_of
from nlpu.memory.store.queries import words_of

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
PATIENCE_S = 60
ROOT = Path(__file__).parents[2]


def of(url: str, **more: Any) -> MemoryDatabase:
    found = place_of(url)
    assert isinstance(found, MemoryDatabase)
    return MemoryDatabase(found.url, found.told, found.name, found.has_password, **more)


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


def told(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(NlpuError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture
def url(postgres: Any) -> str:
    return str(postgres.fresh())


# -- names and secrets ----------------------------------------------------------------------------


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


def process(here: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        text=True,
        capture_output=True,
        check=False,
        env={**environment(), "PYTHONPATH": ":".join([str(ROOT), *sys.path])},
    )


# -- the same as in a folder ----------------------------------------------------------------------

WORDS = (
    *("snake_case", "bees", "running", "Ran", "4711", "é", "naïve", "don't", "C++"),
    *("猫", "我们的小猫", "ключи", "запасной", "قطة", "מפתח", "चाबी", "แมว", "열쇠", "鍵はどこ"),
    *("case", "snake", "a\0b", "½", "STRASSE", "straße", "x" * 900),
)
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), max_size=9)


def test_words_rank_as_in_a_folder(postgres: Any, tmp_path: Path) -> None:
    """Bit for bit: the same stems, the same BM25, and the older page first among equals."""

    @settings(max_examples=40)
    @example(["case snake", "snake case", "snake x case", "a snake_case snake"], ["snake_case"])
    @example(["小猫", "猫", "我们的小猫只吃", "bees"], ["猫", "bees"])
    @given(texts=TEXTS, question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))
    def rank(texts: list[str], question: list[str]) -> None:
        for store in stores:
            store.levels.forget(store.levels.disk.numbers())
            store.write_pages(Page(text, "s", 100 * at) for at, text in enumerate(texts))
            store.levels.forget(store.levels.disk.numbers()[1:2])
        words = words_of(" ".join(question))
        found = [list(store.levels.disk.matching(words, 5).items()) for store in stores]
        assert found[0] == found[1]
        assert [store.check() for store in stores] == [[], []]

    with memory(tmp_path) as folder, memory(f"{postgres.shared}#ranks") as database:
        stores = (folder, database)
        rank()


def test_a_word_in_very_many_pages_is_left_out_in_both(postgres: Any, tmp_path: Path) -> None:
    with memory(tmp_path) as folder, memory(f"{postgres.shared}#many") as database:
        for store in (folder, database):
            store.write_pages(Page(f"common word{n}", "s", n) for n in range(3001))
        for question in (["common", "word7"], ["common"]):
            ours, theirs = (s.levels.disk.matching(question, 9) for s in (database, folder))
            assert list(ours.items()) == list(theirs.items()) and ours


def test_meaning_ranks_as_in_a_folder(postgres: Any, tmp_path: Path) -> None:
    found = []
    for place in (tmp_path, f"{postgres.shared}#meaning"):
        with memory(place) as store:  # type: ignore[arg-type]
            talk(store)
            found.append(store.search("How many hives does Bob's brother have?", most=6))
    ours, theirs = found
    assert [each.page for each in ours] == [each.page for each in theirs]
    assert [each.score for each in ours] == pytest.approx([e.score for e in theirs], abs=1e-5)


# -- several at once -------------------------------------------------------------------------------


def test_what_one_process_took_in_another_finds(url: str, tmp_path: Path) -> None:
    """While both have it open, and the other way round."""
    (tmp_path / "mill.md").write_text("# The mill\nTom built the mill in 1880.")
    code = (
        "import sys; from pathlib import Path; from nlpu import Memory\n"
        "from nlpu.memory.ingest import ingest\n"
        f"with Memory({url!r}, embedder='static') as store:\n"
        "    print(store.search('bees')[0].page.text)\n"
        "    print(ingest(store, [Path('mill.md')]).pages)\n"
        "    assert store.search('mill', most=1)[0].page.source.endswith('mill.md')"
    )
    with Memory(url, embedder="static") as store:
        store.write("Bees live in hives.")
        done = process(tmp_path, code)
        assert done.stdout.split("\n")[:2] == ["Bees live in hives.", "1"], done.stderr
        found = store.search("Who built the mill?", most=1)[0].page
        assert found.text == "# The mill\nTom built the mill in 1880."
        assert store.read(found.address) == found and store.check() == []
        assert ingest(store, [tmp_path / "mill.md"]).unchanged == 1


def test_many_find_an_empty_database_at_once(url: str) -> None:
    """One makes the schema, and pgvector's; all write, and no page is lost or there twice."""
    gate = Barrier(6)

    def live(number: int) -> list[str]:
        gate.wait(PATIENCE_S)
        with memory(url) as store:
            return [store.write(f"page {n} of life {number % 3}") for n in range(20)]

    with ThreadPoolExecutor(6) as pool:
        written = {address for some in pool.map(live, range(6)) for address in some}
    with memory(url) as store:
        numbers = store.levels.disk.numbers()
        assert len(written) == 60 and numbers == list(range(1, 61))
        assert {page.address for page in store.levels.pages(numbers).values()} == written
        assert len(store.search("page 7 of life 1")) == 10 and store.check() == []


def test_one_file_taken_in_by_two_at_once_is_there_once(url: str, tmp_path: Path) -> None:
    """One of its contents, whole, and known to be unchanged: not the rest of both."""
    name = tmp_path / "book.txt"
    contents = [f"Edition {n}. " * 60 + f"The end of {n}." for n in range(2)]

    class Late(Memory):
        """Between its writing and its forgetting, another process takes the file in."""

        def write_pages(self, pages: Any) -> list[int]:
            numbers = super().write_pages(pages)
            if name.read_text() == contents[0]:
                name.write_text(contents[1])
                assert ingest(other, [name]).skipped == []
            return numbers

    with memory(url) as other, Late(url, embedder=Bag()) as store:
        name.write_text(contents[0])
        assert ingest(store, [name]).skipped == []
        pages = store.levels.pages(store.levels.disk.numbers(source=str(name)))
        assert "".join(page.text for page in pages.values()) == contents[0]
        assert store.check() == [] and ingest(other, [name]).unchanged == 0
        assert ingest(store, [name]).unchanged == 1


def test_what_one_forgets_is_gone_for_all(url: str) -> None:
    bag = Bag()
    with memory(url, embedder=bag) as one, memory(url) as other:
        addresses = talk(one)
        assert one.search("bees", most=1)[0].page.text == TALK[3]
        looked = other.levels.by_words("bees", 5)
        assert one.forget(addresses[3]) == 1
        assert other.levels.pages(looked) == {}
        assert TALK[3] not in [each.page.text for each in other.search("bees", most=9)]
        assert one.check() == other.check() == [] and len(bag.embedded) == len(TALK) + 1


def test_vectors_of_a_page_forgotten_meanwhile_are_not_kept(url: str) -> None:
    class Slow(Bag):
        """While it embeds, another process forgets."""

        def embed(self, texts: Any) -> Any:
            if len(texts) > 1:
                other.forget("talk")
            return super().embed(texts)

    with memory(url) as other, memory(url, embedder=Slow()) as store:
        talk(store)
        store.write("Of something else.")
        assert [e.page.text for e in store.search("bees else")] == ["Of something else."]
        assert store.check() == [] and store.levels.index.vectors.numbers() == {7}


def test_what_another_has_embedded_meanwhile_is_left_out(url: str) -> None:
    class Slow(Bag):
        """While it embeds its first pages, another process follows."""

        def embed(self, texts: Any) -> Any:
            if not self.embedded:
                assert other.levels.index.follow() == 600
            return super().embed(texts)

    slow = Slow()
    with memory(url) as other, memory(url, embedder=slow) as store:
        store.write_pages(Page(f"page {number}", str(number)) for number in range(600))
        assert store.levels.index.follow() == len(slow.embedded) < 257
        assert store.levels.index.vectors.count() == 600 and store.check() == []


def test_another_embedder_and_its_anchors_are_taken_over(url: str) -> None:
    """By who asked for none: a change elsewhere is a change here, and no vectors are mixed."""
    with Memory(url, embedder="static") as one:
        for number in range(8):
            one.write(f"Page {number} is about subject {number}.")
        with Memory(url) as other:
            assert other.search("subject 3", most=1)[0].number == 4
            one.levels.index.migrate("static", portable=True)
            first = one.levels.disk.listed("anchors")
            assert other.search("subject 3", most=1)[0].number == 4
            assert other.levels.index.embedder_name == "relative"
            one.forget(one.levels.pages([4])[4].address)  # an anchor
            assert other.search("subject 3")[0].number != 4
            assert one.levels.disk.listed("anchors") != first
            count = "SELECT count(DISTINCT name) FROM embedding"
            assert one.levels.disk._all(count) == [(1,)] and one.check() == other.check() == []


DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from memory_kit import Bag, memory
from nlpu.memory.ingest import ingest

def die(done, most):
    if {when!r} == "between files" and done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

class Mortal(Bag):
    def embed(self, texts):
        if {when!r} == "while it embeds" and len(texts) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(texts)

with memory({url!r}, embedder=Mortal()) as store:
    if {when!r} == "in a transaction":
        write = store.levels.disk.link.write
        def cut(job, **options):
            write(lambda db: (job(db), os.kill(os.getpid(), signal.SIGKILL)), **options)
        store.levels.disk.link.write = cut
    ingest(store, sorted(Path("texts").iterdir()), progress=die)
    store.levels.index.follow()
"""


@pytest.mark.parametrize("when", ["between files", "in a transaction", "while it embeds"])
def test_an_ingest_that_was_killed_goes_on(url: str, tmp_path: Path, when: str) -> None:
    """Nothing is lost and nothing there twice: as if it had not been killed."""
    (tmp_path / "texts").mkdir()
    for number in range(6):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"Sentence of {number}. " * 300)
    code = DYING.format(tests=str(ROOT / "tests"), url=url, when=when)
    assert process(tmp_path, code).returncode == -9
    files = sorted((tmp_path / "texts").iterdir())
    with memory(url) as store, memory(f"{url}#whole") as whole:
        began = store.levels.disk.count()
        assert began == {"between files": 30, "in a transaction": 0, "while it embeds": 60}[when]
        assert store.check() == []
        assert [taken.skipped for taken in (ingest(store, files), ingest(whole, files))] == [[], []]
        every = [s.levels.pages(s.levels.disk.numbers()) for s in (store, whole)]
        assert [*every[0].values()] == [*every[1].values()]
        assert store.levels.index.follow() == len(every[0]) == 60 and store.check() == []
        assert ingest(store, files).unchanged == 6


# -- servers and connections ----------------------------------------------------------------------


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


# -- what is not as it should be ------------------------------------------------------------------


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


def test_words_of_another_rule_are_indexed_again(
    postgres: Any, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with memory(url) as store:
        store.write("小猫只吃干粮。", source="s")
    for harm in (
        "DELETE FROM nlpu_memory.word",
        "DELETE FROM nlpu_memory.fact WHERE name = 'words'",
    ):
        postgres.do(harm, name_of(url))
    with memory(url) as store:
        assert "1 pages" in caplog.text
        assert store.levels.by_words("小猫", 5) and store.check() == []


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


DAMAGE = {
    "a page without its text": "DELETE FROM blob",
    "a page gone, its words there": "DELETE FROM page WHERE source = 'talk'",
    "another text": "UPDATE blob SET text = 'the bees are dead'",
    "no text": r"UPDATE blob SET text = '\x00ff'",
    "another source": "UPDATE page SET source = 'elsewhere'",
    "another place": "UPDATE page SET start = start + 1",
    "another address": "UPDATE page SET address = 'mem:' || id",
    "a time of no year": "UPDATE page SET time_s = 9e99",
    "anchors that are none": "INSERT INTO fact VALUES ('anchors', '3') "
    "ON CONFLICT (name) DO UPDATE SET value = '3'",
    "a fact that is none": "INSERT INTO fact VALUES ('anchors', '[')",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_typed_error(postgres: Any, url: str, name: str) -> None:
    with memory(url) as store:
        talk(store)
        store.search("bees")
    postgres.do(f"SET search_path = nlpu_memory, public; {DAMAGE[name]}", name_of(url))
    with pytest.raises(StorageFailed, match="damaged"), memory(url) as store:
        store.search("Who keeps bees?")
    if "UPDATE page" in DAMAGE[name]:
        with memory(url) as store:
            assert any("page 1 " in fault for fault in store.check())


WORDS_HARMED = {
    "gone": "DELETE FROM word WHERE term = 'bee'",
    "elsewhere": "UPDATE word SET places = '{0}' WHERE term = 'bee'",
    "of another page": "UPDATE word SET page = 1 WHERE term = 'bee'",
    "too many": "INSERT INTO word VALUES ('bee', 1, '{0}')",
    "counts": "UPDATE meta SET words = words + 1",
}


@pytest.mark.parametrize("name", WORDS_HARMED)
def test_a_damaged_word_index_is_told_and_made_again(postgres: Any, url: str, name: str) -> None:
    with memory(url) as store:
        talk(store)
        before = store.search("Who keeps bees?")
        postgres.do(f"SET search_path = nlpu_memory, public; {WORDS_HARMED[name]}", name_of(url))
        (fault,) = store.check()
        assert "the word index is damaged" in fault and "nlpu memory rebuild" in fault
        assert store.levels.index.rebuild() == len(TALK)
        assert store.check() == [] and store.search("Who keeps bees?") == before


def test_vectors_that_are_lost_are_made_again(postgres: Any, url: str) -> None:
    with memory(url) as store:
        talk(store)
        before = store.search("Who keeps bees?")
        postgres.do("DELETE FROM nlpu_memory.embedding WHERE page IN (2, 4)", name_of(url))
        assert store.search("Who keeps bees?") == before
        stray = (
            "INSERT INTO nlpu_memory.embedding SELECT 77, name, 0, unit FROM "
            "nlpu_memory.embedding WHERE page = 1"
        )
        postgres.do(stray, name_of(url))
        assert store.check() == ["the vector index holds 1 pages that are gone"]
        assert store.levels.index.rebuild() == len(TALK) and store.check() == []
