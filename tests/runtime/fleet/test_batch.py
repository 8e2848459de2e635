"""A program over many inputs: their order, failures, and what is no batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_kit import all_there_is, asks_once, computer, told
from kit import echo, said, slow

from nlpu import Interrupted, Limits, ProgramError, Unreachable, Usage
from nlpu.runtime.fleet.item import Item
from nlpu.testing.scripted import Scripted


@pytest.mark.parametrize(("ordered", "indices"), [(True, [0, 1, 2]), (False, [2, 1, 0])])
def test_items_come_in_the_order_of_their_inputs_or_as_they_end(
    ordered: bool, indices: list[int]
) -> None:
    ended = {text: asyncio.Event() for text in "bcd"}

    async def after_the_next(text: str) -> str:
        if text != "d":  # which is begun last, when the others are listened to
            await ended[chr(ord(text) + 1)].wait()
        answer = await echo(text)
        if text in ended:
            ended[text].set()
        return answer

    with computer() as machine:
        items = list(machine.map(after_the_next, list("abcd"), ordered=ordered))
    assert [item.index for item in items if item.index < 3] == indices
    assert {item.index: item.result for item in items} == dict(enumerate("abcd"))


def test_a_failure_is_its_item_s_and_raised_where_its_result_is_asked_for() -> None:
    with computer() as machine:
        batch = machine.map(told, ["a", "bad", "c"])
        one, two, three = batch
    assert (one.result, three.result) == ("a!", "c!") and batch.error is None
    assert two.status == "failed" and "it is bad" in str(two.error)
    with pytest.raises(ProgramError, match="it is bad"):
        _ = two.result
    assert (batch.counts.done, batch.counts.failed) == (2, 1)


def test_inputs_are_one_argument_several_or_by_name() -> None:
    def add(left: int, right: int = 10) -> int:
        return left + right

    with computer() as machine:
        items = list(machine.map(add, [1, (1, 2), {"right": 5, "left": 5}]))
        assert [item.result for item in items] == [11, 3, 10]
        assert [item.result for item in machine.map(echo, ["an op", "too"])] == ["an op", "too"]


def test_no_more_runs_go_on_than_are_wanted_and_inputs_are_read_when_there_is_room() -> None:
    read: list[int] = []
    going, most = 0, 0

    def inputs() -> Iterator[str]:
        for number in range(60):
            read.append(number)
            yield str(number)

    async def program(text: str) -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        answer = await echo(text)
        going -= 1
        return answer

    with computer(slow(1.0), limits=Limits(max_in_flight=16)) as machine:
        batch = machine.map(program, inputs(), at_once=3)
        for item in batch:
            assert len(read) <= batch.counts.ended + 3 and item.error is None
    assert most == 3 and len(read) == 60 and batch.counts.done == 60


def test_what_runs_behind_a_slow_input_is_bounded() -> None:
    """One that never ends does not make the machine hold all the others' outcomes."""
    from nlpu.runtime.fleet.batch import MOST_AHEAD

    many = MOST_AHEAD + 500
    with computer(slow(lambda text: 1e6 if text == "0" else 0.001)) as machine:
        batch = machine.map(asks_once, map(str, range(many)), at_once=64)
        first = next(iter(batch))
        assert first.index == 0 and batch.counts.done <= MOST_AHEAD


def test_long_results_that_wait_are_few() -> None:
    long = "x" * 2**20

    async def writes(text: str) -> str:
        if text == "0":
            await asyncio.Event().wait()
        return long

    with computer() as machine:
        batch = machine.map(writes, map(str, range(200)), at_once=4)
        while batch.counts.done < 30:
            batch.step(0.01)
        for _ in range(20):
            batch.step(0.001)
        assert batch.counts.done <= 40
        batch.close()


def test_async_code_gets_the_items_too() -> None:
    async def main() -> list[str]:
        async with computer() as machine:
            return [item.result async for item in machine.map(told, list("ab"))]

    assert asyncio.run(main()) == ["a!", "b!"]


def test_the_items_add_up_to_the_batch() -> None:
    with computer() as machine:
        batch = machine.map(told, [*"abcdef", "bad"])
        items = list(batch)
    costs = [item.cost for item in items]
    assert batch.counts.cost.calls == sum(cost.calls for cost in costs) == 12
    assert batch.counts.cost.tokens == sum(cost.tokens for cost in costs)
    assert batch.counts.cost.nlops == pytest.approx(sum(cost.nlops for cost in costs))


@pytest.mark.parametrize(
    ("inputs", "settings", "words"),
    [
        ("notes.jsonl", {}, "--each FILE"),
        ({"a": 1}, {}, "inputs are a list"),
        (5, {}, "inputs are a list"),
        (["a"], {"at_once": -1}, "at_once must be a whole number"),
        (["a"], {"budget": 5}, "budget must be a nlpu.Budget"),
    ],
)
def test_what_is_no_batch_is_refused(inputs: Any, settings: Any, words: str) -> None:
    with computer() as machine, pytest.raises(Usage, match=words):
        machine.map(told, inputs, **settings)


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [("a_b", "here", "letters and digits"), ("abc", None, "give the computer a run_dir=")],
)
def test_a_name_that_keeps_nothing_is_refused(
    tmp_path: Path, name: str, where: str | None, words: str
) -> None:
    with computer(folder=where and tmp_path) as machine, pytest.raises(Usage, match=words):
        list(machine.map(told, ["a"], name=name))


def test_a_program_cannot_wait_for_a_batch() -> None:
    with computer() as machine:

        def nests() -> list[Any]:
            return list(machine.map(told, ["a"]))

        error = machine.run(nests).error
    assert "a program cannot wait for a batch" in str(error)


def test_a_host_that_is_gone_stops_the_batch_and_not_every_input() -> None:
    gone = Scripted(said, faults=lambda *seen: Unreachable("nobody there"))
    limits = Limits(patience_s=0, attempts=1)
    with computer(gone, limits=limits) as machine:
        batch = machine.map(asks_once, map(str, range(1000)), at_once=10)
        items = all_there_is(batch)
    assert len(items) < 40 and all(item.status == "failed" for item in items)
    assert "inputs in a row failed" in str(batch.error) and "nobody there" in str(batch.error)


def test_an_input_that_is_none_stops_the_batch_and_is_raised(tmp_path: Path) -> None:
    with computer(folder=tmp_path) as machine:
        batch = machine.map(told, ["a", object(), "c"], name="x", at_once=1)
        items: list[Item] = []
        with pytest.raises(Usage, match="input 2 has no JSON form"):
            items.extend(batch)
    assert [item.result for item in items] == ["a!"]


def test_a_program_that_stops_itself_stops_the_batch() -> None:
    """An input without an outcome would leave those behind it waiting."""

    def gives_up(text: str) -> str:
        if text == "b":
            raise Interrupted("no more")
        return text

    with computer() as machine, pytest.raises(Interrupted, match="no more"):
        list(machine.map(gives_up, list("abc"), at_once=1))
