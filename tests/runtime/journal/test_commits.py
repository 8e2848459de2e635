"""Commits in two phases: nothing follows from what is not durable, and turns group meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from kit import PATIENCE_S, asked, computer, echo, finish, said, shorten, slow

from nlpu.errors import ProgramError, StorageFailed
from nlpu.runtime import Computer, FakeClock, Run, first, spawn
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.executor.clock import SystemClock
from nlpu.runtime.journal.memory import MemoryStore, Shelf
from nlpu.runtime.journal.records import past_of
from nlpu.testing.scripted import Scripted


def on_loop(seconds: float) -> Callable[[Callable[[], None]], object]:
    """Commits that take seconds of the loop's own time, which in tests is a fake one."""
    return lambda done: asyncio.get_running_loop().call_later(seconds, done)


class Watched(MemoryStore):
    """Counts its commits, and what was durable at each moment that is asked for."""

    def __init__(self, shelf: Shelf, seconds: float = 0.05) -> None:
        super().__init__(shelf, later=on_loop(seconds))
        self.sizes: list[int] = []

    def flush(self) -> Any:
        self.sizes += [len(self._new_rows)] * bool(self._new_rows)
        return super().flush()


class Shelving(Scripted):
    """Notes at each request whether its row was durable: an issue with its text."""

    def __init__(self, script: Any, shelf: Shelf) -> None:
        super().__init__(script)
        self.shelf, self.early = shelf, list[str]()

    async def send(self, request: Any, on_text: Any = None) -> Any:
        rows, texts = MemoryStore(self.shelf, read_only=True).read(1)
        past = past_of(rows)
        known = {texts[number] for call in past.calls.values() for number in call.texts}
        reply = await super().send(request, on_text)
        self.early += [text for text in self.seen[-1].operands.values() if text not in known]
        return reply


def begun(engine: Any, store: MemoryStore, clock: FakeClock | None = None) -> Computer:
    """A computer that keeps its runs there."""
    machine = computer(engine, clock=clock or FakeClock())
    machine.processors  # noqa: B018  (opens it)
    machine._station.kernel.journal = store
    return machine


def results(shelf: Shelf) -> list[str]:
    """The results that are durable of the first run."""
    rows, texts = MemoryStore(shelf, read_only=True).read(1)
    return [texts[made.text] for made in past_of(rows).outcomes.values()]


def test_a_run_on_a_slow_store_is_the_run(tmp_path: Any) -> None:
    def program() -> Any:
        drafts = echo.map([f"{n}" for n in range(20)])
        return [str(shorten(spawn(lambda: echo("inner"))))] + [str(each) for each in drafts.each()]

    there = Shelf()
    with computer(slow(0.02), run_dir=tmp_path) as machine:
        plain = finish(machine.start(program))
    with begun(Shelving(slow(0.02), there), Watched(there)) as machine:
        run = finish(machine.start(program))
    assert run.result == plain.result
    assert len(results(there)) == len(asked_of(machine)) == 22
    with begun(Scripted("never"), MemoryStore(there)) as machine:
        assert finish(machine.resume(machine._station.stem, program)).result == plain.result
        assert asked_of(machine) == []


def asked_of(machine: Computer) -> list[str]:
    return asked(next(iter(machine._station.engines.values())))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 10, 200])
def test_what_comes_while_a_commit_is_under_way_is_one_more(count: int) -> None:
    """N calls whose answers come within the time of one commit take as many as one call does."""
    there = Shelf()
    store = Watched(there)
    engine = Shelving(slow(lambda text: 0.001 * int(text) / count), there)
    with begun(engine, store) as machine:
        run = finish(machine.start(lambda: echo.map([f"{n}" for n in range(count)])))
    assert run.result == [f"{n}" for n in range(count)]
    assert engine.early == [], "sent before it was durable"
    _, issues, first, *rest = store.sizes
    assert issues >= count and first + sum(rest) > count
    assert len(store.sizes) <= 5, store.sizes


