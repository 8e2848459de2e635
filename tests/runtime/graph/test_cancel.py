"""The first of several, what is not needed, and what fails: only what depends on it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from kit import (
    computer,
    count,
    echo,
    execute,
    finish,
    merge,
    said,
    shorten,
    slow,
)

from nlpu import Value, lift, nlop
from nlpu.chat import Chat, chat_of
from nlpu.errors import BadOperand, Cancelled, DoesNotFit, Malformed, UpstreamFailed
from nlpu.runtime import first, spawn
from nlpu.testing.scripted import Say, Scripted

# -- first, cancel -----------------------------------------------------------------------------


def test_first_takes_what_comes_first_and_stops_the_others() -> None:
    engine = Scripted(slow(lambda text: {"a": 3.0, "b": 1.0}.get(text, 9.0)))
    run = execute(lambda: first(echo("a"), echo("b"), echo("c")), engine=engine)
    assert run.result == "b"
    assert len(engine.cancelled) == 2
    assert run.receipt.seconds == 1.0


def test_first_spares_what_another_reads_and_stops_what_grew() -> None:
    engine = Scripted(slow(lambda text: {"quick": 1.0}.get(text, 9.0)))

    def program() -> Any:
        needed, mapped = echo("needed"), echo.map(["u", "v"])
        reader = shorten(needed)
        winner = first(needed, mapped, echo("quick"))
        return winner, reader

    run = execute(program, engine=engine)
    assert run.result == ("quick", "needed")
    assert len(engine.cancelled) == 2
    assert run.receipt.seconds == 18.0


def test_a_failure_does_not_win_while_another_may_come() -> None:
    engine = Scripted(lambda s: Say("x", seconds=1 if "many" in s.instruction else 2))
    assert execute(lambda: first(count("a"), echo("b")), engine=engine).result == "x"
    both = execute(lambda: first(count("a"), count("b")), engine=engine)
    assert isinstance(both.error, Malformed)


@pytest.mark.parametrize("values", [(), ("a text",), (Value("a"), 7)])
def test_a_race_is_of_values(values: Any) -> None:
    with pytest.raises(BadOperand, match=r"first\(\)"):
        execute(lambda: first(*values)).result  # noqa: B018


def test_what_the_result_does_not_need_is_stopped_at_the_engine() -> None:
    engine = Scripted(slow(lambda text: 1.0 if text == "fast" else 100.0))

    def program() -> str:
        echo.map([f"{n}" for n in range(10)])
        shorten(echo("behind"))
        spawn(lambda: str(echo("nested")))
        return str(echo("fast"))

    run = execute(program, engine=engine)
    assert run.result == "fast"
    assert len(engine.cancelled) == len(engine.seen) - 1 == 12
    assert run.receipt.seconds == 1.0


def test_what_the_result_needs_goes_on_after_the_body() -> None:
    engine = Scripted(slow(1.0))
    run = execute(lambda: {"a": [shorten(echo("x"))], "b": (echo("y"), 3)}, engine=engine)
    assert run.result == {"a": ["x"], "b": ("y", 3)}
    assert engine.cancelled == []


def test_what_is_awaited_no_longer_is_not_needed() -> None:
    async def impatient() -> str:
        try:
            async with asyncio.timeout(1):
                return await echo("slow")
        except TimeoutError:
            return "gave up"

    engine = Scripted(slow(1000.0))
    run = execute(impatient, engine=engine)
    assert run.result == "gave up"
    assert len(engine.cancelled) == 1


def test_a_run_stopped_before_it_starts_asks_nothing() -> None:
    engine = Scripted(slow(1.0))
    with computer(engine) as machine:
        runs = [machine.start(lambda: str(echo("x"))) for _ in range(50)]
        for run in runs:
            run.stop()
        assert {run.status for run in runs} <= {"stopped", "done"}
        asked_then = len(engine.seen)
        assert finish(machine.start(lambda: str(echo("y")))).result == "y"
    assert len(engine.seen) == asked_then + 1


# -- failures ----------------------------------------------------------------------------------


def test_a_failure_fails_its_dependents_and_nothing_else() -> None:
    def program() -> Any:
        wrong, fine = count("wrong"), shorten(echo("fine"))
        behind = merge(lift(str)(wrong), fine)
        try:
            str(behind)
        except UpstreamFailed as error:
            causes = [
                error,
                error.__cause__,
                error.__cause__.__cause__ if error.__cause__ else None,
            ]
            return [type(cause).__name__ for cause in causes], fine
        return None

    run = execute(program)
    assert run.result == (["UpstreamFailed", "UpstreamFailed", "Malformed"], "fine")
    assert run.receipt.failed == 1


def test_the_failure_of_a_result_is_the_runs() -> None:
    run = execute(lambda: [echo("fine"), count("x")])
    assert run.status == "failed"
    assert 'count at main/1 ("x") failed: the reply' in str(run.error)
    with pytest.raises(UpstreamFailed):
        _ = run.result


def test_what_a_program_raises_is_typed() -> None:
    def program() -> None:
        raise KeyError("lost")

    run = execute(program)
    assert "raised KeyError: 'lost'" in str(run.error)
    assert isinstance(run.error.__cause__, KeyError) if run.error else False


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    engine = Scripted(said, window=600)
    run = execute(lambda: echo("x" * 400), engine=engine)
    assert isinstance(run.error, DoesNotFit)
    assert run.error.available == 600 and run.error.needed > 600
    assert "split()" in str(run.error) and engine.seen == []


def test_a_message_of_what_does_not_fit_names_all_its_parts() -> None:
    shown = echo.using(system="You repeat. " * 30, examples=[("y" * 90, "y"), ("z" * 90, "z")])
    run = execute(lambda: shown("x" * 400), engine=Scripted(said, window=900))
    told = str(run.error)
    found = re.search(
        r"needs (\d+) tokens \(operands: text (\d+); instruction (\d+); 2 examples (\d+); "
        r"system (\d+); answer up to (\d+)\)",
        told,
    )
    assert found is not None, told
    needed, *parts = map(int, found.groups())
    assert 0 <= sum(parts) - needed < 100  # parts are told at their most
    assert parts[2] > 180 and parts[3] > 300 and "show fewer examples" in told


@nlop
def talk(chat: Chat) -> str:
    """Answer the last message."""


def test_a_chat_that_does_not_fit_is_named_as_one() -> None:
    run = execute(lambda: talk(chat_of("x" * 900)), engine=Scripted(said, window=600))
    assert "operands: chat (the chat) 9" in str(run.error)


def test_a_cancelled_value_says_so() -> None:
    def program() -> Any:
        loser = echo("slow")
        str(first(loser, echo("fast")))
        return loser

    run = execute(program, engine=Scripted(slow(lambda text: 1.0 if text == "fast" else 9.0)))
    assert isinstance(run.error, Cancelled)
