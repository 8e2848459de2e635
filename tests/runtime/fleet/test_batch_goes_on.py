"""A batch that was stopped goes on where it was: what is kept, asked again, and in one budget."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from batch_kit import all_there_is, asks_once, computer, told
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import count, echo, said, slow

from nlpu import (
    Budget,
    BudgetExceeded,
    Interrupted,
    JournalDamaged,
    Limits,
    Malformed,
    NeedsPerson,
    RunBusy,
    Unreachable,
    Usage,
    driver,
)
from nlpu.label import USER
from nlpu.runtime.computer import Computer
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.fleet.batch import Batch
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.fleet.plan import Entry, Plan
from nlpu.testing.scripted import Say, Scripted, Seen


def lines(batch: Batch) -> list[str]:
    return [item.line() for item in batch]


def sent(model: Scripted) -> list[str]:
    """The operands of all that the model was asked."""
    return [" ".join(seen.operands.values()) for seen in model.seen]


# -- going on ------------------------------------------------------------------------------------


def test_under_its_name_it_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    inputs = [*"abcdefgh", "bad"]
    with computer() as machine:
        whole = [item.result if item.error is None else None for item in machine.map(told, inputs)]
    first, second = Scripted(said), Scripted(said)
    with computer(first, tmp_path) as machine:
        batch = machine.map(told, inputs, name="letters", budget=Budget(calls=7), at_once=3)
        before: list[Item] = []
        with pytest.raises(BudgetExceeded):
            before.extend(batch)
        assert batch.error is not None and 2 <= len(before) < 9
    with computer(second, tmp_path) as machine:
        batch = machine.map(told, inputs, name="letters", budget=Budget(calls=99))
        items = list(batch)
    results = [item.result if item.error is None else None for item in items]
    assert results == whole and batch.error is None
    assert len(first.seen) == 7 and len(second.seen) == 16 - 7
    assert batch.counts.cost.calls == 16
    with computer(second, tmp_path) as machine:
        again = lines(machine.map(told, inputs, name="letters"))
    assert again == [item.line() for item in items] and len(second.seen) == 16 - 7


def test_of_a_stopped_batch_all_is_told_that_was_done_and_spent(tmp_path: Path) -> None:
    inputs = [f"text {n}" for n in range(12)]
    with computer(folder=tmp_path) as machine:
        first = machine.map(told, inputs, name="letters", budget=Budget(calls=7), at_once=3)
        with pytest.raises(BudgetExceeded):
            list(first)
    done = first.counts.done
    assert first.counts.cost.calls == 7 and 0 < done < 7, "that of unfinished runs, too"
    with computer(folder=tmp_path) as machine:
        again = machine.map(told, inputs, name="letters")
        again.open()
        again.stop(Interrupted("interrupted"))
        again.close()
    counts = again.counts
    assert (counts.done, counts.known, counts.cost.calls) == (done, done, 7), "none was read yet"


def test_results_of_a_former_life_have_the_type_that_the_program_says(tmp_path: Path) -> None:
    def count(text: str) -> dict[str, float]:
        return {text: 1.5}

    for _ in range(2):
        with computer(folder=tmp_path) as machine:
            (item,) = machine.map(count, ["a"], name="counts")
            assert item.result == {"a": 1.5} and item.label == USER


def test_failures_are_run_again_where_that_is_asked_for(tmp_path: Path) -> None:
    """By the host's fault: the run goes on. By the model's: it is asked anew."""
    answers = iter(["nothing", "nothing", "12", "5"])

    def model(seen: Seen) -> Say:
        return Say(next(answers))

    def numbers(text: str) -> int:
        return int(count(text).value)

    def once(engine: Scripted, **more: Any) -> list[Any]:
        with computer(engine, tmp_path) as machine:
            return list(machine.map(numbers, ["a", "b"], name="numbers", at_once=1, **more))

    one, two = once(Scripted(model))
    assert isinstance(one.error, Malformed) and two.result == 12
    kept, _ = once(Scripted(model))
    assert kept.status == "failed" and kept.line() == one.line()
    again, two = once(Scripted(model), retry=True)
    assert (again.result, two.result) == (5, 12)
    assert again.cost.calls == one.cost.calls + 1  # what it took before is not forgotten
    assert once(Scripted(model))[0].line() == again.line()


def test_a_host_failure_that_is_tried_again_keeps_what_was_answered(tmp_path: Path) -> None:
    model = Scripted(["b", Unreachable("gone")])
    with computer(model, tmp_path, limits=Limits(patience_s=0, attempts=1)) as machine:
        (item,) = machine.map(told, ["a"], name="down")
        assert isinstance(item.error, Unreachable)
    with computer(Scripted(said), tmp_path) as machine:
        (item,) = machine.map(told, ["a"], name="down", retry=True)
    assert item.result == "b!" and item.cost.calls == 2


def test_another_program_or_model_is_told_of(tmp_path: Path) -> None:
    with computer(folder=tmp_path) as machine:
        list(machine.map(told, ["a"], name="letters"))
    with computer(folder=tmp_path) as machine, pytest.raises(Usage, match="another program"):
        list(machine.map(asks_once, ["a"], name="letters"))
    other = Scripted(said, model="another")
    with computer(other, tmp_path) as machine, pytest.raises(Usage, match="another model"):
        list(machine.map(told, ["a"], name="letters"))
    with computer(other, tmp_path) as machine:
        items = list(machine.map(told, ["a", "b"], name="letters", changed=True))
    assert [item.result for item in items] == ["a!", "b!"] and sent(other) == ["b", "b"]


def test_two_computers_do_not_share_a_batch(tmp_path: Path) -> None:
    with computer(folder=tmp_path) as machine, computer(folder=tmp_path) as other:
        goes_on = iter(machine.map(told, list("ab"), name="letters"))
        next(goes_on)
        with pytest.raises(RunBusy, match="this batch"):
            list(other.map(told, list("ab"), name="letters"))


@settings(max_examples=15)
@given(
    texts=st.lists(st.sampled_from("abcd"), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    at_once=st.integers(1, 4),
    stops=st.lists(st.integers(0, 6), max_size=3),
)
def test_however_it_is_stopped_and_reordered_each_input_has_its_own_result(
    texts: list[str], seed: int, at_once: int, stops: list[int]
) -> None:
    """Inputs may be equal; between two lives they may be shuffled, and some may be new."""
    random = Random(seed)
    model = Scripted(slow(lambda text: random.random()))
    with TemporaryDirectory() as folder:
        for after in stops:
            with computer(model, folder) as machine:
                batch = machine.map(told, texts, name="letters", at_once=at_once, ordered=False)
                for number, _ in enumerate(batch):
                    if number >= after:
                        break
                batch.close()
            random.shuffle(texts)
        with computer(model, folder) as machine:
            items = list(machine.map(told, texts, name="letters", at_once=at_once))
    assert [item.result for item in items] == [f"{text}!" for text in texts]
    assert all(item.cost.calls == 2 for item in items)


@settings(max_examples=15)
@given(
    most=st.lists(st.integers(0, 15), min_size=1, max_size=3),
    at_once=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_the_budget_of_a_batch_is_never_exceeded_and_all_of_it_can_be_used(
    most: list[int], at_once: int, seed: int
) -> None:
    """Over its lives, and though calls of all runs are under way at once."""
    random = Random(seed)
    inputs = [str(number) for number in range(8)]
    model = Scripted(slow(lambda text: random.random()))
    with TemporaryDirectory() as folder:
        for limit in [*sorted(most), 16]:
            with computer(model, folder) as machine:
                batch = machine.map(
                    told, inputs, name="x", at_once=at_once, budget=Budget(calls=limit)
                )
                items = all_there_is(batch)
                assert len(model.seen) == limit and 2 * len(items) <= limit
                assert (batch.error is None) == (limit == 16)
    assert [item.result for item in items] == [f"{text}!" for text in inputs]


def test_seconds_are_for_the_whole_batch(tmp_path: Path) -> None:
    async def never_ends(text: str) -> str:
        if text == "a":
            return text
        await asyncio.Event().wait()
        return text

    with Computer(Scripted(said), run_dir=tmp_path) as machine:
        batch = machine.map(never_ends, list("abc"), at_once=2, budget=Budget(seconds=0.3))
        assert [item.result for item in all_there_is(batch)] == ["a"]
    assert "0.3 seconds ran out" in str(batch.error)


# -- what is kept --------------------------------------------------------------------------------


OPENED: list[int] = []  # how often SQLite opened a file, while it is not empty


def _heard(event: str, _: Any) -> None:
    if OPENED and event == "sqlite3.connect":
        OPENED[-1] += 1


sys.addaudithook(_heard)


@pytest.mark.parametrize("many", [1, 12])
def test_going_on_opens_its_files_as_often_however_many_runs_were_under_way(
    tmp_path: Path, many: int
) -> None:
    """Each run that goes on is read in the one pass that finds it."""

    async def stuck(text: str) -> str:
        answer = await echo(text)
        await asyncio.Event().wait()
        return str(answer)

    model = Scripted(said)
    for life in (1, 2):
        with computer(model, tmp_path) as machine:
            batch = machine.map(stuck, map(str, range(many)), name="x", at_once=many)
            if life == 2:
                OPENED.append(0)
            while len(model.seen) < many:
                batch.step(0.01)
            batch.step(0.0)
            batch.close()
    assert OPENED.pop() == 6 and len(model.seen) == many


def test_what_is_kept_of_items_is_made_anew_from_the_journal(tmp_path: Path) -> None:
    """Without it, and where it is damaged, which is told."""
    inputs = [*"abc", "bad"]
    with computer(folder=tmp_path) as machine:
        before = lines(machine.map(told, inputs, name="x"))
    kept = tmp_path / "x.items"
    kept.write_bytes(b"no database" * 1000)
    with computer(folder=tmp_path) as machine, pytest.raises(JournalDamaged, match="remove it"):
        list(machine.map(told, inputs, name="x"))
    for path in tmp_path.glob("x.items*"):
        path.unlink()
    model = Scripted(said)
    with computer(model, tmp_path) as machine:
        batch = machine.map(told, inputs, name="x", budget=Budget(calls=6))
        assert lines(batch) == before and batch.error is None
    assert not model.seen
    for path in tmp_path.glob("x.db*"):
        path.unlink()
    with computer(folder=tmp_path) as machine, pytest.raises(JournalDamaged, match="is gone"):
        list(machine.map(told, inputs, name="x"))


def test_who_needs_a_person_waits_for_one_and_nobody_else_does(tmp_path: Path) -> None:
    @driver(effect="external")
    def post(text: str) -> str:
        """Post the text."""
        return f"posted {text}"

    def sends(text: str) -> str:
        return str(post(echo(text))) if text == "b" else text

    header = {"reads": "a file"}

    def once(person: Any) -> list[Any]:
        with computer(folder=tmp_path, person=person) as machine:
            entries = [Entry("", (text,), {}) for text in "abc"]
            return list(machine.batch(sends, entries, Plan("x", facts=header)))

    one, two, three = once(None)
    assert (one.status, two.status, three.status) == ("done", "needs_person", "done")
    assert isinstance(two.error, NeedsPerson)
    assert [item.status for item in once(None)] == ["done", "needs_person", "done"]
    assert [item.result for item in once(ScriptedPerson(approve=lambda call: True))] == [
        "a",
        "posted b",
        "c",
    ]
