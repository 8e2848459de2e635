"""Traces of page accesses, and the policies that are replayed on them."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_kit import Bag
from test_memory_bench import TALK

from benchmarks.memory_replay import Access, Trace, Uses, firmware_hits, hits
from benchmarks.memory_traces import SIZES, Reader, book_trace, measure
from nlpu.errors import MissingPart
from nlpu.memory.store.embedders import open_embedder
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Seen
from nlpu.wire import Request

TRACES = st.lists(st.sampled_from("abcdef"), max_size=14)


def trace(pages: str | list[str]) -> Trace:
    return [Access(page, page) for page in pages]


def best(pages: list[str], size: int) -> int:
    """The most hits that any choice of victims gives."""
    states = {frozenset[str](): 0}
    for page in pages:
        after: dict[frozenset[str], int] = {}
        for held, before in states.items():
            found = before + (page in held)
            if page in held:
                choices = [held]
            elif len(held) < size:
                choices = [held | {page}]
            else:
                choices = [held - {out} | {page} for out in held]
            for choice in choices:
                after[choice] = max(found, after.get(choice, 0))
        states = after
    return max(states.values())


@given(TRACES, st.integers(1, 4))
def test_belady_is_the_optimum_and_nothing_beats_it(pages: list[str], size: int) -> None:
    uses, turns = Uses(trace(pages)), count(1)
    most, again = hits(trace(pages), size, uses.belady)
    assert most == best(pages, size)
    assert again == len(pages) - len(set(pages))
    for victim in (uses.recency, uses.lru, lambda held, _: sorted(held)[next(turns) % size]):
        assert hits(trace(pages), size, victim)[0] <= most


@pytest.mark.parametrize(
    ("pages", "recency", "lru", "belady"),
    [("abcabc", 1, 0, 2), ("abacab", 1, 2, 2), ("aaaa", 3, 3, 3), ("abcd", 0, 0, 0)],
)
def test_small_traces_come_out_as_by_hand(pages: str, recency: int, lru: int, belady: int) -> None:
    uses = Uses(trace(pages))
    policies = (uses.recency, uses.lru, uses.belady)
    assert [hits(trace(pages), 2, each)[0] for each in policies] == [recency, lru, belady]


def test_the_firmware_keeps_what_the_call_is_about() -> None:
    texts = ("the bees", "the mill", "the ship", "the bees")
    asked = [Access(text, "where do the bees live") for text in texts]
    assert hits(asked, 2, Uses(asked).lru) == (0, 1)
    assert firmware_hits(asked, 2, "hybrid", Bag()) == (1, 1)


def test_a_books_trace_holds_every_chunk_and_reads_every_summary_but_the_last() -> None:
    book = "".join(f"Sentence {number} of a short book. " for number in range(400))
    pages = [access.page for access in book_trace(book)]
    chunks = [page for page in pages if not page.startswith("(")]
    summaries = [page for page in pages if page.startswith("(")]
    assert len(chunks) == len(set(chunks)) and "".join(chunks).split() == book.split()
    assert sorted(map(summaries.count, set(summaries))) == [1] + [2] * (len(set(summaries)) - 1)


def test_a_reply_reads_its_memories_and_is_written() -> None:
    reader = Reader()
    request = Request("r", (), Sampling(1))
    assert reader(Seen("", {"statement": "x" * 150}, request)) == "8"
    memories = "Person: hello\nFriend: (0) hello"
    reader(Seen("", {"memories": memories, "message": "I keep bees"}, request))
    reader(Seen("", {"notes": f"{memories}\nPerson: I keep bees"}, request))
    pages = [access.page for access in reader.trace]
    assert pages[:4] == [*memories.split("\n"), "Person: I keep bees", "Friend: (1) I keep bees"]
    assert pages[4:7] == pages[:3] and pages[7].startswith("(2) Person: hello")


def test_the_benchmark_runs_both_programs(tmp_path: Path) -> None:
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    talk, book = tmp_path / "talk.json", tmp_path / "book.txt"
    talk.write_text(json.dumps(TALK))
    book.write_text("A short book. " * 500)
    traces = measure(book, talk, 3, "static")["traces"]
    assert list(traces) == ["summarize_book", "converse"]
    for found in traces.values():
        assert [row["cache_pages"] for row in found["hit_rates"]] == list(SIZES)
        assert all(row["belady"] == max(list(row.values())[1:]) for row in found["hit_rates"])
