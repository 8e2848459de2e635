"""Pages in a database are found and ranked as those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_database_kit import url
from memory_kit import memory, talk

from nlpu.memory.store.page import Page
from nlpu.memory.store.queries import words_of

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
__all__ = ["url"]


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
