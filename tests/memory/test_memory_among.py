"""Documents, and what programs wrote for themselves: a look-up is not crowded by the other kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import execute, resumed, said
from memory_kit import both, kept_in, memory, place
from terminal_fixture import Terminal, nlpu

from nlpu import nlop
from nlpu.errors import MissingPart, Usage
from nlpu.label import USER
from nlpu.memory.consolidate import reflect, review
from nlpu.memory.controller import Memory
from nlpu.memory.firmware import Found, OpFree
from nlpu.memory.ingest import ingest
from nlpu.memory.store.embedders import open_embedder
from nlpu.memory.store.levels import Levels
from nlpu.memory.store.page import OWN
from nlpu.programs.answer import answer
from nlpu.programs.stream import keep, recalled
from nlpu.runtime.drivers.recall import search
from nlpu.testing.scripted import Scripted

__all__ = ["kept_in"]
pytestmark = both

__all__ = ["nlpu"]
FACT = "The mill by the river was built by Tom in 1803."
ASKED = "Who built the mill by the river?"


@nlop(at_limit="trim")
def reply(question: str, context: str) -> str:
    """Answer the question from the context."""


@pytest.fixture
def crowded(tmp_path: Path) -> Any:
    """A document, and a hundred and fifty turns that hold the question's words."""
    (tmp_path / "mill.md").write_text(FACT)
    with memory(tmp_path / "store") as store:
        ingest(store, [tmp_path / "mill.md"])
        for turn in range(150):
            keep(store, f"Person: {ASKED} I ask for the {turn}th time.", USER, 10.0 * turn, 9)
        for source in OWN[1:]:
            store.write(f"{source}: {ASKED}", source=source, importance=1.0)
        yield store


@pytest.mark.parametrize("firmware", ["recency", "hybrid", "valued"])
def test_a_look_through_documents_finds_no_turn_and_no_reflection(
    firmware: str, crowded: Memory, tmp_path: Path
) -> None:
    crowded.close()
    with memory(tmp_path / "store", firmware=firmware) as store:
        assert [each.page.text for each in store.search(ASKED, most=9)] == [FACT]
        assert [each.page.text for each in store.search(f"{ASKED} In 1970?", most=9)] == [FACT]
        own = store.search(ASKED, most=9, among="own")
        assert len(own) == 9 and {each.page.source for each in own} <= set(OWN)
        every = {each.page.text for each in store.search(ASKED, most=200, among="all")}
        assert FACT in every and len(every) > 100
        with pytest.raises(Usage, match="documents, own, all, not 'turns'"):
            store.search(ASKED, among="turns")  # type: ignore[arg-type]


def test_what_a_memory_is_opened_for_is_what_ops_and_drivers_get(
    crowded: Memory, tmp_path: Path
) -> None:
    def program(store: Memory) -> tuple[str, list[str]]:
        found = search(store)(ASKED).value
        return reply(ASKED, context=store).value, [page.text for page in found]

    told, found = execute(program, crowded).result
    assert told == f"{FACT}+{ASKED}" and found == [FACT]
    crowded.close()
    with memory(tmp_path / "store", among="own") as store:
        told, found = execute(program, store).result
        assert FACT not in told and FACT not in found and len(found) == 5


def test_firmware_that_asks_the_disk_itself_is_held_to_it(crowded: Memory) -> None:
    class Newest(OpFree):
        def look(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
            pages = levels.pages(levels.disk.numbers())
            return [Found(number, page, 0.0) for number, page in pages.items()]

    crowded.firmware = Newest()
    assert [each.page.text for each in crowded.search(ASKED)] == [FACT]


def test_an_answer_is_from_documents_and_from_talk_where_that_is_asked_for(tmp_path: Path) -> None:
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    with Memory(tmp_path, embedder="static") as store:
        store.write(FACT, source="mill.md")
        keep(store, f"Person: {ASKED}", USER, 10.0)
    engine = Scripted(lambda seen: "yes" if "evidence" in seen.operands else said(seen))
    for among, source in (("documents", "mill.md"), ("own", "conversation")):
        run = execute(answer, ASKED, "", 512, str(tmp_path), among, engine=engine)
        assert {cited.source for cited in run.result.citations} == {source}


def test_who_talks_is_told_what_was_said_and_what_stands_in_documents(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        store.write(FACT, source="mill.md")
        keep(store, "Person: My mill stands by the river.", USER, 10.0)
        told = recalled(store, ASKED)
        assert FACT in told and "My mill stands" in told


def test_a_resumed_run_sees_what_it_saw_among_the_same(crowded: Memory, tmp_path: Path) -> None:
    def program() -> list[str]:
        return [each.page.text for each in crowded.search(ASKED, most=3)]

    run = execute(program, run_dir=tmp_path / "runs")
    crowded.write(f"{ASKED} Nobody knows.", source="later.md")
    assert resumed(tmp_path / "runs", run, program).result == run.result == [FACT]


def test_pages_of_files_are_not_condensed(tmp_path: Path) -> None:
    """A condensate is no document: what sank below it would be found less and not through it."""
    (tmp_path / "mill.md").write_text(
        "\n\n".join(f"# Mill {n}\nIt has {n} wheels." for n in range(9))
    )
    with memory(tmp_path / "store") as store:
        ingest(store, [tmp_path / "mill.md"], label=USER)
        for turn in range(60):
            keep(store, f"Person: turn {turn}", USER, 10.0 * turn)
        (made,) = execute(review, store, 0.0, 1e9, engine=Scripted("They talk.")).result
        page = store.read(made)
        assert page.source == "condensed"
        assert {store.read(link).source for link in page.links} == {"conversation"}


def test_nothing_found_says_where_more_is(nlpu: Terminal, tmp_path: Path) -> None:
    with memory(tmp_path / "m") as store:
        keep(store, "Person: My sister Vera has moved to Lisbon.", USER, 10.0)
        execute(
            reflect,
            store,
            [store.search("Vera", among="own")[0].page],
            engine=Scripted("Vera moved."),
        )
    words = (
        "memory",
        "search",
        "Vera",
        "--store",
        str(place(tmp_path / "m")),
        "--firmware",
        "recency",
    )
    none = nlpu(*words)
    assert none.err == "nothing found among documents; --among all looks through 2 more pages\n"
    assert "Lisbon" in nlpu(*words, "--among", "own").out
    assert nlpu(*words, "--among", "turns").code == 2
