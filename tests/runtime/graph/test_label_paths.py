"""Labels survive every path through a run: for each, many cases, and nothing lost in any.

The law: what comes out is labelled no better than the join of all that could flow into it, by data
or by control; readers are never let in. Paths through memory and the journal have files of their
own, as has what labels do not cover.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path as File
from typing import Any

import pytest
from kit import echo, finish
from label_kit import CASES, PAIRS, Claim, answer, both, engine, garble, loss, losses
from label_paths import PATHS, after
from label_paths_by_data import Text

from nlpu import Label, Value
from nlpu.errors import NlpuError
from nlpu.label import USER, join
from nlpu.runtime import Computer, FakeClock, Run, first, spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.handle import state_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import current


@pytest.fixture(scope="module")
def machine() -> Iterator[Computer]:
    with Computer(engine(), clock=FakeClock(), person=ScriptedPerson()) as made:
        yield made


@pytest.mark.parametrize("name", PATHS)
def test_no_label_is_lost(machine: Computer, name: str) -> None:
    cases, lost = losses(machine, PATHS[name])
    assert cases >= CASES and not lost, lost[:5]


def test_no_label_is_lost_in_async_programs(machine: Computer) -> None:
    claims: list[list[Claim]] = [[] for _ in PAIRS]

    async def program(a: Text, b: Text, claims: list[Claim]) -> None:
        async def task() -> str:
            return await echo(a)

        claims.append((echo("before"), USER))
        text = await asyncio.create_task(task())
        claims += [(echo("after"), a.label), (Value(text), a.label)]
        try:
            await garble(b)
        except NlpuError as error:
            claims += [(current().label, both(a, b)), (echo(str(error)), both(a, b))]
        await echo.map([a])
        claims.append((echo("more"), both(a, b)))
        for value, _ in claims:
            if isinstance(value, Value):
                await value

    def fleet() -> Any:
        pairs = zip(PAIRS, claims, strict=True)
        return [spawn(program, Value(*a), Value(*b), into) for (a, b), into in pairs]

    run = finish(machine.start(fleet))
    lost = [found for case in claims for claim in case if (found := loss(claim))]
    assert run.error is None and all(len(case) == 6 for case in claims)
    assert len(claims) >= CASES and not lost, lost[:5]


def test_no_label_is_lost_from_run_to_run(machine: Computer) -> None:
    """A run's label goes with its result; a program that reads the result has seen it."""

    def first_run(a: Text, b: Text) -> Any:
        return [echo(a), "long" if len(b) > 3 else "short"]

    def second_run(one: Run, result: Value[list[str]], claims: list[Claim]) -> list[Any]:
        claims.append((echo.map(result), one.label))
        claims.extend(after(lambda: one.result, one.label))
        return [thing for thing, _ in claims if isinstance(thing, Value)]

    for a, b in PAIRS:
        one = finish(machine.start(first_run, Value(*a), Value(*b)))
        assert one.label is join(a[1], b[1])
        claims: list[Claim] = []
        finish(machine.start(second_run, one, Value(one.result, one.label), claims))
        assert claims and not [found for claim in claims if (found := loss(claim))]
    assert len(PAIRS) >= CASES


def test_what_failed_before_a_race_was_won_is_in_its_label(tmp_path: File) -> None:
    """It came first because another failed; in a replay, where all is there at once, too."""

    def slow(asked: Seen) -> Say:
        return Say(answer(asked), seconds=9 * ("late" in asked.operands["text"]))

    def race() -> Any:
        cases = [(Value(*a), Value("late", b)) for a, (_, b) in PAIRS]
        return [(first(garble(echo(echo(a))), echo(b)), both(a, b)) for a, b in cases]

    def labels(begin: Callable[[Computer], Run]) -> tuple[str, list[Label]]:
        with Computer(Scripted(slow), clock=FakeClock(), run_dir=tmp_path) as machine:
            run = finish(begin(machine))
            nodes = state_of(run).root.subtree()
            return run.name, [node._label for node in nodes if node.work_name == "first"]

    name, found = labels(lambda machine: machine.start(lambda: [value for value, _ in race()]))
    again = labels(lambda m: m.resume(name, lambda: [value for value, _ in race()], replay=True))[1]
    assert found == again == [join(a[1], b[1]) for a, b in PAIRS]
    assert len(found) >= CASES
