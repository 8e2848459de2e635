"""Batches that are left, tried again, and taken up where other runs lie: what is told of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import count, echo, said, slow

from nlpu import (
    Budget,
    BudgetExceeded,
    FakeClock,
    Limits,
    NlpuError,
    ProgramError,
    ServerFault,
    Unreachable,
    Usage,
)
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime.computer import Computer
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.fleet.items import Items
from nlpu.runtime.fleet.plan import Entry, Plan
from nlpu.runtime.fleet.share import NO_CALLS
from nlpu.testing.scripted import Scripted, Seen

INPUTS = list("abc")
LIMITS = Limits(patience_s=0, attempts=1)


def numbered(text: str) -> str:
    """The program of these tests: two calls, one on the other's answer."""
    return f"{text}{count(echo(text)).value}"


def other(text: str) -> str:
    return "another's"


def computer(model: Any, folder: str | Path) -> Computer:
    engine = model if isinstance(model, Scripted) else Scripted(model)
    return Computer(engine, run_dir=folder, clock=FakeClock(), limits=LIMITS)


class World:
    """A model that fails as it is told to, and knows what it answered of each input."""

    def __init__(self) -> None:
        self.malformed, self.gone = "", ""  # inputs that it fails at, in their second call
        self.known: dict[str, set[str]] = {text: set() for text in INPUTS}
        self.given_up: dict[str, int] = dict.fromkeys(INPUTS, 0)
        self.again: list[str] = []  # what was asked though it was answered
        self.told, self.faults = NO_CALLS, 0  # what the batch says, and what it was refused
        self.engine = Scripted(self.answer)

    def answer(self, seen: Seen) -> str | NlpuError:
        (text,) = seen.operands.values()
        op = "count" if "How many" in seen.instruction else "echo"
        if op == "count" and text in self.gone:
            self.faults += 1
            return ServerFault("it fell over")
        if op == "count" and text in self.malformed:
            self.given_up[text] += 1
            if self.given_up[text] % 2 == 0:  # it is asked twice; then its failure is the answer
                self.known[text].clear()
            return "many"
        self.again += [f"{op} {text}"] * (op in self.known[text])
        self.known[text].add(op)
        return text if op == "echo" else "7"


class Life(NamedTuple):
    """One life of the batch: its faults, how it ends, and whether a kill lost what it kept.

    alone: inputs whose failed runs somebody goes on with alone afterwards.
    healed: with better luck.
    """

    malformed: str
    gone: str
    retry: bool
    calls: int  # that it may make
    leave_after: int  # items
    killed: bool
    alone: str = ""
    healed: bool = False


FAULTY = st.sampled_from(["", "a", "b", "ab", "abc"])
LIVES = st.builds(
    Life,
    FAULTY,
    FAULTY,
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from([1, 2, 9]),
    st.booleans(),
    FAULTY,
    st.booleans(),
)


def lived(world: World, folder: str, life: Life) -> list[Item]:
    """Have it, and check that what was spent before is all that the engine was sent."""
    world.malformed, world.gone = life.malformed, life.gone
    kept, sent, items = Path(folder, "x.items"), len(world.engine.seen), list[Item]()
    Items(kept).close()
    shutil.copy(kept, f"{kept}.before")
    with computer(world.engine, folder) as machine:
        batch = machine.map(
            numbered,
            INPUTS,
            name="x",
            retry=life.retry,
            at_once=2,
            budget=Budget(calls=sent + life.calls),
        )
        batch.open()
        assert batch._whole.spent.calls == sent and batch._former is not None
        world.told = batch._former.took
        with suppress(NlpuError):
            for item in batch:
                items.append(item)
                if len(items) == life.leave_after:
                    break
    if life.killed:
        with closing(sqlite3.connect(kept, isolation_level=None)) as db:
            db.execute("ATTACH ? AS before", (f"{kept}.before",))
            db.execute(
                "DELETE FROM main.item WHERE (run, took) NOT IN (SELECT run, took FROM before.item)"
            )
    if life.healed:
        world.malformed = world.gone = ""
    for item in items:
        if item.status == "failed" and INPUTS[item.index] in life.alone:
            with computer(world.engine, folder) as machine:
                machine.resume(item.run, numbered, INPUTS[item.index]).wait()
    return items


