"""The scheduler: no barrier, the same order every time, each work once, within limits."""

from __future__ import annotations

from typing import Any

import pytest
from kit import (
    Watching,
    asked,
    computer,
    echo,
    execute,
    finish,
    merge,
    said,
    shorten,
    slow,
    yes,
)

from nlpu import Limits, lift
from nlpu.runtime import first, spawn
from nlpu.testing.scripted import Say, Scripted


def instructions(engine: Scripted) -> list[str]:
    return [
        f"{seen.instruction.split()[0]} {text}"
        for seen, text in zip(engine.seen, asked(engine), strict=True)
    ]


# -- no barrier, and the same order every time ---------------------------------------------------


def test_a_call_starts_when_its_own_operands_are_there() -> None:
    engine = Scripted(slow(lambda text: {"a": 1.0, "b": 5.0}.get(text, 0.5)))
    with computer(engine) as machine:
        run = finish(machine.start(lambda: shorten.map(echo.map(["a", "b"]))))
    # The second step of a is asked before the first step of b is done.
    assert instructions(engine) == ["Repeat a", "Repeat b", "Shorten a", "Shorten b"]
    assert run.receipt.seconds == 6 - 1.0 + 5.0
    assert run.receipt.queue_s == 0


def test_ready_calls_go_by_the_longest_path_behind_them() -> None:
    def program() -> Any:
        short, long = echo("short"), echo("long")
        return short, merge(shorten(shorten(long)), "end")

    engine = Scripted(slow(1.0))
    execute(program, engine=engine, limits=Limits(max_in_flight=1))
    assert asked(engine)[0] == "long"
    assert engine.seen[0].request.priority < engine.seen[-1].request.priority
    assert engine.seen[0].request.priority == -4 * echo.max_tokens


def test_a_call_issued_later_raises_what_it_reads() -> None:
    def program() -> Any:
        texts = echo.map(["one", "two", "three"]).each()
        if yes("wait"):
            return *texts, shorten(shorten(texts[2]))
        return None

    engine = Scripted(lambda s: Say("yes" if "so?" in s.instruction else said(s), seconds=1.0))
    execute(program, engine=engine, limits=Limits(max_in_flight=1), estimates={"yes": 10_000})
    assert asked(engine)[:4] == ["wait", "one", "three", "three"]  # one went as the answer came


def test_two_runs_issue_the_same_in_the_same_order() -> None:
    def program() -> Any:
        parts = echo.map([f"{n}" for n in range(20)])
        inner = [spawn(lambda n=n: shorten(echo(f"inner {n}"))) for n in range(5)]
        if yes("x") or True:
            inner.append(echo.reduce(shorten.map(parts)))
        return inner

    def sequence() -> list[Any]:
        answer = slow(lambda text: 1 + len(text) % 3)
        engine = Scripted(lambda s: "yes" if "so?" in s.instruction else answer(s))
        execute(program, engine=engine, limits=Limits(max_in_flight=4))
        return [(seen.request.prompt, seen.request.priority) for seen in engine.seen]

    one = sequence()
    assert one == sequence()
    assert len(one) == 20 + 20 + 10 + 1 + 4


# -- the same work once ------------------------------------------------------------------------


def test_equal_calls_are_one_call_at_temperature_0() -> None:
    engine = Scripted(said)
    run = execute(lambda: [echo("x"), echo("x"), shorten("x"), echo(echo("x"))], engine=engine)
    assert run.result == ["x"] * 4
    assert len(engine.seen) == 2
    assert (run.receipt.calls, run.receipt.shared) == (2, 3)


def test_draws_are_not_merged_unless_they_have_the_same_number() -> None:
    warm = echo.using(temperature=1.0)
    engine = Scripted(said)
    run = execute(
        lambda: [
            warm("x"),
            warm("x"),
            warm("x", sample=1),
            warm("x", sample=1),
            warm("x", sample=2),
        ],
        engine=engine,
    )
    assert len(engine.seen) == 4
    assert run.receipt.shared == 1


def test_fleets_do_not_share_across_runs_but_samples_differ_within() -> None:
    warm = echo.using(temperature=1.0)
    engine = Scripted(said)
    nested = [lambda: warm("x"), lambda: warm("x")]
    execute(lambda: [spawn(program) for program in nested], engine=engine)
    assert len(engine.seen) == 2


def test_another_takes_over_a_shared_call_whose_asker_is_cancelled() -> None:
    engine = Scripted(slow(5.0))

    def program() -> Any:
        slow_one = echo("x")
        sharer = shorten(echo("x"))
        quick = first(slow_one, lift(lambda: "quick")())
        return str(quick), sharer

    run = execute(program, engine=engine)
    assert run.result == ("quick", "x")
    assert len(engine.seen) == 2 and engine.cancelled == []
    assert run.receipt.calls == 2


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 7])
def test_no_more_in_flight_than_allowed(slots: int) -> None:
    engine = Watching(slow(1.0))
    run = execute(
        lambda: echo.map([f"{n}" for n in range(50)]),
        engine=engine,
        limits=Limits(max_in_flight=slots),
    )
    assert (engine.most, len(run.result)) == (slots, 50)
    assert run.receipt.seconds == -(-50 // slots)


def test_a_node_that_waits_costs_no_task() -> None:
    engine = Watching(slow(1.0))
    run = execute(
        lambda: shorten.map(echo.map([f"{n}" for n in range(3_000)])),
        engine=engine,
        limits=Limits(max_in_flight=500),
    )
    assert len(run.result) == 3_000
    assert engine.most == 500
    assert engine.tasks <= 500 + 5
    assert run.receipt.parallelism == 3_000


def test_the_limit_holds_across_runs_and_after_cancelled_calls() -> None:
    engine = Watching(slow(1.0))

    def leaves_one_behind() -> str:
        text, _unneeded = echo("x"), shorten("y")
        return str(text)

    with computer(engine, limits=Limits(max_in_flight=1)) as machine:
        for _ in range(3):
            run = finish(machine.start(leaves_one_behind))
            assert run.result == "x"
    assert engine.most == 1