def test_no_program_sees_what_is_not_durable() -> None:
    """Plain programs, async ones that wait, and async ones that look whenever they like."""
    there, early, looks = Shelf(), list[str](), list[bool]()

    def check(text: str) -> str:
        if text not in results(there):
            early.append(text)
        return text

    async def waiting(name: str) -> str:
        for n in range(3):
            check(await echo(f"{name}{n}"))
        return name

    def plain(name: str) -> str:
        for n in range(3):
            check(str(echo(f"{name}{n}")))
        return name

    async def looking() -> str:
        value = echo("seen")
        while not value.ready:
            assert "pending" in repr(value)
            looks.append(True)
            await asyncio.sleep(0.003)
        return check(await value)

    def program() -> Any:
        return [
            str(each)
            for each in (
                spawn(waiting, "a"),
                spawn(plain, "b"),
                spawn(looking),
                spawn(waiting, "c"),
            )
        ]

    with begun(slow(0.007), Watched(there)) as machine:
        run = finish(machine.start(program))
    assert run.result == ["a", "b", "seen", "c"]
    assert early == [] and len(looks) > 20


def test_an_async_program_issues_on_what_is_not_durable_yet() -> None:
    """What it is given next is settled for the scheduler, and on the way for the program."""
    there = Shelf()

    async def program() -> Any:
        parts = echo.map(["x", "y"])
        await asyncio.sleep(0.06)  # the answers are there, and their commit is under way
        assert [each._content for each in parts.grown_items] == ["x", "y"]  # type: ignore[attr-defined]
        assert not parts.ready and rows_of(there, "result") == []
        return await shorten.reduce(parts), await echo(parts.grown_items[0])  # type: ignore[attr-defined]

    with begun(slow(0.001), Watched(there)) as machine:
        run = finish(machine.start(program))
    assert run.result == ("x\n\ny", "x")


def test_a_race_is_won_by_what_is_there_and_not_durable_yet() -> None:
    there = Shelf()

    async def program() -> Any:
        fast, late = echo("0.001"), echo("9")
        await asyncio.sleep(0.08)  # the answer is there, and its commit is under way
        assert rows_of(there, "result") == [] and not fast.ready
        return await first(fast, late)

    clock = FakeClock()
    with begun(slow(float), Watched(there), clock) as machine:
        assert finish(machine.start(program)).result == "0.001"
    assert clock.now_s < 1


def test_a_run_that_is_stopped_counts_what_is_there_and_not_durable_yet() -> None:
    there, runs = Shelf(), list[Run]()

    async def program() -> Any:
        made = echo("x")
        await asyncio.sleep(0.08)  # the answer is there, and its commit is under way
        assert rows_of(there, "result") == [] and not made.ready
        with pytest.raises(ProgramError, match="cannot block on a run"):
            runs[0].stop()
        return await made

    with begun(slow(0.001), Watched(there)) as machine:
        machine.begins = runs.append
        run = finish(machine.start(program))
    assert (run.status, run.receipt.calls) == ("stopped", 1)
    (end,) = rows_of(there, "end")
    assert end[-1]["calls"] == len(rows_of(there, "result")) == 1


def rows_of(shelf: Shelf, kind: str) -> list[Any]:
    return [row for row in MemoryStore(shelf, read_only=True).read(1).rows if row[0] == kind]


# -- where it fails -------------------------------------------------------------------------------


