"""Programs of every kind: fleets, threads, async, beside a running loop."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from kit import (
    PATIENCE_S,
    computer,
    echo,
    execute,
    finish,
    shorten,
    slow,
)

from nlpu import Value, lift
from nlpu.errors import BadOperand, ProgramError
from nlpu.runtime import spawn
from nlpu.testing.scripted import Scripted

# -- programs of every kind ------------------------------------------------------------------------


def test_a_fleet_of_two_thousand_programs() -> None:
    def program(n: int) -> str:
        return str(shorten(echo(f"{n}")))

    engine = Scripted(slow(1.0))
    with computer(engine) as machine:
        runs = [machine.start(program, n) for n in range(2000)]
        assert [finish(run).result for run in runs] == [f"{n}" for n in range(2000)]
    assert len(engine.seen) == 4000


def test_blocking_functions_run_on_threads() -> None:
    together = threading.Barrier(3, timeout=20)

    def wait(text: str) -> str:
        together.wait()
        return f"{text} on {threading.current_thread() is not threading.main_thread()}"

    apart = lift(wait, blocking=True)
    run = execute(lambda: [apart(echo(text)) for text in "abc"])
    assert run.result == ["a on True", "b on True", "c on True"]


def test_a_blocking_function_that_raises() -> None:
    run = execute(lift(lambda: 1 / 0, blocking=True))
    assert "raised ZeroDivisionError" in str(run.error)


def test_a_lift_gives_plain_data() -> None:
    run = execute(lift(object))
    assert isinstance(run.error, BadOperand)
    assert "must be text, a number, a list" in str(run.error)


def test_async_programs_can_gather_and_nest() -> None:
    async def part(text: str) -> str:
        return await shorten(echo(text))

    async def program() -> Any:
        values = [spawn(part, f"{n}") for n in range(5)]
        together = await asyncio.gather(*(wait_for(value) for value in values))
        return together, spawn(lambda: str(echo("plain")))

    async def wait_for(value: Value[Any]) -> Any:
        return await value

    engine = Scripted(slow(1.0))
    run = execute(program, engine=engine)
    assert run.result == (["0", "1", "2", "3", "4"], "plain")
    assert run.receipt.seconds == 3.0


def test_it_works_beside_a_running_loop_and_inside_it() -> None:
    async def notebook() -> list[Any]:
        with computer(Scripted(slow(1.0))) as machine:
            inside = machine.run(lambda: echo("blocking")).result  # blocks this loop, not the run
            run = await machine.start(lambda: echo("awaited"))
            several = await asyncio.gather(*(machine.start(echo_of, f"{n}") for n in range(3)))
            return [inside, run.result, [one.result for one in several]]

    def echo_of(text: str) -> Any:
        return echo(text)

    assert asyncio.run(notebook()) == ["blocking", "awaited", ["0", "1", "2"]]


def test_text_streams_as_it_comes() -> None:
    with computer(Scripted("one two three")) as machine:
        run = machine.start(lambda: echo("x"), stream=True)
        assert "".join(run.stream()) == "one two three"
        assert finish(run).result == "one two three"


def test_named_tuples_of_values_are_results() -> None:
    from typing import NamedTuple

    class Pair(NamedTuple):
        left: Any
        right: Any

    run = execute(lambda: Pair(echo("a"), {"b": echo("b")}))
    assert run.result == Pair("a", {"b": "b"})


def test_a_value_inside_a_dataclass_is_refused() -> None:
    @dataclass
    class Hidden:
        text: Any

    run = execute(lambda: [Hidden(echo("a"))])
    assert "inside a Hidden" in str(run.error)


def test_wrong_arguments_fail_an_async_program_alone() -> None:
    async def part(text: str) -> str:
        return await echo(text)

    def program() -> str:
        with pytest.raises(ProgramError, match="missing 1 required positional argument"):
            str(spawn(part))
        return str(echo("goes on"))

    assert execute(program).result == "goes on"
    with pytest.raises(ProgramError, match="the program part raised TypeError"):
        execute(part).result  # noqa: B018


# -- who waits, and who does not -------------------------------------------------------------------


def test_who_awaits_a_run_no_longer_does_not_end_it() -> None:
    gate = threading.Event()

    async def impatient() -> None:
        waiting = asyncio.ensure_future(run)
        await asyncio.sleep(0)  # now it waits
        waiting.cancel()
        await asyncio.wait([waiting])

    with computer() as machine:
        run = machine.start(lift(lambda: gate.wait(PATIENCE_S), blocking=True))
        asyncio.run(impatient())
        assert run.status == "running"
        gate.set()
        assert finish(run).result is True


def test_closing_does_not_wait_for_a_blocking_function() -> None:
    inside, gate, over = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        gate.wait(PATIENCE_S)
        over.set()

    with computer() as machine:
        run = machine.start(lift(hang, blocking=True))
        assert inside.wait(PATIENCE_S)
    assert run.status == "stopped" and not over.is_set()
    gate.set()


def test_more_blocking_functions_than_threads_take_turns() -> None:
    here, most, lock = 0, 0, threading.Lock()

    def work(n: int) -> int:
        nonlocal here, most
        with lock:
            here += 1
            most = max(most, here)
        with lock:
            here -= 1
        return n

    run = execute(lambda: [lift(work, blocking=True)(n) for n in range(300)])
    assert run.result == list(range(300))
    assert most <= 64
