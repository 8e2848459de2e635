"""Budgets: reserved before a call, settled after it, blown only when nothing can come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import (
    Doomed,
    Watching,
    computer,
    count,
    echo,
    execute,
    finish,
    resumed,
    said,
    shorten,
    slow,
)

from nlpu import Limits, Price
from nlpu.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    NlpuError,
    Overloaded,
    ServerFault,
    Usage,
)
from nlpu.runtime import Budget, first, spawn
from nlpu.runtime.handle import state_of
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.scheduler.budget import Amount, BudgetLedger
from nlpu.testing.scripted import Say, Scripted


def texts(n: int) -> list[str]:
    return [f"{k}" for k in range(n)]


def echoes(n: int) -> Any:
    return echo.map(texts(n))


def test_a_purse_never_overspends() -> None:
    purse = BudgetLedger(Budget(calls=3, tokens=100))
    most = Amount(1, 0.5, 50)
    assert purse.reserve(most) and purse.reserve(most)
    assert not purse.reserve(most)  # tokens
    purse.settle(most, Amount(1, 0.1, 10))
    assert purse.reserve(Amount(1, 0.4, 40)) and not purse.reserve(Amount(1, 0, 1))
    purse.settle(most, Amount(1, 0.0, 5))
    purse.settle(Amount(1, 0.4, 40), Amount(0))  # it was not answered
    assert (purse.spent, purse.reserved) == (Amount(2, 0.1, 15), Amount(0))
    assert purse.reserve(most) and not purse.reserve(Amount(1))  # calls
    assert "budget of 3 calls does not allow another x" in str(purse.refusal("x", Amount(1)))


def test_floats_add_up_to_the_budget_exactly() -> None:
    purse = BudgetLedger(Budget(nlops=0.3))
    for _ in range(3):
        assert purse.reserve(Amount(1, 0.1))
    assert not purse.reserve(Amount(1, 0.1))


def test_a_call_waits_while_others_may_settle() -> None:
    engine = Watching(slow(1.0))
    # A call may take 256 tokens and takes one: two fit at once, but all fit in the end.
    run = execute(lambda: echoes(10), engine=engine, budget=Budget(nlops=5.2))
    assert run.status == "done", run.error
    assert engine.most == 2
    assert run.receipt.nlops == 0.1


def test_it_is_blown_only_when_nothing_is_in_flight() -> None:
    engine = Watching(slow(1.0))
    run = execute(lambda: echoes(10), engine=engine, budget=Budget(calls=4))
    assert (run.status, len(engine.seen), engine.most) == ("stopped", 4, 4)
    assert isinstance(run.error, BudgetExceeded)
    assert str(run.error).startswith("the budget of 4 calls does not allow another echo: 4 are ")
    assert run.receipt.calls == 4


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        (Budget(calls=3), 3),
        (Budget(nlops=2.57), 2),
        (Budget(tokens=500), 2),
        (Budget(money=0.00052), 2),
    ],
)
def test_no_budget_is_overspent(budget: Budget, calls: int) -> None:
    price = {"main": Price(completion=2.0)}
    run = execute(
        lambda: echoes(9), engine="x", budget=budget, prices=price, limits=Limits(max_in_flight=1)
    )
    receipt = run.receipt
    assert isinstance(run.error, BudgetExceeded)
    assert receipt.calls >= calls
    limits = [budget.calls, budget.nlops, budget.tokens, budget.money]
    tokens = receipt.prompt_tokens + receipt.completion_tokens
    spent = [receipt.calls, receipt.nlops, tokens, receipt.money]
    assert all(limit is None or used <= limit for limit, used in zip(limits, spent, strict=True))


def test_a_limit_of_money_without_prices_is_refused(tmp_path: Path) -> None:
    priced = {"main": Price(completion=2.0)}
    with computer("x", run_dir=tmp_path, prices=priced) as machine:
        begun = finish(machine.start(echoes, 2, budget=Budget(money=1)))
    with computer("x", run_dir=tmp_path) as machine:
        asked = Budget(money=0.25)
        doors: list[Callable[[], Any]] = [
            lambda: machine.start(echoes, 2, budget=asked),
            lambda: machine.map(echoes, [2], budget=asked),
            lambda: machine.resume(begun.name, echoes, 2),
            lambda: machine.resume(begun.name, echoes, 2, budget=asked),
            lambda: machine.rerun(begun.name, echoes, 2, edits=Edits(), budget=asked),
        ]
        for door in doors:
            with pytest.raises(Usage, match=r"^a budget of [01.25]+ money needs prices: .*--price"):
                door()
        assert finish(machine.resume(begun.name, echoes, 2, budget=Budget())).result == ["x", "x"]
    with computer("x", run_dir=tmp_path) as machine:
        replay = machine.resume(begun.name, echoes, 2, replay=True)
        assert finish(replay).result == ["x", "x"]  # it spends nothing


def test_a_blown_budget_cannot_be_caught() -> None:
    def program() -> Any:
        done = []
        for text in texts(5):
            try:
                done.append(str(echo(text)))
            except NlpuError:
                done.append("caught")
        return done

    assert execute(program, budget=Budget(calls=2)).status == "stopped"


def test_nested_programs_share_the_budget() -> None:
    engine = Scripted(slow(1.0))
    run = execute(
        lambda: [spawn(lambda text=text: str(echo(text))) for text in texts(6)],
        engine=engine,
        budget=Budget(calls=4),
    )
    assert (run.status, len(engine.seen)) == ("stopped", 4)


def test_resumed_with_a_larger_budget(tmp_path: Path) -> None:
    run = execute(echoes, 10, run_dir=tmp_path, budget=Budget(calls=4))
    engine = Scripted("again")
    same = resumed(tmp_path, run, echoes, 10, engine=engine)
    assert (same.status, len(engine.seen)) == ("stopped", 0)  # what was spent stays spent
    more = resumed(tmp_path, run, echoes, 10, engine=engine, budget=Budget(calls=6))
    assert (more.status, len(engine.seen)) == ("stopped", 2)
    all_of_it = resumed(tmp_path, run, echoes, 10, budget=Budget(calls=10))
    assert all_of_it.result == ["0", "1", "2", "3", "again", "again", "6", "7", "8", "9"]
    assert (all_of_it.receipt.calls, all_of_it.receipt.reused) == (4, 6)


def test_seconds_are_a_deadline() -> None:
    engine = Scripted(slow(1.0))
    run = execute(
        lambda: echoes(9), engine=engine, budget=Budget(seconds=2.5), limits=Limits(max_in_flight=2)
    )
    assert run.status == "stopped"
    assert isinstance(run.error, DeadlineExceeded)
    assert run.receipt.seconds == 2.5
    assert (run.receipt.calls, len(engine.seen), len(engine.cancelled)) == (4, 6, 2)


def test_a_deadline_stops_a_program_that_calls_nothing_more() -> None:
    async def program() -> None:
        await asyncio.sleep(1000)

    run = execute(program, budget=Budget(seconds=1.0))
    assert isinstance(run.error, DeadlineExceeded)


def test_what_failed_was_spent_and_what_was_refused_was_not() -> None:
    once = count.using(retries=0)
    run = execute(
        lambda: [shorten("a"), once("b")], engine={"many": "several"}, budget=Budget(calls=2)
    )
    assert run.status == "failed"
    engine = Scripted([Overloaded("busy"), Say("x")])
    assert execute(lambda: echo("a"), engine=engine, budget=Budget(calls=1)).result == "x"
    assert len(engine.seen) == 2
    engine = Scripted([ServerFault("broken off"), Say("x")])
    run = execute(lambda: echo("a"), engine=engine, budget=Budget(calls=1))
    assert len(engine.seen) == 1 and "1 are spent (1 by attempts whose answers " in str(run.error)


def test_open_attempts_are_charged_after_a_kill(tmp_path: Path) -> None:
    """Three calls are open at each of two deaths; each death costs what they could have taken."""
    lives = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    run = execute(echoes, 3, engine=Doomed(said, lives[0], lives[1], at=3), run_dir=lives[0])
    resumed(lives[1], run, echoes, 3, engine=Doomed(said, lives[1], lives[2], at=3))
    with computer(run_dir=lives[2]) as machine:
        last = finish(machine.resume(run.name, echoes, 3, budget=Budget(nlops=100)))
        spent = state_of(last).ledger.spent
    assert last.result == ["0", "1", "2"]
    assert spent.calls == 9
    assert spent.nlops == pytest.approx(2 * 3 * 2.56 + 3 * 0.01)


def test_cancelled_attempts_stay_charged(tmp_path: Path) -> None:
    def program() -> None:
        for n in range(4):
            str(first(echo(f"slow {n}"), shorten(f"fast {n}")))

    engine = slow(lambda text: 1.0 if "fast" in text else 100.0)
    run = execute(program, engine=engine, run_dir=tmp_path, budget=Budget(calls=4))
    assert run.status == "stopped" and run.receipt.attempts == 4
    again = resumed(tmp_path, run, program, engine=engine)
    assert again.status == "stopped" and again.receipt.attempts == 0


def test_a_cancelled_call_that_backs_off_is_charged_nothing(tmp_path: Path) -> None:
    def program() -> str:
        return str(first(echo("down"), shorten("fast"))) + str(echo("more"))

    def script(seen: Any) -> Any:
        down = seen.operands["text"] == "down"
        return Overloaded("not now") if down else Say(said(seen), seconds=0.001)

    run = execute(program, engine=script, run_dir=tmp_path, budget=Budget(calls=1))
    assert run.status == "stopped" and run.receipt.attempts == 2
    assert resumed(tmp_path, run, program, budget=Budget(calls=2)).result == "fastmore"