LAST = Life("", "", retry=True, calls=99, leave_after=9, killed=False)


@settings(max_examples=20)
@given(lives=st.lists(LIVES, min_size=1, max_size=5))
def test_what_is_told_as_spent_is_what_was_sent_and_nothing_answered_is_sent_again(
    lives: list[Life],
) -> None:
    """Whatever the lives of a batch: failures of the model and the host, a spent budget, a kill."""
    world = World()
    with TemporaryDirectory() as folder:
        for life in [*lives, LAST, LAST]:
            items = lived(world, folder, life)
    assert [item.result for item in items] == ["a7", "b7", "c7"]
    assert sum(item.cost.calls for item in items) == world.told.answered.calls
    assert len(world.again) <= world.told.lost.calls - world.faults  # those under way at a stop


def test_a_retry_that_was_stopped_goes_on_with_its_own_run(tmp_path: Path) -> None:
    world = World()
    lived(world, str(tmp_path), Life("a", "", False, 99, 9, killed=False))
    lived(world, str(tmp_path), Life("", "", True, 1, 9, killed=False))  # the first of two calls
    first, *_ = lived(world, str(tmp_path), LAST)
    assert first.run == "x.4" and first.cost.calls == 5 and not world.again


@pytest.mark.parametrize("calls", [99, 2], ids=["done", "stopped"])
def test_what_was_gone_on_with_alone_is_taken_up_by_the_same_batch(
    tmp_path: Path, calls: int
) -> None:
    world = World()
    items = lived(world, str(tmp_path), Life("", "b", False, 99, 9, killed=False))
    assert [item.status for item in items] == ["done", "failed", "done"]
    world.gone = ""
    with computer(world.engine, tmp_path) as machine:
        alone = machine.resume(items[1].run, numbered, "b", budget=Budget(calls=calls)).wait()
    assert alone.status == ("done" if calls == 99 else "stopped")
    sent = len(world.engine.seen)
    again = lived(world, str(tmp_path), Life("", "", False, 99, 9, killed=False))
    assert [item.result for item in again] == ["a7", "b7", "c7"] and again[1].run == items[1].run
    assert len(world.engine.seen) - sent == (calls == 2) and not world.again
    assert again[1].cost.calls == 2 and lived(world, str(tmp_path), LAST) == again


# -- other runs in its journal -------------------------------------------------------------------


@pytest.mark.parametrize(
    "beside",
    [
        lambda machine: machine.run(other, "b"),
        lambda machine: list(machine.map(other, ["b"])),
    ],
)
def test_runs_beside_a_batch_are_not_its(tmp_path: Path, beside: Callable[[Computer], Any]) -> None:
    """Neither their results nor their cost, though their arguments are those of an input."""
    with computer(said, tmp_path) as machine:
        list(machine.map(asks, ["a"], name="x"))
        machine.run(asks, "b")
        beside(machine)
    with computer(said, tmp_path) as machine:
        items = list(machine.map(asks, ["a", "b"], name="x", budget=Budget(calls=2)))
    assert [item.result for item in items] == ["a", "b"]


def asks(text: str) -> str:
    return str(echo(text))


class Rises(Scripted):
    """An engine that is not up when it is asked first."""

    is_up = False

    async def capabilities(self) -> Any:
        if not self.is_up:
            self.is_up = True
            raise Unreachable("not up yet")
        return await super().capabilities()


