"""Splitting texts: contiguous, within the size, at the best border."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import execute

from nlpu import Value, split
from nlpu.errors import BadOperand, NotInRun
from nlpu.testing.scripted import Scripted
from nlpu.text import Chunk, chunks
from nlpu.tokens import ByteBound

PROSE = st.lists(
    st.sampled_from(
        ["word ", "A sentence. ", "“Quoted!” ", "\n\n", "\n \n", "été ", "🙂", "x" * 40]
    )
).map("".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | PROSE
BYTES = ByteBound()


def bytes_of(text: str) -> int:
    return len(BYTES.encode(text))


@given(TEXT, st.integers(8, 60))
def test_chunks_are_the_text(text: str, limit: int) -> None:
    for count in (len, bytes_of):
        cut = list(chunks(text, limit, count))
        assert "".join(cut) == text
        assert all(count(chunk) <= limit for chunk in cut)
        assert all(chunk for chunk in cut)
        position = 0
        for chunk in cut:
            assert (chunk.start, text[chunk.start : chunk.stop]) == (position, chunk)
            position = chunk.stop
        assert position == len(text)
        assert cut == list(chunks(text, limit, count))


@given(st.integers(1, 30), st.integers(100, 200))
def test_whole_paragraphs_stay_whole(paragraphs: int, limit: int) -> None:
    text = "\n\n".join(f"Paragraph {n}. It has two sentences." for n in range(paragraphs))
    for chunk in chunks(text, limit, len):
        assert chunk.startswith("Paragraph ")
        assert chunk.rstrip().endswith("sentences.")


def test_borders_from_best_to_worst() -> None:
    text = "First one. Second one is here."
    assert list(chunks(text, 20, len)) == ["First one. ", "Second one is here."]
    assert list(chunks("alpha beta gamma", 8, len)) == ["alpha ", "beta ", "gamma"]
    assert list(chunks("abcdefghijkl", 8, len)) == ["abcdef", "ghijkl"]


def test_chunks_fill_up() -> None:
    text = "word " * 1000
    sizes = [len(chunk) for chunk in chunks(text, 100, len)]
    assert sizes == [100] * 50


def test_a_chunk_is_a_text_that_knows_where_it_was() -> None:
    chunk = Chunk.of("hello world", 6, 11)
    assert chunk == "world" and isinstance(chunk, str) and (chunk.start, chunk.stop) == (6, 11)


def test_split_uses_the_processor() -> None:
    text = "A sentence. " * 300
    small = execute(lambda: [len(chunk) for chunk in split(text)], engine=Scripted(window=1000))
    assert max(small.result) <= 500 and sum(small.result) == len(text)
    large = execute(lambda: [len(chunk) for chunk in split(text)])
    assert max(large.result) <= 1024
    given_size = execute(lambda: [len(chunk) for chunk in split(Value(text), tokens=100)])
    assert max(given_size.result) <= 100


@pytest.mark.parametrize(
    ("text", "tokens", "words"),
    [
        ("", None, "empty or blank"),
        (" \n ", None, "empty or blank"),
        ("a", 7, "at least 8 tokens"),
        ("a\ud800", None, "lone surrogate"),
    ],
)
def test_what_cannot_be_split(text: str, tokens: int | None, words: str) -> None:
    run = execute(lambda: split(text, tokens))
    assert isinstance(run.error, BadOperand)
    assert words in str(run.error)


def test_outside_a_run() -> None:
    with pytest.raises(NotInRun):
        split("text")
