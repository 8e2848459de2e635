"""``nlpu.testing``: a public face, and plans of faults that are the same every time."""

from __future__ import annotations

from typing import Any

import pytest

import nlpu.testing
from nlpu import (
    Computer,
    ConnectionLost,
    Judgement,
    Limits,
    Overloaded,
    Receipt,
    Say,
    ServerFault,
    Usage,
    op,
)
from nlpu.testing import FakeClock, Scripted, mix

TELL = op("Tell me about the topic")


def test_every_name_of_the_face_is_there_and_nothing_else() -> None:
    for name in nlpu.testing.__all__:
        assert getattr(nlpu.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Scriptd'"):
        _ = nlpu.testing.Scriptd


def ran(faults: Any, *, times: int = 200, in_flight: int = 50) -> tuple[list[str], Receipt]:
    """Replies, and what they took, of a run whose requests fail by a plan."""
    engine = Scripted("text", faults=faults, max_in_flight=in_flight)
    limits = Limits(patience_s=1e6, backoff_s=0.01)
    with Computer(engine, clock=FakeClock(), limits=limits) as computer:
        run = computer.run(lambda: [TELL(f"topic {number}") for number in range(times)])
    return run.result, run.receipt


def test_a_mix_has_its_shares_and_depends_on_no_order() -> None:
    rates = {Overloaded: 0.2, ConnectionLost: 0.1}
    replies, receipt = ran(mix(rates, seed=7))
    assert replies == ["text"] * 200
    assert 250 < receipt.attempts < 330  # 200 / (1 - 0.3) is 286
    assert ran(mix(rates, seed=7), in_flight=3)[1].attempts == receipt.attempts
    assert ran(mix(rates, seed=8))[1].attempts != receipt.attempts
    assert ran(mix({}))[1].attempts == 200


def test_a_fault_is_raised_as_it_is_given() -> None:
    busy = Overloaded("come back", retry_after_s=30)
    once = [busy, ServerFault("broke")]
    _, receipt = ran(lambda request, before: once[before] if before < 2 else None, times=1)
    assert receipt.attempts == 3 and 30 < receipt.seconds < 40


@pytest.mark.parametrize(
    "rates", [{Overloaded: 1.1}, {Overloaded: 0.6, ServerFault: 0.6}, {Overloaded: -0.1}]
)
def test_shares_that_cannot_be_are_refused(rates: Any) -> None:
    with pytest.raises(Usage, match="shares of the requests"):
        mix(rates)


def test_a_plan_is_a_function() -> None:
    with pytest.raises(Usage, match="faults"):
        Scripted("text", faults={Overloaded: 0.5})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("cached_tokens", -1),
        ("cached_tokens", 1.5),
        ("probabilities", (0.7,)),
        ("probabilities", (0, 0)),
        ("probabilities", (0.5, 1.5)),
        ("probabilities", (-0.1, 1)),
        ("probabilities", ("a", "b")),
        ("probabilities", 0.7),
        ("mass", 1.1),
        ("mass", -1),
        ("mass", float("nan")),
        ("finish_length", "no"),
    ],
)
def test_an_answer_that_no_engine_gives_is_refused(field: str, wrong: Any) -> None:
    with pytest.raises(Usage, match=f"^Say: {field} must be "):
        Say("yes", **{field: wrong})


def test_an_answer_that_does_not_fit_what_was_asked_is_refused() -> None:
    wet = op("Is it wet?", Judgement)
    for said, told in (
        (Say("yes", cached_tokens=10**6), "has 1000000 cached_tokens of a prompt of "),
        (Say("yes", probabilities=(0.2, 0.3, 0.5)), "has 3 probabilities for 2 choices"),
    ):
        with Computer(Scripted(said), clock=FakeClock()) as computer:
            run = computer.run(wet, "rain")
        assert isinstance(run.error, Usage) and told in str(run.error)
    with Computer(Scripted(Say("yes", probabilities=(0.5, 0.5))), clock=FakeClock()) as computer:
        assert computer.run(wet, "rain").result.probability == 0.5
