"""A budget counts all that a server may have generated, whatever became of the answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from kit import computer, count, echo, execute, finish, resumed

from nlpu import Limits, Price
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.errors import endless
from nlpu.engines.http.usage import counts
from nlpu.errors import (
    ConnectionLost,
    EngineDied,
    HostError,
    NlpuError,
    Overloaded,
    RequestRefused,
    ServerFault,
    TimedOut,
    Unreachable,
)
from nlpu.runtime import Budget, Run
from nlpu.runtime.handle import state_of
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Say, Scripted
from nlpu.wire import Message, Reply, Request

PRICE = Price(prompt=1.0, completion=3.0)
ATTEMPTS = Limits(attempts=3, max_in_flight=2, backoff_s=0.01, patience_s=1.0)


class Counting(Scripted):
    """Keeps what a server has generated at most: of an answer what it says, of a loss all."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.calls = self.tokens = self.completion = 0

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        size = len(request.prompt)
        try:
            reply = await super().send(request, on_text)
        except HostError as error:
            if not isinstance(error, Overloaded | Unreachable | RequestRefused):
                self._count(size, request.sampling.max_tokens)
            raise
        self._count(reply.usage.prompt_tokens, reply.usage.completion_tokens)
        return reply

    def _count(self, prompt: int, completion: int) -> None:
        self.calls += 1
        self.tokens += prompt + completion
        self.completion += completion

    @property
    def truth(self) -> Amount:
        prompt = self.tokens - self.completion
        money = PRICE.of(prompt, 0, self.completion)
        return Amount(self.calls, self.completion / TOKENS_PER_NLOP, self.tokens, money)


ANSWERS: list[Any] = [
    Say("7"),
    Say("no number"),
    Say("7", tokens=32),
    Say("9", tokens=20),
    ServerFault("broken off"),
    ConnectionLost("cut"),
    TimedOut("stuck"),
    Overloaded("busy"),
    Unreachable("nobody there"),
    RequestRefused("no"),
]
OVERRUNS: list[Any] = [Say("7", tokens=500), Say("no number", tokens=90)]
BUDGETS = some.builds(
    Budget,
    calls=some.none() | some.integers(1, 12),
    nlops=some.none() | some.floats(0.4, 4),
    tokens=some.none() | some.integers(300, 3000),
    money=some.none() | some.floats(0.0003, 0.003),
)


def program() -> Any:
    parts = [count("one"), count("two"), count("three"), echo.using(max_tokens=32)("four")]
    return [type(part.error).__name__ if part.error else part.value for part in parts]


def spent(run: Run) -> Amount:
    return state_of(run).ledger.spent


def at_least(have: Amount, truth: Amount) -> bool:
    return all(mine >= true - 1e-9 for mine, true in zip(have, truth, strict=True))


def within(truth: Amount, budget: Budget) -> bool:
    limits = [getattr(budget, unit) for unit in Amount._fields]
    return all(
        limit is None or took <= limit + 1e-9 for took, limit in zip(truth, limits, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(BUDGETS, some.lists(some.sampled_from(ANSWERS), min_size=1, max_size=14), some.booleans())
def test_a_budget_is_never_exceeded(budget: Budget, script: list[Any], gone_on_with: bool) -> None:
    engine = Counting([*script, Say("5")])
    with tempfile.TemporaryDirectory() as place:
        run = execute(
            program,
            engine=engine,
            budget=budget,
            run_dir=Path(place),
            prices={"main": PRICE},
            limits=ATTEMPTS,
        )
        limited = any(limit is not None for _, limit in _limits(budget))
        assert within(engine.truth, budget)
        assert not limited or at_least(spent(run), engine.truth)
        if gone_on_with:
            with computer(engine, run_dir=place, prices={"main": PRICE}, limits=ATTEMPTS) as again:
                later = finish(again.resume(run.name, program))
            assert within(engine.truth, budget)
            assert at_least(spent(later), engine.truth)


def _limits(budget: Budget) -> list[tuple[str, float | None]]:
    return [(unit, getattr(budget, unit)) for unit in Amount._fields]


@settings(max_examples=40, deadline=None)
@given(some.lists(some.sampled_from(ANSWERS + OVERRUNS), min_size=1, max_size=10))
def test_what_is_generated_beyond_a_limit_is_spent(script: list[Any]) -> None:
    engine, budget = Counting([*script, Say("5")]), Budget(nlops=3.0)
    with tempfile.TemporaryDirectory() as place:
        run = execute(
            program,
            engine=engine,
            budget=budget,
            run_dir=Path(place),
            limits=Limits(attempts=2, max_in_flight=1, backoff_s=0.01),
        )
        assert spent(run).nlops >= engine.truth.nlops - 1e-9
        before = len(engine.seen)
        later = resumed(Path(place), run, program, engine=engine)
        assert spent(later).nlops >= engine.truth.nlops - 1e-9
        if spent(run).nlops > budget.nlops:  # nothing more is sent, in no life
            assert len(engine.seen) == before and run.status == "stopped"


def test_an_answer_without_an_end_is_spent_as_far_as_it_came() -> None:
    engine = Scripted([endless("there", 1 << 20)])
    run = execute(lambda: echo("x"), engine=engine, budget=Budget(nlops=10.0))
    assert spent(run).nlops == (1 << 20) / 4 / TOKENS_PER_NLOP


def test_knocking_on_a_dead_engine_is_free() -> None:
    engine = Scripted([EngineDied("dead")] * 5 + [Say("x")])
    run = execute(lambda: echo("x"), engine=engine, budget=Budget(calls=2))
    assert run.result == "x" and spent(run).calls == 2  # what it died of, and the answer


@pytest.mark.parametrize(
    ("chars", "usage", "tokens"),
    [
        (40, None, 10),
        (200, None, 32),  # texts differ in characters a token, and a limit mostly holds
        (4000, None, 1000),  # it did not
        (40, {"prompt_tokens": 3, "completion_tokens": 7}, 7),
        (40, {"prompt_tokens": 3, "completion_tokens": 500}, 500),
        (40, {"prompt_tokens": 3, "completion_tokens": 0}, 10),  # which cannot be
        (0, {"prompt_tokens": 3, "completion_tokens": 0}, 0),
    ],
)
def test_what_a_server_does_not_count_is_estimated(chars: int, usage: Any, tokens: int) -> None:
    dialect = Dialect("there", "m", 4096, vllm=False, tokens=False, seed=False, priority=False)
    request = Request("1", (Message("user", "Hi"),), Sampling(32))
    assert counts(dialect, request, "x" * chars, usage).completion_tokens == tokens


def test_every_loss_is_of_a_kind() -> None:
    free = {kind.__name__ for kind in _kinds(HostError) if kind.free}
    assert {"Unreachable", "Overloaded", "RequestRefused", "Unauthorized", "OutOfQuota"} <= free
    assert not free & {"HostError", "ServerFault", "ConnectionLost", "TimedOut", "EngineDied"}


def _kinds(kind: type[NlpuError]) -> list[Any]:
    return [kind, *(below for each in kind.__subclasses__() for below in _kinds(each))]
