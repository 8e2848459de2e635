"""Texts longer than an embedder reads: none of them is cut in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import execute
from memory_kit import Bag, both, in_a_folder, kept_in, memory

from nlpu.errors import DoesNotFit, MissingPart
from nlpu.memory.controller import Memory
from nlpu.memory.store.embedders import MiniLM
from nlpu.memory.store.pieces import pieces
from nlpu.programs.answer import page_chunk, search
from nlpu.testing.scripted import Scripted, Seen

__all__ = ["kept_in"]
pytestmark = both

FILLED = " ".join(f"Sentence {n} tells of weather." for n in range(40))
LONG = f"{FILLED} The key hangs behind the boiler. {FILLED}"


class Short(Bag):
    """Reads no more than twelve words of a text."""

    most = 12

    def count(self, text: str) -> int:
        return len(text.split())

    def embed(self, texts: Sequence[str]) -> Any:
        return super().embed([" ".join(text.split()[: self.most]) for text in texts])


class Silent(Short):
    """As embedders were before they told how much they read."""

    count = None  # type: ignore[assignment]


def near(store: Memory, question: str, most: int = 1) -> list[str]:
    """The texts of the pages that are near by meaning alone."""
    return [p.text for p in store.levels.pages(store.levels.by_meaning(question, most)).values()]


@given(st.text("ab .\n", max_size=200), st.text("ab .\n", max_size=80))
def test_pieces_are_the_text_and_none_is_longer_than_what_is_read(text: str, before: str) -> None:
    found = pieces(Short(), text, before)
    assert all(len(piece.split()) <= Short.most for piece in found)
    assert "".join(found).split()[-len(text.split()) :] == text.split() or not text.split()


def test_a_long_page_is_found_by_what_stands_anywhere_in_it(tmp_path: Path) -> None:
    with memory(tmp_path, embedder=Short()) as store:
        others = [store.write(f"The boiler number {n} is a boiler.") for n in range(5)]
        store.write(LONG, source="long.md")
        short = store.write("It is the cat.", source="long.md", start=len(LONG))
        assert near(store, "key hangs behind") == [LONG]
        assert near(store, "cat") == ["It is the cat."]  # the long one before it left it room
        assert len(near(store, "Sentence of weather", 7)) == 7  # its pieces take nobody's place
        near_all = store.levels.cosines("key hangs behind", range(1, 8))
        assert max(near_all, key=near_all.__getitem__) == len(others) + 1 and len(near_all) == 7
        assert store.search("key hangs behind", most=1)[0].page.text == LONG
        assert store.check() == [] and store.levels.index.count() == 7
        store.forget(short)
        assert store.check() == []
    with memory(tmp_path, embedder=Short()) as store:
        assert store.levels.index.follow() == 0  # it was whole
        store.forget("long.md")
        vectors = store.levels.index.vectors
        assert vectors.count() == len(vectors.numbers()) == 5 and store.check() == []
    with memory(tmp_path, embedder=Short()) as store:
        assert store.levels.index.follow() == 0


@in_a_folder
def test_an_index_of_beginnings_gets_what_it_lacks_and_keeps_the_rest(tmp_path: Path) -> None:
    with memory(tmp_path, embedder=Silent()) as store:
        store.write(LONG)
        store.write("The key of a cat.")
        assert near(store, "key hangs behind") != [LONG]
        store.levels.disk.set_fact("pieces bag", None)  # as in a store of an older version
    bag = Short()
    with memory(tmp_path, embedder=bag) as store:
        assert near(store, "key hangs behind") == [LONG] and "The key of a cat." not in bag.embedded
        assert store.check() == []
    with memory(tmp_path, embedder=Short()) as store:
        assert store.levels.index.follow() == 0


@in_a_folder
def test_pieces_that_were_lost_are_made_again(tmp_path: Path) -> None:
    with memory(tmp_path, embedder=Short()) as store:
        store.write(LONG)
        store.levels.index.follow()
        store.levels.index.vectors.remove([1])
        assert store.check() == ["the vector index lacks 1 pages"]
    with memory(tmp_path, embedder=Short()) as store:
        assert near(store, "key hangs behind") == [LONG]
        assert store.levels.disk.fact("pieces bag") == store.levels.index.vectors.count() - 1 > 1


def test_a_long_question_is_read_to_its_end(tmp_path: Path) -> None:
    with memory(tmp_path, embedder=Short()) as store:
        store.write("The weather of sentence 7.")
        store.write("The boiler key.")
        asked = "weather " * 12 + "boiler key " * 18
        assert near(store, asked) == ["The boiler key."]


def test_a_portable_store_has_all_pieces_too(tmp_path: Path) -> None:
    with memory(tmp_path, embedder=Short()) as store:
        for number in range(6):
            store.write(f"The boiler number {number} is cold.")
        store.write(LONG)
        store.levels.index.migrate(Short(), portable=True)
        assert near(store, "The key hangs behind the boiler.", 1) == [LONG]


def test_minilm_finds_the_last_sentence_of_a_long_page(tmp_path: Path) -> None:
    try:
        embedder = MiniLM()
    except (MissingPart, ModuleNotFoundError):
        pytest.skip("no embedder minilm")
    report = "The quarter's revenue grew, as did the margin of the region. " * 40
    assert embedder.count(report) > 2 * embedder.most
    with memory(tmp_path, embedder=embedder) as store:
        store.write(f"{report}The spare key hangs behind the boiler.")
        store.write("The dentist is in Mill Lane.")
        store.write("The keys of a piano are black and white.")
        assert near(store, "The spare key is behind what?")[0].startswith("The quarter's")


def test_an_answer_reads_a_page_longer_than_its_window_in_parts() -> None:
    """Evidence at its end is found, with its place in the source."""
    page = f"{FILLED} {FILLED} {FILLED} The key hangs behind the boiler."

    def model(seen: Seen) -> str:
        if "passage" in seen.operands:
            last = seen.operands["passage"].rstrip().rsplit(". ", 1)[-1]
            return last if "key" in last else "nothing"
        return "yes" if "key" in seen.operands["evidence"] else "no"

    engine = Scripted(model, window=1200)
    run = execute(lambda: search("Where is the key?", page_chunk(page, 1000)), engine=engine)
    evidence, start, stop = run.result
    assert page[start - 1000 : stop - 1000] == evidence == "The key hangs behind the boiler."
    asked = execute(lambda: search("Where is it? " * 900, page_chunk("Here.", 0)), engine=engine)
    assert isinstance(asked.error, DoesNotFit)  # it is not as if nothing had been found


def test_a_page_that_is_longer_than_all_may_be_is_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with memory(tmp_path, embedder=Short()) as store:
        address = store.write(LONG)
        store.write("The key of a cat.")
        store.write("The key of a dog.")
        assert store.context("the key", 7).value in ("The key of a cat.", "The key of a dog.")
    assert [each.getMessage().split(":")[:2] for each in caplog.records] == [
        ["the page mem", address.removeprefix("mem:") + " was found and left out"]
    ]
