"""Consolidation: what helped rises, what did not fades."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import computer, echo, execute, finish, resumed
from memory_kit import Bag, both, kept_in, memory, talk
from terminal_fixture import Terminal, nlpu

from benchmarks.memory_credit import found
from nlpu.chat import Turn, chat_of
from nlpu.errors import BadOperand, MissingPart
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.consolidate import (
    DISCOUNT,
    FADE,
    NEWEST,
    RATE,
    SUNK,
    TOGETHER,
    consolidate,
    reflect,
    review,
)
from nlpu.memory.controller import Memory
from nlpu.memory.store.embedders import open_embedder
from nlpu.programs.converse import converse
from nlpu.runtime import Budget
from nlpu.testing.scripted import Scripted

__all__ = ["kept_in"]
pytestmark = both

__all__ = ["nlpu"]


def test_credit_goes_back_discounted_and_fades(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        store.read(addresses[0])
        store.read(addresses[1])
        credits = consolidate(store, 1.0)
        assert credits == pytest.approx({2: RATE, 1: RATE * DISCOUNT})
        assert store.read(addresses[1]).credit == pytest.approx(RATE)
        consolidate(store, -1.0)
        assert store.read(addresses[1]).credit == pytest.approx(RATE + RATE * (-1 - RATE))
        assert store.read(addresses[0]).credit == pytest.approx(RATE * DISCOUNT * FADE)
        with pytest.raises(BadOperand, match="from -1 to 1"):
            consolidate(store, 2)


def test_a_reflection_links_to_what_it_was_made_from(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        store.write("Bob: I like bees.", label=USER)

        def program() -> str:
            return reflect(store, [each.page for each in store.search("bees", most=3)])

        address = execute(program, engine=Scripted("Bees are a family matter.")).result
        page = store.read(address)
        assert page.text == "Bees are a family matter." and page.label is UNTRUSTED
        assert len(page.links) == 3 and all(store.read(link) for link in page.links)


def test_a_review_reflects_on_what_helped_and_condenses_what_never_did(tmp_path: Path) -> None:
    replies = Scripted({"Write in one sentence": "It is about bees."})
    with memory(tmp_path) as store:
        old = talk(store)
        for number in range(NEWEST):
            store.write(f"bees number {number}", source="new", start=number, label=USER)

        def program(outcome: float) -> list[str]:
            found = [each.page.address for each in store.search("bees number", most=4)]
            assert not set(found) & set(old)
            return review(store, outcome)

        reflected, condensed = execute(program, 1.0, engine=replies).result
        assert len(store.read(reflected).links) == 4
        page = store.read(condensed)
        assert list(page.links) == old and page.label is UNTRUSTED
        assert [store.read(link).credit for link in old] == [SUNK] * len(old)
        (again,) = execute(program, -1.0, engine=replies).result  # no reflection on what failed
        links = store.read(again).links
        assert 0 < len(links) <= TOGETHER and not set(links) & set(old)


def test_a_review_survives_any_reply_and_what_fits_no_window(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        old = talk(store)
        for number in range(NEWEST):
            store.write("bees " * 500, source="new", start=number)

        def program() -> list[str]:
            store.search("bees", most=3)
            return review(store, 1.0)

        empty = execute(program, engine=Scripted(""))
        assert empty.result == [] and empty.receipt.attempts > 0
        assert store.read(old[0]).credit == 0
        assert execute(program, engine=Scripted("so", window=900)).error is None


def test_a_page_as_long_as_the_window_stops_no_condensing(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        store.write("big " * 2000, source="a")
        small = [store.write(f"small {n}", source="a", start=n) for n in range(1, 20)]
        for number in range(NEWEST):
            store.write(f"new {number}", source="new", start=number)

        def program() -> list[str]:
            store.search("new", most=2)
            return review(store, -1.0)

        condensed: list[str] = []
        for _ in range(3):
            (made,) = execute(program, engine=Scripted("so", window=1500)).result
            condensed += store.read(made).links
        assert condensed == small


def test_a_resumed_run_gives_no_credit_twice(tmp_path: Path) -> None:
    engine = Scripted("Bees are a family matter.")
    with memory(tmp_path / "store") as store:
        talk(store)

        def program() -> str:
            found = store.search("bees", most=2)
            (reflected,) = review(store, 1.0)
            return echo(f"{found[0].page.address} {reflected}").value

        with computer(engine, run_dir=tmp_path / "runs") as machine:
            first = finish(machine.start(program, budget=Budget(calls=1)))
        again = resumed(tmp_path / "runs", first, program, engine=engine, budget=Budget())
        assert first.error is not None and again.error is None and again.receipt.reused == 1
        pages = store.levels.pages(store.levels.disk.numbers()).values()
        credits = [page.credit for page in pages if page.credit]
        assert credits == pytest.approx([RATE, RATE])
        assert store.levels.take_handed_out() == []


def test_credit_finds_what_helped_before_more_often() -> None:
    shares = [found(Bag(), 40, seed=3, with_credit=credited) for credited in (False, True)]
    assert shares[1] > shares[0]


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A store of one page whose embedder is the fast one, for programs to open."""
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    with Memory(tmp_path / "m", embedder="static") as store:
        store.write("Person: I have a dog.", label=USER, source="conversation", time_s=1.0)
        store.search("dog")  # from here on the store's embedder is this one
    return tmp_path / "m"


