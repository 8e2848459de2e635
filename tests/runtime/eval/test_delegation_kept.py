"""Delegation: the choice is kept when a run goes on, and what cannot be promised is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from delegation_kit import PRICES, SHEETS, asks, colour, drawn, engines, ran, sheet
from kit import computer, finish, keep

from nlpu import Budget, Scripted, delegated
from nlpu.errors import BadOp, BadOperand, BudgetExceeded, NotInRun, UnknownProcessor, Usage
from nlpu.eval.bounds import OutOfReach, TooFewCases
from nlpu.eval.datasheet import OpSheet
from nlpu.eval.routes import Part, routes_of
from nlpu.label import UNTRUSTED, USER
from nlpu.testing.scripted import Seen

# -- what is kept ----------------------------------------------------------------------------------


def test_a_run_that_goes_on_takes_the_same_routes(tmp_path: Path) -> None:
    """Killed amid a crowd; when it goes on, the queues are empty, and the sheets are others."""
    files = {name: tmp_path / f"{name}.json" for name in "sl"}
    for name, path in files.items():
        path.write_text(sheet(name).model_dump_json())
    paths = {"small": files["s"], "large": files["l"]}
    program = asks(*map(str, range(20)), sheets=paths, within_s=6.0)

    def fresh(large: Any = "red") -> dict[str, Scripted]:
        scripts = {"small": "red", "large": large}
        return {
            name: Scripted(script, model=name[0], max_in_flight=2, latency_s=1)
            for name, script in scripts.items()
        }

    def killed(_: Seen) -> str:
        if len(first["large"].seen) == 3:
            keep(tmp_path / "runs", tmp_path / "grave")
        return "red"

    first = fresh(killed)
    run = ran(program, made=first, run_dir=tmp_path / "runs")
    files["l"].write_text(sheet("l", 0.9).model_dump_json())
    again = fresh()
    with computer(again, run_dir=tmp_path / "grave", prices=PRICES) as machine:
        found = finish(machine.resume(run.name, program))
    assert found.result == run.result == ["red"] * 20
    for name in again:
        then, now = ({seen.operands["text"] for seen in e[name].seen} for e in (first, again))
        assert now < then  # none was asked of the other one
    assert 0 < found.receipt.reused < 20


def test_a_processor_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """What a run chose it does not replace: it goes on when the processor is back."""

    def killed(_: Seen) -> str:
        if len(made["small"].seen) == 2:
            keep(tmp_path / "runs", tmp_path / "grave")
        return "red"

    made, program = engines(small=killed), asks("easy", "hard")
    run = ran(program, made=made, run_dir=tmp_path / "runs")
    with computer({"large": engines()["large"]}, run_dir=tmp_path / "grave") as machine:
        found = finish(machine.resume(run.name, program))
    assert isinstance(found.error, UnknownProcessor) and "'small'" in str(found.error)
    with computer(engines(), run_dir=tmp_path / "grave", prices=PRICES) as machine:
        assert finish(machine.resume(run.name, program)).result == run.result == ["red", "red"]


def test_what_a_file_says_is_nobodys_word_and_a_budget_holds(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(sheet("s").model_dump_json())

    def program(given: Any) -> Any:
        return delegated(colour, 0.95, {"small": given}).op("easy")

    for given, label in ((path, UNTRUSTED), (sheet("s"), USER)):
        run = ran(program, given)
        assert run.result == "red" and run.label == label
    short = ran(asks("hard 1", "hard 2", "hard 3"), budget=Budget(calls=4))
    assert isinstance(short.error, BudgetExceeded)


# -- what cannot be --------------------------------------------------------------------------------


def test_only_what_is_shown_is_promised() -> None:
    for sheets, error, says in (
        ({"small": sheet("s", 0.4), "large": sheet("l", 0.5)}, OutOfReach, "out of reach of these"),
        ({"small": sheet("s", cases=50)}, TooFewCases, "at least 72"),
        (
            SHEETS | {"large": sheet("l", cases=100)},
            None,
            "small, then large: their cases are not the same",
        ),
        ({name: sheet("s", 0.0) for name in ("small", "large")}, Usage, "has the model 's'"),
    ):
        run = ran(lambda sheets=sheets: str(delegated(colour, 0.95, sheets).routes))
        assert says in str(run.result if error is None else run.error)
        assert error is None or isinstance(run.error, error)
    assert isinstance(ran(asks("x", sheets={"small": sheet("s", 0.4)})).error, OutOfReach)


def test_cases_of_other_operands_are_no_pair() -> None:
    def named(model: str, word: str) -> OpSheet:
        mine = drawn(0.3 if model == "s" else 0)
        return mine.model_copy(
            update={"cases": tuple(c.model_copy(update={"asked": word + c.id}) for c in mine.cases)}
        )

    for word, routes in (("a", 2), ("b", 1)):
        two = [Part("s", named("s", "a"), 1, 1), Part("l", named("l", word), 2, 1)]
        assert len(routes_of(two, 0.95).routes) == routes


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(sheet("s").model_dump_json()[:-100])
    other = colour.using(system="Look twice.")
    for op, sheets, settings, error, says in (
        (colour, {"tiny": sheet("s")}, {}, UnknownProcessor, "'tiny'"),
        (colour, {"small": sheet("x")}, {}, Usage, "has the model 'x', and 's'"),
        (colour, {"small": sheet("s").model_copy(update={"convention": "0"})}, {}, Usage, "'0'"),
        (colour, {"small": cut}, {}, Usage, "is no datasheet"),
        (colour, {"small": tmp_path / "none.json"}, {}, Usage, "cannot be read"),
        (colour, {"small": 7}, {}, BadOperand, "a datasheet for each processor"),
        (other, {"small": sheet("s")}, {}, Usage, "has other words"),
        (colour.using(name="c"), {"small": sheet("s")}, {}, Usage, "c is not there"),
        (colour, {}, {}, BadOperand, "for each processor"),
        (colour, [sheet("s")], {}, BadOperand, "for each processor"),
        (len, {"small": sheet("s")}, {}, BadOp, "takes an op"),
        (colour, {"small": sheet("s")}, {"within_s": 0}, BadOperand, "within_s"),
        (colour, {"small": sheet("s")}, {"reliability": 1}, BadOperand, "reliability"),
    ):
        given = {"reliability": 0.95, **settings}
        run = ran(lambda op=op, sheets=sheets, given=given: delegated(op, sheets=sheets, **given))
        assert isinstance(run.error, error) and says in str(run.error), (says, run.error)
    with pytest.raises(NotInRun, match="delegated is for programs"):
        delegated(colour, 0.95, SHEETS)
