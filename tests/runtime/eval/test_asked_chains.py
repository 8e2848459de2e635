"""Many steps that need each other, planned from the whole truth table of their op."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from asked_kit import colour, measured
from hypothesis import given
from hypothesis import strategies as st
from kit import Doomed, computer, execute, finish

from nlpu import (
    Reliability,
    Scripted,
    nlop,
)
from nlpu.errors import (
    BadOperand,
    NlpuError,
)
from nlpu.eval.bounds import OutOfReach
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.eval.votes import chances_of, draws_ahead
from nlpu.runtime.eval.planning import digest_of
from nlpu.testing.scripted import Seen


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return measured(tmp_path / "sheet.json")


# -- from a whole truth table ----------------------------------------------------------------------


def test_chances_of_inputs_that_are_alike_are_one() -> None:
    assert chances_of([(9, 10)] * 200) == [1801 / 2002] * 200
    mixed = chances_of([(10, 10)] * 100 + [(5, 10)] * 100)
    assert mixed[0] > 0.94 and 0.5 < mixed[-1] < 0.6


@given(st.lists(st.tuples(st.integers(0, 20), st.just(20)), min_size=1, max_size=40))
def test_chances_lie_between_what_was_seen_and_the_mean(drawn: list[tuple[int, int]]) -> None:
    found = chances_of(drawn)
    mean = (sum(right for right, _ in drawn) + 1) / (20 * len(drawn) + 2)
    for (seen, draws), chance in zip(drawn, found, strict=True):
        low, high = sorted((seen / draws, mean))
        assert (low - 1e-9 <= chance <= high + 1e-9 and 0 < chance < 1) or seen in (0, draws)


def test_a_header_that_asks_for_nonsense_is_damage(tmp_path: Path, sheet: Path) -> None:
    from nlpu.runtime.journal.row_checks import HEADER

    header = {"program": "p", "source": "", "budget": {}, "estimates": {}, "processors": {}}
    assert HEADER(header | {"reliability": {"share": 0.9}, "sheets": ["a"]}, {})
    for odd in (0.9, {"share": 2}, {"share": 0.9, "more": 1}, {}, None):
        assert not HEADER(header | {"reliability": odd}, {})


def test_a_receipt_has_a_json_form(sheet: Path) -> None:
    run = execute(lambda: colour("x", reliability=0.95).value, engine="red", sheets=sheet)
    (told,) = json.loads(run.receipt.model_dump_json())["chosen"]
    assert told["recipe"] == "ahead by 2(colour)" and told["why"].startswith("shown to be right")
    assert isinstance(run.error, NlpuError | None)


# -- a thousand steps that need each other ---------------------------------------------------------

STEPS, P, WHOLE = 1000, 0.9, Reliability(0.95, steps=1000, table=True)


@nlop(max_tokens=4)
def following(digit: str) -> Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]:
    """Which digit follows it?"""


def slipping(seed: int) -> Any:
    """Says the following digit with chance P, else the one after that."""

    def script(seen: Seen) -> str:
        slip = Random(f"{seed} {seen.request.id}").random() >= P
        return str((int(seen.operands["digit"]) + 1 + slip) % 10)

    return script


def counted_on(steps: int) -> str:
    """A chain: each step reads what the one before gave. It is right if it ends where it must."""
    digit = "0"
    for step in range(steps):
        digit = following(digit, sample=step).value
    return digit


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """All ten inputs, a hundred draws each, of which ninety are right."""
    row = (0,) * 90 + (1,) * 10
    cases = tuple(
        CaseDraws(id=f"{n}", draws=row, right=(0,), answers=("r", "w")) for n in range(10)
    )
    mine = OpSheet(op="following", digest=following.digest.hex(), temperature=0.7, cases=cases)
    path = tmp_path / "digits.json"
    path.write_text(Datasheet(model="scripted", ops={"following": mine}).model_dump_json())
    return path


def chained(tmp_path: Path, sheet: Path, seed: int, steps: int, killed: bool) -> tuple[Any, int]:
    """How a chain ended, and its draws in all its lives; half-way it is killed if asked for."""
    runs, grave, half = tmp_path / "runs", tmp_path / "grave", 3 * steps
    engine = Doomed(slipping(seed), runs, grave, half if killed else 0)
    asked = Reliability(WHOLE.share, steps=steps, table=True)
    with computer(engine, run_dir=runs, sheets=sheet) as machine:
        run = machine.start(counted_on, steps, reliability=asked).wait(600)
    if not killed:
        return run, len(engine.seen)
    sheet.unlink()
    after = Scripted(slipping(seed))
    with computer(after, run_dir=grave) as machine:
        again = machine.resume(run.name, counted_on, steps).wait(600)
    return again, half - 1 + len(after.seen)


@pytest.mark.parametrize("killed", [False, True])
def test_a_chain_is_right_as_a_whole(tmp_path: Path, digits: Path, killed: bool) -> None:
    run, draws = chained(tmp_path, digits, 1, 100, killed)
    (chosen,) = run.receipt.chosen
    assert run.result == "0" and (chosen.ahead, chosen.asked) == (4, "0.95 of 100 together")
    assert chosen.why.startswith("all right with 0.98") and draws <= 1.1 * 100 * draws_ahead(P, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_thousand_steps_are_right_as_a_whole(tmp_path: Path, digits: Path, seed: int) -> None:
    """Five of five, three of them killed in the middle. Number 0 fails, as one of 60 may."""
    run, draws = chained(tmp_path, digits, seed, STEPS, killed=seed % 2 == 1)
    assert run.result == "0" and run.receipt.chosen[0].ahead == 5
    assert draws <= 1.1 * STEPS * draws_ahead(P, 5)


def test_a_table_with_a_hopeless_input_is_refused(tmp_path: Path) -> None:
    rows = [(0,) * 20] * 9 + [(1,) * 12 + (0,) * 8]
    cases = tuple(
        CaseDraws(id=f"{n}", draws=row, right=(0,), answers=("r", "w"))
        for n, row in enumerate(rows)
    )
    mine = OpSheet(op="following", digest=following.digest.hex(), temperature=0.7, cases=cases)
    path = tmp_path / "digits.json"
    path.write_text(Datasheet(model="scripted", ops={"following": mine}).model_dump_json())
    with computer(slipping(0), sheets=path) as machine:
        run = finish(machine.start(counted_on, 10, reliability=WHOLE))
    assert isinstance(run.error, OutOfReach) and run.receipt.calls == 0


def test_of_what_is_not_in_the_table_nothing_is_foretold(tmp_path: Path) -> None:
    row = (0,) * 90 + (1,) * 10
    cases = tuple(
        CaseDraws(
            id=each, draws=row, right=(0,), answers=("r", "w"), asked=digest_of({"digit": each})
        )
        for each in "0123456789"
    )
    mine = OpSheet(op="following", digest=following.digest.hex(), temperature=0.7, cases=cases)
    path = tmp_path / "digits.json"
    path.write_text(Datasheet(model="scripted", ops={"following": mine}).model_dump_json())

    def program(digit: str) -> Any:
        return following(digit, reliability=Reliability(0.9, table=True)).value

    assert execute(lambda: program("3"), engine="4", sheets=path).result == "4"
    run = execute(lambda: program("x"), engine="4", sheets=path)
    assert isinstance(run.error, BadOperand) and "none of the 10 inputs" in str(run.error)
    assert run.receipt.calls == 0
