"""One memory in a database, for several processes at once, and for one that was killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from memory_database_kit import ROOT, process, url
from memory_kit import TALK, Bag, memory, talk

from nlpu.memory.controller import Memory
from nlpu.memory.ingest import ingest
from nlpu.memory.store.page import Page

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
__all__ = ["url"]


PATIENCE_S = 60


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
