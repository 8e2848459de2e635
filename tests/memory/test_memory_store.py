"""Pages on disk and in the index: kept, found, agreed upon, owned by one."""

from __future__ import annotations

import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_kit import TALK, Bag, both, in_a_folder, kept_in, memory, talk
from memory_kit import disk as disk_of

from nlpu.errors import BadOperand, HostError, RunBusy, StorageFailed, Usage
from nlpu.label import SYSTEM, UNTRUSTED, USER, Integrity, intern_label, join, label_of, label_text
from nlpu.memory.store.page import Page, address_of
from nlpu.memory.store.store import Disk

__all__ = ["kept_in"]
pytestmark = both

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
LABELS = st.builds(
    intern_label,
    st.sampled_from(list(Integrity)),
    st.none() | st.frozensets(st.sampled_from(["ann", "bob", "eve"])),
)
PAGES = st.lists(
    st.builds(Page, TEXT, st.sampled_from(["", "a.md", "b.md"]), st.integers(0, 50), label=LABELS),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(pages=PAGES, gone=st.sets(st.integers(0, 11)))
def test_what_is_added_is_read_back_and_what_is_removed_is_gone(
    tmp_path_factory: pytest.TempPathFactory, pages: list[Page], gone: set[int]
) -> None:
    disk = disk_of(tmp_path_factory.mktemp("disk"))
    numbers = disk.add(pages)
    assert disk.add(pages) == numbers  # adding again adds nothing
    expected: dict[str, Page] = {}
    for page in pages:
        label = join(page.label, expected.get(page.address, page).label)
        first = expected.get(page.address, page)
        expected[page.address] = Page(first.text, first.source, first.start, first.stop, 0.0, label)
    assert disk.count() == len(expected)
    out = {numbers[n] for n in gone if n < len(numbers)}
    disk.remove(out)
    for page, number in zip(pages, numbers, strict=True):
        found = disk.pages([number]).get(number)
        assert found == (None if number in out else expected[page.address])
        assert disk.number(page.address) == (None if number in out else number)
    assert disk.check() == []
    disk.close()


@settings(deadline=None)
@given(LABELS)
def test_labels_come_back_as_they_were_stored(label: object) -> None:
    assert label_of(label_text(label)) is label  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stored", [None, "", "[]", '["KING", null]', '["USER"]', "{", '["USER",3]']
)
def test_a_label_that_cannot_be_read_is_untrusted(stored: str | None) -> None:
    assert label_of(stored) is UNTRUSTED


def test_addresses_name_a_text_at_a_place() -> None:
    assert re.fullmatch("mem:[a-z2-7]{12}", address_of("a"))
    assert (
        len({address_of("a"), address_of("b"), address_of("a", "f"), address_of("a", "f", 1)}) == 4
    )


def test_a_text_is_stored_once(tmp_path: Path) -> None:
    disk = disk_of(tmp_path)
    numbers = disk.add([Page("same", "a"), Page("same", "b")])
    disk.remove(numbers[:1])
    assert disk.pages(numbers)[numbers[1]].text == "same"
    assert disk._all("SELECT count(*) FROM blob")[0][0] == 1
    disk.close()


@in_a_folder
def test_one_process_owns_a_store(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nlpu.memory.store.store import Disk\n"
        f"Disk(Path({str(tmp_path)!r})); print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "mine\n"
        with pytest.raises(RunBusy, match=f"in use by process {owner.pid}"):
            Disk(tmp_path)
        owner.kill()
        owner.wait()
    Disk(tmp_path).close()  # the lock dies with its process


@in_a_folder
def test_a_file_that_is_no_memory_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(HostError, match="not a memory"):
        Disk(tmp_path)
    (tmp_path / "memory.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageFailed, match="cannot use the memory"):
        Disk(tmp_path)


# -- reading, searching ----------------------------------------------------------------------------


def test_it_finds_what_was_written(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        assert store.read(addresses[3]).text == TALK[3]
        found = store.search("Who keeps bees in the garden?", most=3)
        assert found[0].page.text == TALK[3]
        assert [page.text for page in store.neighbours(addresses[3])] == [TALK[2], TALK[4]]
        with pytest.raises(BadOperand, match="no page 'mem:x'"):
            store.read("mem:x")


def test_an_answer_is_found_by_the_question_beside_it(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        found = store.search("How many hives does Bob's brother have?", most=2)
        assert TALK[5] in [each.page.text for each in found]  # it shares no word with it


def test_a_search_keeps_to_its_tokens(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        assert len(store.search("lighthouse bees hives", most=6)) == 6
        few = store.search("lighthouse bees hives", most=6, tokens=30)
        assert sum(len(each.page.text) // 4 + 1 for each in few) <= 30 and few


def test_time_expressions_and_recency(tmp_path: Path) -> None:
    with memory(tmp_path, firmware="recency") as store:
        for month in range(1, 7):
            when = 1_672_531_200 + month * 30 * 86400.0  # 2023
            store.write(f"Entry {month}: nothing much happened", time_s=when, source=str(month))
        newest = store.search("anything", most=2)
        assert [each.page.source for each in newest] == ["6", "5"]
    with memory(tmp_path, firmware="hybrid") as store:
        assert store.search("What happened in April 2023?", most=1)[0].page.source == "3"


def test_novelty_is_importance_for_valued(tmp_path: Path) -> None:
    with memory(tmp_path, firmware="valued") as store:
        first = store.write("the mill burned down in the night")
        again = store.write("the mill burned down in the night", source="again")
        assert store.read(first).importance == 1.0
        assert store.read(again).importance == pytest.approx(0.0, abs=1e-5)


def test_unknown_firmware_and_embedders_are_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="there are: recency, hybrid"):
        memory(tmp_path, firmware="psychic")
    with pytest.raises(Usage, match="unknown embedder"):
        memory(tmp_path, embedder="psychic")


# -- the index follows the disk --------------------------------------------------------------------


def test_writing_embeds_nothing_and_looking_up_only_what_is_new(tmp_path: Path) -> None:
    bag = Bag()
    with memory(tmp_path, embedder=bag) as store:
        talk(store)
        assert bag.embedded == []
        store.search("bees")
        assert len(bag.embedded) == len(TALK) + 1
        store.search("bees")
        assert len(bag.embedded) == len(TALK) + 1  # the last question is remembered
    with memory(tmp_path, embedder=bag) as store:
        store.search("bees")
        assert len(bag.embedded) == len(TALK) + 2


@in_a_folder
@pytest.mark.parametrize("damage", ["missing", "fewer", "more", "garbage", "older"])
def test_an_index_that_disagrees_is_made_right(tmp_path: Path, damage: str) -> None:
    with memory(tmp_path) as store:
        talk(store)
        store.search("bees")
        if damage == "fewer":
            store.levels.index.vectors.remove([2, 3])
        if damage == "more":
            store.levels.index.vectors.add([77], Bag().embed(["stray"]))
        if damage in ("fewer", "more"):
            assert len(store.check()) == 1
    if damage == "older":  # a copy from before a page went and another came
        shutil.copytree(tmp_path / "vectors", tmp_path / "copy")
        with memory(tmp_path) as store:
            store.forget(store.levels.pages([1])[1].address)
            store.write("Zoe: I like trains.")
            store.search("trains")
        shutil.rmtree(tmp_path / "vectors")
        (tmp_path / "copy").rename(tmp_path / "vectors")
    if damage == "missing":
        shutil.rmtree(tmp_path / "vectors")
    if damage == "garbage":
        (tmp_path / "vectors" / "1" / "chroma.sqlite3").write_bytes(b"garbage" * 1000)
    with memory(tmp_path) as store:
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert store.check() == []
        assert store.levels.index.vectors.numbers() == set(store.levels.disk.numbers())


@in_a_folder
def test_an_index_found_damaged_while_it_is_read_is_made_again(tmp_path: Path) -> None:
    count = 1200  # chromadb keeps fewer in its database alone
    with memory(tmp_path) as store:
        store.write_pages(Page(f"page {number}", "s", number) for number in range(count))
        store.search("page")
    (data,) = (tmp_path / "vectors").glob("*/*/data_level0.bin")
    shutil.rmtree(data.parent)
    with memory(tmp_path) as store:
        (fault,) = store.check()
        assert "vector index cannot be used" in fault
        assert len(store.search("page 7")) == 10 and store.check() == []
    (header,) = (tmp_path / "vectors").glob("*/*/header.bin")
    os.truncate(header, 50)  # would kill the process that loads it
    with memory(tmp_path) as store:
        assert len(store.search("page 7")) == 10 and store.check() == []
        assert store.levels.index.rebuild() == count and store.check() == []


def test_what_cannot_be_stored_or_asked_is_refused(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        for text, more in [
            ("\ud800", {}),
            (b"bytes", {}),
            ("x", {"source": "\udcff"}),
            ("x", {"importance": 9}),
            ("x", {"time_s": 1.7e12}),
            ("x", {"time_s": math.nan}),
        ]:
            with pytest.raises(BadOperand):
                store.write(text, **more)  # type: ignore[arg-type]
        for question in ("\udcff", None):
            with pytest.raises(BadOperand, match="the question"):
                store.search(question)  # type: ignore[arg-type]
        store.write("of no source")
        with pytest.raises(BadOperand, match="name the page"):
            store.forget("")
        assert store.levels.disk.count() == len(TALK) + 1 and len(store.search("")) == 7


def test_pages_of_no_source_are_no_neighbours(tmp_path: Path) -> None:
    bag = Bag()
    with memory(tmp_path, embedder=bag) as store:
        first, second = store.write("bees"), store.write("trains")
        store.search("x")
        assert store.neighbours(second) == store.neighbours(first) == []
        assert bag.embedded == ["bees", "trains", "x"]


def test_a_migration_that_cannot_be_changes_nothing(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        with pytest.raises(Usage, match="anchors"):
            store.levels.index.migrate(Bag(), portable=True)
        talk(store)
        store.search("bees")
        with pytest.raises(Usage, match="unknown embedder"):
            store.levels.index.migrate("nope", portable=False)
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert store.levels.disk.fact("embedder") == "bag" and store.check() == []


def test_rebuild_and_forget(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        store.search("bees")
        assert store.levels.index.rebuild() == len(TALK)
        assert store.forget(addresses[3]) == 1
        assert TALK[3] not in [each.page.text for each in store.search("bees", most=9)]
        assert store.forget("talk") == len(TALK) - 1
        assert store.check() == [] and store.search("bees") == []


@in_a_folder
def test_what_is_forgotten_is_in_no_file(tmp_path: Path) -> None:
    """Not as an anchor, nor as a word."""
    with memory(tmp_path) as store:
        talk(store)
        store.write("My PIN is zebra4711.", source="diary")
        store.levels.index.migrate(Bag(), portable=True)
        assert store.forget("diary") == 1
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert store.levels.index.embedder_name == "relative" and store.check() == []
        store.forget("talk")
        assert store.search("bees") == [] and store.check() == []
    for file in tmp_path.rglob("*.*"):
        assert b"zebra4711" not in file.read_bytes()


@in_a_folder
def test_a_store_is_free_after_a_close_or_an_opening_that_fails(tmp_path: Path) -> None:
    store = memory(tmp_path)
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("DROP TABLE fact")
    with pytest.raises(StorageFailed, match="no such table"):
        store.close()
    store.close()
    for _ in range(2):
        with pytest.raises(StorageFailed, match="no such table"):
            memory(tmp_path)
    db.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID")
    db.close()
    memory(tmp_path).close()


@in_a_folder
@pytest.mark.parametrize("act", ["search", "forget"])
def test_an_index_found_damaged_while_it_is_written_is_made_again(tmp_path: Path, act: str) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        store.search("bees")
        if act == "search":  # which then takes the stray page out
            store.levels.index.vectors.add([77], Bag().embed(["stray"]))
    with sqlite3.connect(tmp_path / "vectors" / "1" / "chroma.sqlite3") as db:
        db.execute("DROP TABLE embedding_metadata")
    db.close()
    with memory(tmp_path) as store:
        if act == "forget":
            store.forget(addresses[0])
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert store.check() == []


def test_levels_count_what_they_did(tmp_path: Path) -> None:
    for _ in range(2):
        with memory(tmp_path) as store:
            talk(store)
            store.search("bees", most=2)
            store.search("bees", most=2)
            rows = {row["level"]: row for row in store.levels.table()}
    assert rows["window"]["reads"] == 8 and rows["window"]["hits"] == 4
    assert rows["window"]["hit_rate"] == 0.5 and rows["window"]["tokens"] > 0
    assert rows["disk"]["pages"] == rows["vectors"]["pages"] == len(TALK)
    assert rows["vectors"]["writes"] == len(TALK) and rows["disk"]["writes"] == 2 * len(TALK)


def test_a_page_written_again_only_loses_trust(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        address = store.write("a fact", label=USER)
        store.write("a fact", label=SYSTEM)
        assert store.read(address).label is SYSTEM
        store.write("a fact", label=USER)
        assert store.read(address).label is SYSTEM
        assert store.read(store.write("unlabelled")).label is UNTRUSTED


def test_a_portable_store_changes_its_embedder_without_embedding_again(tmp_path: Path) -> None:
    old, new = Bag("old"), Bag("new")
    with memory(tmp_path, embedder=old) as store:
        talk(store)
        assert store.levels.index.migrate(old, portable=True) == len(TALK)
        assert store.levels.index.migrate(new, portable=True) == 0
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert new.embedded == [*TALK, "Who keeps bees?"]  # the anchors, which all pages are here
        assert store.check() == []
    with memory(tmp_path, embedder=new) as store:
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
        assert store.levels.index.migrate(new, portable=False) == len(TALK)
        assert store.search("Who keeps bees?", most=1)[0].page.text == TALK[3]
