"""Stores that were damaged, killed or grown: what is wrong is told, what is whole is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from memory_kit import TALK, Bag, memory, talk

from nlpu.errors import StorageFailed
from nlpu.memory.controller import Memory
from nlpu.memory.store.page import Page

DAMAGE = {
    "a page without its text": "DELETE FROM blob",
    "a page gone, its words there": "DELETE FROM page WHERE source = 'talk'",
    "another text": "UPDATE blob SET text = 'the bees are dead'",
    "no text": "UPDATE blob SET text = x'00ff'",
    "another source": "UPDATE page SET source = 'elsewhere'",
    "another place": "UPDATE page SET start = start + 1",
    "another address": "UPDATE page SET address = 'mem:' || id",
    "links that are none": "UPDATE page SET links = '{'",
    "links of another kind": "UPDATE page SET links = '3'",
    "a credit that is none": "UPDATE page SET credit = 'much'",
    "a time that is none": "UPDATE page SET time_s = 'late'",
    "a time of no year": "UPDATE page SET time_s = 9e999",
    "another time": "UPDATE page SET time_s = time_s + 1 WHERE id = 1",
    "another credit": "UPDATE page SET credit = 0.5 WHERE id = 1",
    "another end": "UPDATE page SET stop = stop + 4 WHERE id = 1",
    "anchors that are none": "INSERT OR REPLACE INTO fact VALUES ('anchors', '[')",
    "anchors of another kind": "INSERT OR REPLACE INTO fact VALUES ('anchors', '[1]')",
    "a mark that is none": "UPDATE fact SET value = 'far' WHERE name = 'indexed bag'",
    "pieces that are none": "UPDATE fact SET value = 'many' WHERE name = 'pieces bag'",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_the_pages_is_a_typed_error(name: str, tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        store.search("bees")
    db = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    db.execute(DAMAGE[name])
    db.close()
    with pytest.raises(StorageFailed, match="damaged"), memory(tmp_path) as store:
        store.search("Who keeps bees?")
    if "UPDATE page" in DAMAGE[name]:
        with memory(tmp_path) as store:
            assert any("page 1 " in fault for fault in store.check())


def test_a_word_index_that_lacks_pages_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with memory(tmp_path) as store:
        talk(store)
        before = store.search("How many hives does he have?")
    db = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    db.execute("DELETE FROM words_docsize WHERE id > 2")
    db.close()
    with memory(tmp_path) as store:
        assert "6 pages" in caplog.text and "the index was damaged" in caplog.text
        assert store.search("How many hives does he have?") == before and store.check() == []


INSIDE = ("words_data SET block", "words_data SET block", "words_docsize SET sz")


@pytest.mark.parametrize("bit", range(40))
def test_a_word_index_with_a_flipped_bit_is_made_again(
    bit: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks = ("hives", "market", "lighthouse on Monday", "Who keeps bees near the mill?")
    with memory(tmp_path) as store:
        talk(store)
        before = [store.search(look) for look in looks]
    flip(tmp_path, bit)
    with memory(tmp_path) as store:
        assert "6 pages" in caplog.text and "the index was damaged" in caplog.text
        assert [store.search(look) for look in looks] == before and store.check() == []
        flip(tmp_path, bit)  # under our hands: a check tells
        assert any("the word index is damaged" in fault for fault in store.check())


def flip(directory: Path, bit: int) -> None:
    """Flip one bit of the word index: of its blocks, or of what it knows of the pages' lengths."""
    table, _, column = (place := INSIDE[bit % len(INSIDE)]).partition(" SET ")
    with closing(sqlite3.connect(directory / "memory.db", isolation_level=None)) as db:
        rows = db.execute(f"SELECT id, {column} FROM {table} WHERE length({column}) > 0").fetchall()
        number, block = rows[bit % len(rows)]
        at = bit * 37 % (8 * len(block))
        flipped = bytearray(block)
        flipped[at // 8] ^= 1 << at % 8
        db.execute(f"UPDATE {place} = ? WHERE id = ?", (bytes(flipped), number))


def test_a_word_index_that_no_close_has_sealed_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for life in ("writes", "reads"):
        store = memory(tmp_path)
        if life == "writes":
            talk(store)
        before = store.search("bees")
        store.levels.disk._db.close()  # as a kill would leave it
        store.levels.disk._lock.release()
        with memory(tmp_path) as store:
            assert store.search("bees") == before
        assert ("its last process was killed" in caplog.text) == (life == "writes")
        caplog.clear()


def test_a_schema_that_is_no_text_is_a_typed_error(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
    raw = (tmp_path / "memory.db").read_bytes()
    at = raw.index(b"CREATE TABLE page")
    (tmp_path / "memory.db").write_bytes(raw[: at + 9] + b"\xd9\xd9" + raw[at + 11 :])
    with pytest.raises(StorageFailed, match="cannot use the memory"):
        memory(tmp_path)


@pytest.mark.parametrize("kept", ["{", "[1]", '{"disk": {"reads": "many"}}'])
def test_counters_that_cannot_be_read_begin_anew(
    kept: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with memory(tmp_path) as store:
        store.write("Seven bees.")
        store.levels.disk.set_fact("counters", kept)
        assert store.search("bees") and store.levels.table()[0]["reads"] == 1
    assert "begin anew" in caplog.text
    with memory(tmp_path) as store:
        assert store.levels.table()[0]["reads"] == 1


@pytest.mark.parametrize("forgotten", [1, 350])
def test_an_index_that_lost_pages_to_forgetting_is_kept(forgotten: int, tmp_path: Path) -> None:
    bag = grown(tmp_path, lives=3, pages=400)
    with memory(tmp_path, embedder=bag) as store:
        store.levels.forget(list(range(100, 100 + forgotten)))
    with memory(tmp_path, embedder=bag) as store:
        assert store.check() == [] and store.levels.index.follow() == 0
        store.write_pages(Page(f"new {number}", "s", 5000 + number) for number in range(400))
        store.levels.index.follow()
    with memory(tmp_path, embedder=bag) as store:
        assert store.levels.index.follow() == 0 and store.check() == []
    assert len(bag.embedded) == 1600


def grown(directory: Path, lives: int, pages: int) -> Bag:
    """A store written in several lives; its embedder."""
    bag = Bag()
    for life in range(lives):
        with memory(directory, embedder=bag) as store:
            start = life * pages
            store.write_pages(
                Page(f"page {number}", "s", number) for number in range(start, start + pages)
            )
            store.levels.index.follow()
    return bag


def test_an_index_that_grew_is_kept(tmp_path: Path) -> None:
    """Each page is embedded once, however often the store is opened, checked and grown."""
    bag = grown(tmp_path, lives=4, pages=700)
    assert len(bag.embedded) == 2800
    with memory(tmp_path, embedder=bag) as store:
        assert store.check() == []
        assert len(store.levels.index.vectors.numbers()) == 2800
        assert store.levels.index.follow() == 0


def test_the_embedder_of_a_killed_first_ingest_is_kept(tmp_path: Path) -> None:
    store = Memory(tmp_path, embedder="static")
    store.write("a page")
    store.levels.disk._db.close()  # as a kill would leave it
    store.levels.disk._lock.release()
    with Memory(tmp_path) as store:
        assert store.levels.index.embedder_name == "static"


def test_another_embedder_for_once_is_not_the_stores(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="static"):
        pass
    with memory(tmp_path), Path(tmp_path / "memory.db").open("rb"):
        pass
    with Memory(tmp_path) as store:
        assert store.levels.index.embedder_name == "static"


class Even:
    """Every text is as near as any other."""

    name = "even"
    dimensions = 4

    def embed(self, texts: Any) -> Any:
        import numpy as np

        return np.full((len(texts), 4), 0.5, np.float32)


LOOKS = [("lighthouse", 0), ("brother bees", 3), ("honey", 5)]


@pytest.mark.parametrize(("question", "at"), LOOKS)
def test_the_page_that_holds_the_words_is_before_its_neighbours(
    question: str, at: int, tmp_path: Path
) -> None:
    """Also where those are longer, matter more and have helped before."""
    with memory(tmp_path, embedder=Even()) as store:
        start = 0
        for number, turn in enumerate(TALK):
            text = turn if number == at else turn.replace("bees", "them") + " And so on." * 20
            store.write(text, source="talk", start=start, importance=float(number != at))
            start += len(text) + 1
        assert store.search(question, most=1)[0].page.text == TALK[at]
