"""Memory in runs that are resumed, edited, replayed and forecast: nothing is done twice, and a run
that does not count does nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute, finish, resumed, said, shorten
from memory_kit import TALK, both, kept_in, memory, talk

from nlpu.errors import BadOperand, Diverged, NlpuError, Refused, ServerFault
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.consolidate import NEWEST, consolidate, review
from nlpu.memory.controller import Memory
from nlpu.runtime import Budget, spawn
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.observe.forecast import forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.testing.scripted import Scripted
from nlpu.wire import Capabilities

__all__ = ["kept_in"]
pytestmark = both

MILL, BEES = "Tom built the mill.", "Bees live in hives."


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with memory(tmp_path / "store") as opened:
        yield opened


def texts(store: Memory) -> list[str]:
    return [page.text for page in store.levels.pages(store.levels.disk.numbers()).values()]


def edited(run_dir: Path, run: Any, program: Callable[[], Any], **results: str) -> Any:
    edits = Edits(results={at.replace("_", "/"): text for at, text in results.items()})
    with computer(Scripted(said), run_dir=run_dir) as machine:
        return finish(machine.rerun(run.name, program, edits=edits))


# -- looking up ----------------------------------------------------------------------------------


def asking(store: Memory, question: Callable[[], str]) -> Callable[[], list[str]]:
    def program() -> list[str]:
        found = store.search(question(), most=1)[0].page.text
        return [found, echo(found).value]

    return program


def test_who_asks_another_question_gets_other_pages(tmp_path: Path, store: Memory) -> None:
    store.write(MILL)
    store.write(BEES)
    asked = asking(store, lambda: str(shorten("who built the mill")))
    old = execute(asked, engine=Scripted(said), run_dir=tmp_path)
    assert old.result[0] == MILL
    new = edited(tmp_path, old, asked, main_0="where do bees live")
    assert new.result == [BEES, said_of(BEES)]
    assert resumed(tmp_path, new, asked, replay=True).result == new.result

    other = asking(store, lambda: str(shorten("who built the mill")) and "bees")
    with pytest.raises(Diverged, match="it asked for 1 pages for the question"):
        raise resumed(tmp_path, old, other).error or AssertionError
    assert resumed(tmp_path, old, other, changed=True).result[0] == BEES


def said_of(text: str) -> str:
    return str(execute(lambda: echo(text).value, engine=Scripted(said)).result)


def test_another_question_after_a_failure_of_the_host_is_no_divergence(
    tmp_path: Path, store: Memory
) -> None:
    store.write(MILL)
    store.write(BEES)

    def question() -> str:
        try:
            return str(shorten("bees"))
        except NlpuError:
            return "mill"

    program = asking(store, question)
    first = execute(program, engine=Scripted(lambda seen: ServerFault("down")), run_dir=tmp_path)
    assert isinstance(first.error, ServerFault)
    assert resumed(tmp_path, first, program, engine=Scripted("bees")).result[0] == BEES


def test_neighbours_are_those_that_the_run_saw(tmp_path: Path, store: Memory) -> None:
    at = talk(store)[-1]

    def program() -> Any:
        around = [page.text for page in store.neighbours(at, 1, 3)]
        notes = echo(" ".join(around)).value
        store.write(notes, source="talk", start=10_000)
        return around, echo(f"and now? {notes}").value

    first = execute(program, run_dir=tmp_path, budget=Budget(calls=1))
    assert first.error is not None and len(store.neighbours(at, 1, 3)) == 2
    again = resumed(tmp_path, first, program, budget=Budget())
    assert again.error is None and again.result[0] == [TALK[4]] and again.receipt.reused == 1


# -- writing --------------------------------------------------------------------------------------


def test_what_a_person_forgot_stays_forgotten(tmp_path: Path, store: Memory) -> None:
    def program() -> Any:
        store.write("my PIN is 4711", source="conversation", label=USER)
        return echo("a").value, echo("b").value

    first = execute(program, run_dir=tmp_path, budget=Budget(calls=1))
    assert texts(store) == ["my PIN is 4711"]
    assert store.forget("conversation") == 1
    done = resumed(tmp_path, first, program, budget=Budget())
    assert done.error is None and texts(store) == []
    assert resumed(tmp_path, done, program, replay=True).result == done.result
    assert texts(store) == []


def test_a_run_whose_pages_were_forgotten_says_so(tmp_path: Path, store: Memory) -> None:
    talk(store)

    def looking() -> Any:
        return [echo(found.page.text).value for found in store.search("bees", most=2)]

    def around() -> Any:
        return [page.text for page in store.neighbours(address, 1, 0)]

    address = store.write("the end", source="talk", start=9999)
    runs = [(execute(program, run_dir=tmp_path), program) for program in (looking, around)]
    for turn in TALK:
        store.forget(next(p.address for p in pages(store) if p.text == turn))
    for run, program in runs:
        with pytest.raises(BadOperand, match=r"page \d, which this run has read, has been forg"):
            raise resumed(tmp_path, run, program, replay=True).error or AssertionError


def pages(store: Memory) -> list[Any]:
    return list(store.levels.pages(store.levels.disk.numbers()).values())


def test_a_page_that_is_gone_moves_no_credit_to_another(tmp_path: Path, store: Memory) -> None:
    old = talk(store)
    for number in range(NEWEST):
        store.write(f"new {number}", source="new", start=number, label=USER)

    def program() -> Any:
        return echo("first").value, review(store, 1.0)

    first = execute(program, run_dir=tmp_path, budget=Budget(calls=1))
    assert first.error is not None
    store.forget(old[0])
    again = resumed(tmp_path, first, program, budget=Budget())
    assert isinstance(again.error, BadOperand) and "forgotten" in str(again.error)
    assert not any(page.credit for page in pages(store))


def test_an_edited_run_writes_what_is_new_and_no_more(tmp_path: Path, store: Memory) -> None:
    def program() -> str:
        told = str(echo("a"))
        store.write("as ever", source="notes", label=USER)
        store.write(f"told: {told}", source="notes", label=USER)
        return store.forget("nothing of the kind") or told

    old = execute(program, engine=Scripted("one"), run_dir=tmp_path)
    store.forget("notes")
    assert edited(tmp_path, old, program, main_0="two").result == "two"
    assert texts(store) == ["told: two"]


def test_a_page_sinks_with_the_edited_program_that_writes_it(tmp_path: Path, store: Memory) -> None:
    rumour = store.write("a rumour")

    def program() -> None:
        if str(echo("a")) == "look":
            store.read(rumour)
        store.write("as ever", source="notes", label=USER)

    old = execute(program, engine=Scripted("one"), run_dir=tmp_path)
    assert [page.label for page in pages(store)] == [UNTRUSTED, USER]
    assert edited(tmp_path, old, program, main_0="look").error is None
    assert [page.label for page in pages(store)] == [UNTRUSTED, UNTRUSTED]


# -- runs that change nothing --------------------------------------------------------------------


def writing(store: Memory, address: str) -> None:
    store.write("something new")


def forgetting(store: Memory, address: str) -> None:
    store.forget(address)


def crediting(store: Memory, address: str) -> None:
    store.read(address)
    consolidate(store, 1.0)


CHANGES = [writing, forgetting, crediting]


@pytest.mark.parametrize("change", CHANGES)
def test_a_dry_run_changes_no_memory_and_names_it(store: Memory, change: Any) -> None:
    address = talk(store)[0]
    before = pages(store)

    def program() -> Any:
        echo("a").value  # noqa: B018 - forced
        return spawn(lambda: change(store, address)).value, echo("b").value

    known = Capabilities("scripted", 100_000, 4, tokenizer="chars")
    made = forecast(program, (), {}, known=known, experience=Experience(), dry_runs=2)
    assert made.refused_drivers == ("memory",) and made.calls.expected == 1
    assert pages(store) == before
    run = execute(lambda: change(store, address))
    assert run.error is None and pages(store) != before


@pytest.mark.parametrize("change", CHANGES)
def test_a_replay_does_not_do_what_the_run_never_did(
    tmp_path: Path, store: Memory, change: Any
) -> None:
    address = talk(store)[0]
    before = pages(store)
    first = execute(lambda: echo("a").value, run_dir=tmp_path)

    def program() -> Any:
        return echo("a").value, change(store, address)

    with pytest.raises(Diverged, match="its journal does not hold that it asked for"):
        raise resumed(tmp_path, first, program, replay=True).error or AssertionError
    assert pages(store) == before


def test_a_program_may_go_on_where_a_dry_run_refuses(store: Memory) -> None:
    def program() -> Any:
        try:
            store.write("something new")
        except Refused:
            return echo("a")
        raise AssertionError("a dry run wrote")

    known = Capabilities("scripted", 100_000, 4, tokenizer="chars")
    made = forecast(program, (), {}, known=known, experience=Experience(), dry_runs=2)
    assert made.refused_drivers == ("memory",) and made.calls.expected == 1