def test_converse_fits_its_window_whatever_it_remembers(static: Path) -> None:
    for number in range(3):
        said = f"{number}: " + "Vera and I talked of the mill. " * 35
        run = execute(
            lambda said=said: converse(said, str(static)), engine=Scripted("5", window=3000)
        )
        assert run.error is None and run.result == "5"
    with Memory(static) as store:
        assert max(len(found.page.text) for found in store.search("Vera", among="own")) > 1000


def test_converse_answers_in_a_chat_of_what_was_said_last(static: Path) -> None:
    engine = Scripted(
        lambda seen: f"So it is: {seen.chat[-1].text}." if seen.chat else "3", window=3000
    )

    def tell(message: str) -> tuple[Turn, ...]:
        assert execute(lambda: converse(message, str(static)), engine=engine).error is None
        return next(seen.chat for seen in reversed(engine.seen) if seen.chat)

    tell("Vera is here.")
    tell("She has a dog.")
    chat = [
        "Vera is here.",
        "So it is: Vera is here..",
        "She has a dog.",
        "So it is: She has a dog..",
        "So?",
    ]
    assert tell("So?") == chat_of(*chat).turns
    memories = engine.seen[-1].operands["memories"].splitlines()
    assert memories == ["Person: I have a dog."]  # none stands there twice
    before: tuple[Turn, ...] = ()
    for number in range(12):
        last = tell(f"{number} " * 60)
        assert not before or last[-3] == before[-1]
        before = last
    assert 4 < len(last) < 17 and last[0].role == "user"


def test_what_converse_was_told_by_others_lowers_its_answer(static: Path) -> None:
    with Memory(static) as store:
        for text, label in (("Person: Hi, Ann.", USER), ("Friend: Hi.", UNTRUSTED)):
            store.write(text, label=label, source="conversation")
    engine = Scripted({"How much does": "3", "friend": "So it is."})
    execute(lambda: converse("What now?", str(static)), engine=engine)
    assert [turn.text for turn in engine.seen[-1].chat] == ["Hi, Ann.", "Hi.", "What now?"]
    with Memory(static) as store:
        assert store.newest("conversation", 1)[0].label == UNTRUSTED


def test_converse_remembers_across_runs(nlpu: Terminal, tmp_path: Path, static: Path) -> None:
    words = ("--engine", "scripted", "--json")
    first = nlpu("run", "converse", "My sister Vera has moved to Lisbon.", "store=m", *words).json
    assert first["result"]
    with Memory(static) as store:
        texts = [page.text for page in store.levels.pages(store.levels.disk.numbers()).values()]
        assert "Person: My sister Vera has moved to Lisbon." in texts
        assert f"Friend: {first['result']}" in texts
        found = store.search("Where did Vera move?", most=9, among="own")
        best = [each.page.text for each in found]
        assert best.index(texts[1]) < best.index(texts[0])
    again = nlpu("replay", first["run_id"], "--json").json
    assert again["result"] == first["result"]
    cited = nlpu("run", "answer", "Where does Vera live?", "store=m", *words)
    assert cited.code == 0


def test_converse_keeps_what_is_told_only_when_it_is_told(nlpu: Terminal, static: Path) -> None:
    def kept() -> list[str]:
        with Memory(static) as store:
            return [page.text for page in store.levels.pages(store.levels.disk.numbers()).values()]

    words = ("run", "converse", "My PIN is 4712.", "store=m", "--engine", "scripted")
    dry = nlpu(*words, "--dry")
    assert dry.code == 0 and "a run may take more: memory" in dry.out
    assert kept() == ["Person: I have a dog."]
    told = nlpu(*words, "--json").json["run_id"]
    assert "Person: My PIN is 4712." in kept()
    assert nlpu("memory", "forget", "conversation", "--store", "m").code == 0
    shown = nlpu("show", told, "--html", "a.html")
    assert shown.code == 0 and "its replay met" in shown.err
    assert "which this run has read, has been forgotten since" in nlpu("replay", told).err
    assert kept() == []


def test_converse_fits_its_window_with_fences_of_any_length(static: Path) -> None:
    with Memory(static) as store:
        for number in range(6):
            store.write(f"Vera {number} " + "`" * (200 - number), label=USER)
    for window in range(900, 1500, 60):
        run = execute(lambda: converse("Vera", str(static)), engine=Scripted("5", window=window))
        assert run.error is None