class Held:
    """Commits that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []
        self.came = threading.Event()
        self.open = 0  # so many end at once

    def __call__(self, done: Callable[[], None]) -> None:
        self.open -= 1
        if self.open >= 0:
            asyncio.get_running_loop().call_soon(done)
        else:
            self.begun.append(done)
            self.came.set()


def test_a_commit_that_fails_sends_nothing_and_stops_the_runs() -> None:
    there, held = Shelf(), Held()
    engine = Scripted(said)
    store = MemoryStore(there, later=held)
    held.open = 3  # header, first call, its result with the second call: that fails
    with begun(engine, store) as machine:
        held.open = 2
        run = machine.start(lambda: shorten(str(echo("a"))))
        assert held.came.wait(PATIENCE_S)
        assert asked(engine) == ["a"] and not run._done.done()
        there.room, held.open = 0, 10
        machine._station.call(held.begun.pop())
        finish(run)
        assert isinstance(run.error, StorageFailed)
        assert asked(engine) == ["a"], "the second was never sent"
        assert run.receipt.attempts == 1
        there.room = 100
        assert finish(machine.start(lambda: "next")).result == "next"
    assert results(there) == []
    with begun(engine, MemoryStore(there)) as machine:
        again = finish(machine.resume(machine._station.stem, lambda: shorten(str(echo("a")))))
    assert again.result == "a" and asked(engine) == ["a", "a", "a"]


@pytest.mark.parametrize("later", [None, on_loop(0.05)])
def test_an_end_that_could_not_be_kept_is_told(later: Any) -> None:
    """A run that its journal will show as going is not said to be done; resumed it asks nobody."""
    there, engine = Shelf(), Scripted(said)

    def program(room: int = 100) -> str:
        answer = str(echo("a"))
        there.room = room
        return answer

    with begun(engine, MemoryStore(there, later=later)) as machine:
        run = finish(machine.start(program, 0))
        assert isinstance(run.error, StorageFailed) and run.status == "failed"
        assert "computer.resume" in str(run)
        there.room = 100
    with begun(engine, MemoryStore(there)) as machine:
        again = finish(machine.resume(machine._station.stem, program))
    assert again.result == "a" and asked(engine) == ["a"]


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_death_between_two_commits_loses_what_was_not_durable(at: int) -> None:
    """And nothing else: no call is sent whose row is lost, so each is made at most once more."""
    there, held = Shelf(), Held()
    engine = Scripted(said)

    def program() -> str:
        return str(shorten(echo("a")))

    machine = begun(engine, MemoryStore(there, later=held))
    held.open = at
    run = machine.start(program)
    assert held.came.wait(PATIENCE_S)
    kept = {kind: len(rows_of(there, kind)) for kind in ("run", "issue", "result")}
    assert (
        kept
        == [
            {"run": 0, "issue": 0, "result": 0},
            {"run": 1, "issue": 0, "result": 0},
            {"run": 1, "issue": 1, "result": 0},
            {"run": 1, "issue": 2, "result": 1},
        ][at]
    )
    assert len(engine.seen) == kept["issue"]
    other = Scripted(said)
    left = deepcopy(there)
    held.open = 100
    machine._station.call(held.begun.pop())
    assert finish(run).result == "a"
    machine.close()
    if at:
        with begun(other, MemoryStore(left)) as machine:
            assert finish(machine.resume(machine._station.stem, program)).result == "a"
        assert len(other.seen) == 2 - kept["result"]


def test_a_letter_goes_out_when_its_intent_is_durable() -> None:
    there, sent = Shelf(), list[bool]()

    @driver(effect="external", roles={"body": "content"})
    def send(body: str) -> bool:
        """Send a letter."""
        sent.append(bool(rows_of(there, "intent")))
        return True

    with begun(said, Watched(there)) as machine:
        assert finish(machine.start(lambda: send("hello"))).result is True
    assert sent == [True] and len(rows_of(there, "effect")) == 1


def test_a_slow_store_costs_each_call_of_a_chain_two_commits_and_no_more() -> None:
    there, clock = Shelf(), FakeClock()
    machine = begun(Scripted(said), Watched(there), clock)

    def program() -> str:
        text = "a"
        for n in range(10):
            text = str(echo(f"{text}{n}"))
        return text

    with machine:
        assert finish(machine.start(program)).result == "a0123456789"
    assert clock.now_s == pytest.approx(0.05 * (1 + 2 * 10 + 1))


def test_a_store_may_report_from_another_thread() -> None:
    """In the machine's own time, 50 ms after each flush."""
    there, engine = Shelf(), Scripted(said)

    def later(done: Callable[[], None]) -> None:
        post = partial(asyncio.get_running_loop().call_soon_threadsafe, done)
        threading.Timer(0.05, post).start()

    with computer(engine, clock=SystemClock()) as machine:
        machine.processors  # noqa: B018  (opens it)
        machine._station.kernel.journal = MemoryStore(there, later=later)
        run = finish(machine.start(lambda: shorten.reduce(echo.map(["a", "b", "c"]))))
    assert run.result == "a\n\nb\n\nc"
    assert sorted(results(there)) == sorted([*"abc", run.result])
