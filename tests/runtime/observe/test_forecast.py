"""Forecasts: dry runs that answer as earlier calls were answered, and make no call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, count, echo, execute, finish, shorten, yes
from pydantic import BaseModel, FutureDate
from terminal_fixture import Terminal, nlpu

from nlpu import Price, nlop
from nlpu.errors import BadOperand, Refused, Truncated
from nlpu.ops.op import Op, Operand
from nlpu.runtime import Budget
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.observe.forecast import DRY_RUNS, Forecast, forecast, interval
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.terminal.run.dry import compare, tell
from nlpu.runtime.terminal.show.archive import records
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.types.result import result_type
from nlpu.wire import Capabilities

__all__ = ["nlpu"]  # a fixture
KNOWN = Capabilities("scripted", 100_000, 4, tokenizer="chars")


def experience_of(run_dir: Path) -> Experience:
    gained = Experience()
    for record in records(run_dir):
        for identity in record.past.processors.values():
            gained.add(record.name, record.past, record.texts, identity)
    return gained


def foretold(program: Any, *args: Any, run_dir: Path | None = None, **more: Any) -> Forecast:
    gained = Experience() if run_dir is None else experience_of(run_dir)
    return forecast(program, args, {}, known=KNOWN, experience=gained, **more)


def fan(texts: list[str]) -> Any:
    return [shorten(echo(text)) for text in texts]


def in_two_seconds(seen: Seen) -> Say:
    return Say("x" + " x" * 49, seconds=2.0)


def test_calls_tokens_seconds_and_money_of_ops_that_are_always_alike(tmp_path: Path) -> None:
    for number in range(3):
        execute(fan, [f"text {number}"], engine=Scripted(in_two_seconds), run_dir=tmp_path)
    texts = [f"new {number}" for number in range(10)]
    price = Price(prompt=0, completion=1e6)
    made = foretold(fan, texts, run_dir=tmp_path, price=price)
    assert (made.earlier_runs, made.earlier_calls, made.unknown_ops) == (3, 6, ())
    assert made.calls.expected == made.calls.most == 20
    assert made.completion_tokens.expected == 20 * 50 == made.money.expected
    assert made.seconds is not None
    assert made.seconds.expected == pytest.approx(20 * 2 / KNOWN.max_in_flight)
    assert made.parallelism is not None and made.bound_s is not None
    assert made.parallelism.expected == pytest.approx(20 * 2 / 4)
    assert made.bound_s.expected == pytest.approx(max(4, 20 * 2 / KNOWN.max_in_flight))


def test_branches_and_loops_go_as_they_went_before(tmp_path: Path) -> None:
    def asks(start: int) -> int:
        number = start
        while not yes(f"is it {number}"):
            number += 1
        return number

    script = lambda seen: "yes" if int(seen.operands["text"].split()[-1]) % 5 == 0 else "no"  # noqa: E731
    for start in range(1, 6):  # 5, 4, 3, 2 and 1 calls
        execute(asks, start, engine=Scripted(script), run_dir=tmp_path)
    made = foretold(asks, 1, run_dir=tmp_path)
    assert 0 <= made.calls.least <= made.calls.expected <= made.calls.most
    assert made.calls.most >= 5


class Person(BaseModel):
    name: str
    age: int


@nlop
def describe(text: str) -> Person:
    """Whom does the text describe?"""


def test_ops_that_were_never_called_are_guessed_and_named() -> None:
    made = foretold(lambda: (describe("a"), count("b"), yes("c"), echo("d")))
    assert made.calls.expected == 4
    assert made.seconds is made.parallelism is made.bound_s is None
    assert made.unknown_ops == (
        "How many are there?",
        "Is it so?",
        "Repeat the text.",
        "Whom does the text describe?",
    )
    assert made.completion_tokens.least < made.completion_tokens.most


def test_a_guess_is_a_value_of_its_type() -> None:
    when = Op("when", "When?", (Operand("text", result_type(str)),), result_type(FutureDate))
    assert foretold(lambda: echo(str(when("x"))), dry_runs=2).calls.expected == 2


class Town(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (str, bool),
        (bool, str),
        (int, float),
        (float, int),
        (bool, Literal["a", "b"]),
        (Town, Person),
        (list[int], list[str]),
    ],
)
def test_earlier_answers_of_another_type_are_none(before: Any, after: Any, tmp_path: Path) -> None:
    old, new = (
        Op("ask", "Is it sad?", (Operand("text", result_type(str)),), result_type(each))
        for each in (before, after)
    )
    answers = {bool: "yes", int: "7", float: "2.5", Town: '{"name":"Rye"}'}
    script = Scripted(answers.get(before, "[1]" if before == list[int] else "I would say so"))
    assert execute(lambda: old("a"), engine=script, run_dir=tmp_path).error is None
    for op, unknown in ((old, 0), (new, before is not int)):  # a whole number is a number, too
        made = foretold(lambda op=op: echo(str(op("x"))), run_dir=tmp_path, dry_runs=2)
        assert made.calls.expected == 2
        assert ("Is it sad?" in made.unknown_ops) == unknown


def test_data_that_repeats_an_instruction_is_no_op(tmp_path: Path) -> None:
    execute(lambda: describe("a"), engine='{"name":"Ann","age":3}', run_dir=tmp_path)
    made = foretold(lambda: echo("Whom does the text describe?"), run_dir=tmp_path)
    assert made.unknown_ops == ("Repeat the text.",)


def test_equal_answers_do_not_make_later_calls_equal(tmp_path: Path) -> None:
    execute(fan, ["one"], engine=Scripted("the same"), run_dir=tmp_path)
    assert foretold(fan, ["a", "b", "c"], run_dir=tmp_path).calls.expected == 6


def test_earlier_failures_of_the_model_are_met_again(tmp_path: Path) -> None:
    def stubborn() -> str:
        try:
            return str(echo("a"))
        except Truncated:
            return str(shorten("b"))

    script = {"Repeat": Say("x " * 999), "Shorten": "y"}
    assert execute(stubborn, engine=Scripted(script), run_dir=tmp_path).result == "y"
    assert foretold(stubborn, run_dir=tmp_path).calls.expected == 2


def test_the_same_journals_give_the_same_forecast(tmp_path: Path) -> None:
    execute(fan, ["one", "another one", "a third"], engine=Scripted(), run_dir=tmp_path)
    first, second = (foretold(fan, ["a", "b"], run_dir=tmp_path) for _ in range(2))
    assert first == second


def test_a_program_that_always_fails_says_why() -> None:
    with pytest.raises(BadOperand):
        foretold(lambda: echo(3))


def test_a_loop_without_end_is_cut_at_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    def endless() -> None:
        number = 0
        while True:
            number += len(str(echo(str(number))))

    made = foretold(endless, budget=Budget(calls=30), dry_runs=2)
    assert made.calls.expected == 30
    assert made.cut_at_calls is None, "so does a run"
    made = foretold(endless, most_calls=40)
    assert (made.cut_at_calls, made.dry_runs, made.calls.expected) == (40, 1, 40)
    tell(made)
    assert "cut after 40 calls" in capsys.readouterr().out


@driver(effect="external")
def send(to: str) -> str:
    """Send a letter."""
    raise AssertionError("nothing is sent in a dry run")


def test_a_driver_with_an_effect_is_refused_and_named() -> None:
    def once() -> Any:
        return echo(send(str(echo("a"))))

    def caught() -> Any:
        try:
            return str(send("x"))
        except Refused:
            return yes("b")

    for program in (once, caught):
        made = foretold(program)
        assert (made.calls.expected, made.dry_runs) == (1, DRY_RUNS)
        assert made.refused_drivers == ("send",)
    assert foretold(lambda: echo("a")).refused_drivers == ()


def test_only_calls_that_a_run_paid_for_are_samples(tmp_path: Path) -> None:
    from nlpu.runtime.journal.edits import Edits

    old = execute(fan, ["same", "same"], engine=Scripted("a"), run_dir=tmp_path)
    with computer(Scripted("b"), run_dir=tmp_path) as machine:
        finish(machine.rerun(old.name, fan, ["same", "same"], edits=Edits({"main/1": "c"})))
    gained = experience_of(tmp_path)
    assert (gained.runs, gained.calls) == (1, 2)  # two were shared, and then four were taken


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.integers(0, 20))
def test_an_interval_holds_its_median_and_widens_with_ignorance(
    figures: list[int], runs: int
) -> None:
    made, more = (interval([*map(float, figures)], n) for n in (runs, runs + 1))
    assert 0 <= made.least <= made.expected <= made.most
    assert made.least <= more.least and more.most <= made.most


# -- the terminal --------------------------------------------------------------------------------


def test_dry_makes_no_call_and_the_run_is_held_against_it(nlpu: Terminal) -> None:
    words = ("run", "ask", "What is a loom?", "--engine", "scripted")
    nlpu(*words)
    dry = nlpu(*words, "--dry")
    assert dry.code == 0 and "90 % of runs" in dry.out and "1 earlier runs" in dry.out
    assert len(nlpu("runs", "--json").json) == 1
    told = nlpu(*words, "--json").json
    assert told["forecast"]["calls"]["expected"] == told["receipt"]["calls"] == 1
    beside = nlpu(*words).err.splitlines()
    assert "forecast beside actual:" in beside
    rows = {line.split()[0]: line.split() for line in beside if line.strip()}
    assert rows["parallelism"][-1] == "1" and rows["bound"][1] == "s"
    assert "forecast beside actual" in nlpu("show", told["run_id"]).out
    assert "forecast" not in nlpu(*words, "--price", "1,2").err
    other = nlpu("run", "ask", "What is a mill?", "--engine", "scripted")
    assert "forecast" not in other.err
    new = (*words, "--run-dir", "new")
    nlpu(*new, "--dry")
    assert "never called before" in nlpu(*new).err, "where it was weak is told beside it"


def test_a_forecast_that_cannot_be_kept_is_told_all_the_same(
    nlpu: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "forecasts").write_text("in the way")
    words = ("run", "ask", "What?", "--engine", "scripted", "--run-dir", "runs", "--dry")
    ended = nlpu(*words)
    assert ended.code == 0 and "90 % of runs" in ended.out
    assert "cannot be kept in runs/forecasts" in ended.err and "fault" not in ended.err
    assert nlpu(*words, "--json").json["cut_at_calls"] is None


def test_a_forecast_of_another_version_is_none(nlpu: Terminal, tmp_path: Path) -> None:
    words = ("run", "ask", "What?", "--engine", "scripted", "--run-dir", "runs")
    nlpu(*words, "--dry")
    (kept,) = (tmp_path / "runs" / "forecasts").iterdir()
    kept.write_text("{}")
    ended = nlpu(*words)
    assert ended.code == 0 and "forecast" not in ended.err and "fault" not in ended.err
    compare({"calls": 1}, execute(lambda: echo("a")).receipt)  # as an older journal may have it


def test_a_price_puts_money_on_the_receipt(nlpu: Terminal) -> None:
    words = ("run", "ask", "What?", "--engine", "scripted")
    receipt = nlpu(*words, "--price", "1,1000000", "--json").json["receipt"]
    tokens = receipt["completion_tokens"] + receipt["prompt_tokens"] / 1e6
    assert receipt["money"] == pytest.approx(tokens)
    for wrong in ("1", "a,b", "-1,2", "1,2,3,4"):
        ended = nlpu(*words, "--price", wrong)
        assert ended.code == 2 and "--price must be IN,OUT" in ended.err