@pytest.mark.parametrize(
    ("engine", "opens"),
    [
        (Rises, lambda machine: list(machine.map(asks, ["a", "b"], name="x"))),
        (Scripted, lambda machine: list(machine.map(other, ["a", "b"], name="x"))),
        (Scripted, lambda machine: machine.resume("nowhere", asks, "a")),
    ],
)
def test_what_is_run_after_a_batch_did_not_open_has_a_journal_of_its_own(
    tmp_path: Path, engine: Any, opens: Callable[[Computer], Any]
) -> None:
    """Nor does what a resume did not find become one."""
    with computer(said, tmp_path) as machine:
        list(machine.map(asks, ["a"], name="x"))
    with computer(engine(said), tmp_path) as machine:
        with pytest.raises((Unreachable, Usage, ProgramError)):
            opens(machine)
        run = machine.run(asks, "b")
    assert run.result == "b" and run.name not in ("x", "x.2", "nowhere")


READ: list[Callable[[Item], Any]] = [
    lambda item: item.result,
    lambda item: item.error,
    lambda item: item.why,
    lambda item: item.text,
    lambda item: item.line(),
]


@pytest.mark.parametrize("read", READ)
def test_a_program_that_reads_what_came_of_an_input_has_seen_it(
    tmp_path: Path, read: Callable[[Item], Any]
) -> None:
    """It may have been made of a file that is nobody's word."""
    with computer(said, tmp_path) as machine:
        plan = Plan(facts={"reads": "--each"})
        (item,) = machine.batch(asks, [Entry("", ("a",), {})], plan)
        assert item.label == UNTRUSTED
        assert machine.run(lambda: item.status).label == USER
        assert machine.run(lambda: str(read(item))).label == UNTRUSTED
        assert machine.run(lambda: repr(item)).label == USER and "'a'" not in repr(item)


def test_a_batch_and_its_items_say_what_they_are(tmp_path: Path) -> None:
    with computer(said, tmp_path) as machine:
        batch = machine.map(asks, ["a", ["no text"]])
        assert repr(batch) == "Batch(asks, 0 inputs ended; iterate over it for its items)"
        right, wrong = batch
        assert repr(batch).startswith("Batch(asks, 2 inputs ended")
    assert repr(right) == f"input 1: done, {right.result}"
    assert repr(wrong).startswith("input 2: failed, BadOperand: ")


# -- left before its end -------------------------------------------------------------------------


def test_one_that_is_left_can_be_taken_up_at_once(tmp_path: Path) -> None:
    with computer(slow(1.0), tmp_path) as machine:
        for item in machine.map(asks, map(str, range(30)), name="x", at_once=2):
            if item.index == 2:
                break
        items = list(machine.map(asks, map(str, range(6)), name="x"))
    assert [item.result for item in items] == [*"012345"]


def test_one_whose_inputs_break_off_can_be_taken_up_at_once(tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield from "abc"
        raise RuntimeError("the source broke")

    with computer(said, tmp_path) as machine:
        with pytest.raises(RuntimeError, match="the source broke"):
            list(machine.map(asks, broken(), name="x", at_once=2))
        assert [item.result for item in machine.map(asks, list("abcd"), name="x")] == [*"abcd"]


def test_async_code_can_leave_it_and_be_cancelled(tmp_path: Path) -> None:
    async def stuck(text: str) -> str:
        await asyncio.Event().wait()
        return text

    async def take(batch: Any, first: asyncio.Event) -> None:
        async for _ in batch:
            first.set()

    async def mixed(text: str) -> str:
        return await stuck(text) if text == "b" else str(await echo(text))

    async def main() -> list[int]:
        async with computer(said, tmp_path) as machine:
            first = asyncio.Event()
            task = asyncio.create_task(take(machine.map(mixed, list("ab"), name="x"), first))
            await first.wait()
            task.cancel()
            await asyncio.wait([task])
            found = []
            for _ in range(2):  # each takes up what the one before has left
                async with aclosing(aiter(machine.map(mixed, list("ab"), name="x"))) as items:
                    found.append((await anext(items)).index)
            return found

    assert asyncio.run(main()) == [0, 0]


def test_a_budget_is_still_raised_behind_the_last_item(tmp_path: Path) -> None:
    with computer(said, tmp_path) as machine, pytest.raises(BudgetExceeded):
        list(machine.map(asks, list("abc"), name="x", budget=Budget(calls=2)))
