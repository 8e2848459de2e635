"""A damaged memory in a database: told, or what can be derived is made again."""

from __future__ import annotations

from typing import Any

import pytest
from memory_database_kit import name_of, url
from memory_kit import TALK, memory, talk

from nlpu.errors import StorageFailed

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
__all__ = ["url"]


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
