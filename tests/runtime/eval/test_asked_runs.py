"""Reliability that a run asks for; what was chosen is kept, killed and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from asked_kit import colour, measured, right
from kit import Doomed, computer, execute, finish, resumed, shorten

from nlpu import (
    Budget,
    Reliability,
    Say,
    Scripted,
    Value,
    op,
    spawn,
)
from nlpu.errors import (
    BadOperand,
    BudgetExceeded,
    ConnectionLost,
    Usage,
    root_of,
)
from nlpu.eval.bounds import NotMeasured, OutOfReach, TooFewCases
from nlpu.runtime import Run
from nlpu.runtime.journal.edits import Edits


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return measured(tmp_path / "sheet.json")


# -- kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["gone", "other", "same"])
def test_a_run_that_goes_on_keeps_its_choice(tmp_path: Path, change: str) -> None:
    """Killed in mid-vote; the file is gone then, or says that one draw is enough."""
    sheet = measured(tmp_path / "sheet.json", 0.7)

    def program() -> Any:
        return [colour(name, reliability=0.9).value for name in ("a", "b", "c")]

    runs, grave = tmp_path / "runs", tmp_path / "grave"
    engine = Doomed(right(0.8), runs, grave, 5)
    run = execute(program, engine=engine, run_dir=runs, sheets=sheet)
    if change == "gone":
        sheet.unlink()
    elif change == "other":
        measured(sheet, 1.0)
    after = Scripted(right(0.8))
    again = resumed(grave, run, program, engine=after)
    assert again.result == run.result
    (was,), (now,) = run.receipt.chosen, again.receipt.chosen
    assert was == now and len(now.sheet) == 32 and now.ahead > 1
    assert len(after.seen) == len(engine.seen) - 4  # the draws that were journaled are kept


CHANGES: dict[str, Callable[[Path], Any]] = {  # of a folder of sheets
    "gone": lambda sheets: (sheets / "colour.json").unlink(),
    "other": lambda sheets: measured(sheets / "colour.json", 1.0),
    "one more": lambda sheets: measured(sheets / "a.json", 1.0),
    "moved": lambda sheets: sheets.rename(sheets.with_name("others")),
    "same": lambda sheets: None,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("life", ["first", "later"])
def test_what_is_planned_later_is_planned_from_what_the_run_began_with(
    tmp_path: Path, change: str, life: str
) -> None:
    """Killed before its plan, or slow to come to it; meanwhile the sheet says something else."""
    runs, grave, sheets = tmp_path / "runs", tmp_path / "grave", tmp_path / "sheets"
    sheets.mkdir()
    measured(sheets / "colour.json", 0.7)

    def program() -> Any:
        said = shorten("a plain call").value
        if life == "first":
            CHANGES[change](sheets)
        return said, colour("a", reliability=0.9).value

    def later(**options: Any) -> Run:
        there = tmp_path / "others" if change == "moved" else sheets
        with computer("red", run_dir=grave, sheets=there) as machine:
            return finish(machine.resume(run.name, program, **options))

    run = execute(program, engine=Doomed("red", runs, grave, 1), run_dir=runs, sheets=sheets)
    if life == "later":
        assert run.error is None
        CHANGES[change](sheets)
        run = later()
    if change == "same" or (life, change) == ("later", "moved"):
        assert run.result == ("red", "red") and run.receipt.chosen[0].recipe != "colour"
        return
    assert isinstance(root_of(run.error), Usage)
    assert "the datasheets have changed since the run began" in str(run.error)
    assert {"one more": "a.json"}.get(change, "colour.json") in str(run.error)
    if (life, change) == ("later", "other"):
        anyhow = later(changed=True)
        assert anyhow.result == ("red", "red") and anyhow.receipt.chosen[0].recipe == "colour"


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_at_any_draw_it_is_asked_as_before(tmp_path: Path, sheet: Path, at: int) -> None:
    """The plan is on the disk before the first draw is sent."""

    def program() -> Any:
        first = colour("a", reliability=0.95)
        last = colour.map(["b", "c"], reliability=0.95)
        return [first.value, *last.value, colour("d", reliability=0.95).value]

    runs, grave = tmp_path / "runs", tmp_path / "grave"
    engine = Doomed(right(0.8), runs, grave, at)
    run = execute(program, engine=engine, run_dir=runs, sheets=sheet)
    assert len(engine.seen) >= 8
    sheet.unlink()
    again = resumed(grave, run, program, engine=right(0.8))
    assert again.error is None and again.receipt.chosen == run.receipt.chosen
    assert resumed(grave, run, program, replay=True).result == again.result


def test_who_asks_first_does_not_matter(tmp_path: Path, sheet: Path) -> None:
    """Two nested programs, of which now one and now the other comes first."""

    async def one(name: str, other: Value[Any]) -> str:
        await other
        return await colour(name, reliability=0.95)

    async def program() -> Any:
        slow, fast = op("slow", name="slow")("s"), op("fast", name="fast")("f")
        return [await each for each in [spawn(one, "a", slow), spawn(one, "b", fast)]]

    def script(slow: float, fast: float) -> Any:
        waits = {"s": slow, "f": fast}
        return lambda seen: Say("red", seconds=waits.get(seen.operands["text"], 0.5))

    runs, grave = tmp_path / "runs", tmp_path / "grave"
    engine = Doomed(script(1, 5), runs, grave, 5)
    run = execute(program, engine=engine, run_dir=runs, sheets=sheet)
    sheet.unlink()
    again = resumed(grave, run, program, engine=script(5, 1))
    assert again.result == run.result == ["red", "red"]


def test_a_budget_that_runs_out_in_a_vote_keeps_the_votes(tmp_path: Path, sheet: Path) -> None:
    def program() -> Any:
        return [colour(name, reliability=0.95).value for name in "abcd"]

    runs = tmp_path / "runs"
    run = execute(program, engine="red", run_dir=runs, sheets=sheet, budget=Budget(calls=3))
    assert isinstance(run.error, BudgetExceeded) and run.status == "stopped"
    engine = Scripted("red")
    again = resumed(runs, run, program, engine=engine, budget=Budget(calls=20))
    assert again.result == ["red"] * 4 and len(engine.seen) == 8 - 3


def test_a_failing_host_fails_the_answer(sheet: Path) -> None:
    with computer(ConnectionLost("gone"), sheets=sheet) as machine:
        run = finish(machine.start(lambda: colour("x", reliability=0.95).value))
    assert "gone" in str(run.error) and not isinstance(run.error, OutOfReach)


def test_its_draws_are_streamed_like_any(sheet: Path) -> None:
    with computer(Scripted("red"), sheets=sheet) as machine:
        run = machine.start(lambda: colour("x", reliability=0.95).value, stream=True)
        assert {str(piece) for piece in run.stream()} == {"red"}


def test_what_cannot_be_planned_is_found_out_once_a_life(tmp_path: Path) -> None:
    """A thousand calls do not read the sheets a thousand times; who mends them resumes."""
    sheet = measured(tmp_path / "sheet.json", of=colour.using(name="tint"))

    def program() -> Any:
        first = colour("a", reliability=0.95).error
        if first is not None:
            measured(sheet)  # of no account any more
        return colour("b", reliability=0.95).value

    runs = tmp_path / "runs"
    run = execute(program, engine="red", run_dir=runs, sheets=sheet)
    assert isinstance(run.error, NotMeasured) and run.receipt.calls == 0
    assert resumed(runs, run, program, engine="red").result == "red"


@pytest.mark.parametrize(
    ("steps", "says"),
    [(1, "to be right in 0.95 of all calls, and"), (2, "to be right in 0.95 of 2 together, and")],
)
def test_what_is_not_measured_is_said_as_it_is_asked_for(steps: int, says: str) -> None:
    asked = Reliability(0.95, steps=steps)
    with computer(Scripted("red")) as machine:
        run = finish(machine.start(lambda: colour("x").value, reliability=asked))
    assert isinstance(run.error, NotMeasured) and says in str(run.error)


def test_a_computer_that_is_given_none_has_those_of_the_settings(tmp_path: Path) -> None:
    measured(tmp_path / "sheet.json")
    (tmp_path / "nlpu.toml").write_text('sheets = "sheet.json"')
    with chdir(tmp_path):
        run = execute(lambda: colour("x", reliability=0.95).value, engine="red")
    assert run.result == "red" and run.receipt.calls == 2


# -- a run -----------------------------------------------------------------------------------------


def test_all_calls_of_a_run_are_right_together(tmp_path: Path) -> None:
    sheet = measured(tmp_path / "sheet.json", 1.0, cases=1200)

    def program(count: int) -> Any:
        return [colour(str(n)).value for n in range(count)]

    asked = Reliability(0.95, steps=12)
    with computer(Scripted("red"), sheets=sheet) as machine:
        run = finish(machine.start(program, 12, reliability=asked))
        more = finish(machine.start(program, 13, reliability=asked))
        one = finish(machine.start(program, 1, reliability=0.95))
    assert len(run.result) == 12 and run.receipt.chosen[0].asked == "0.95 of 12 together"
    assert "in 0.995833 of such cases, for 12 calls" in run.receipt.chosen[0].why
    assert isinstance(more.error, Usage) and "steps=" in str(more.error)
    assert one.result == ["red"]


def test_too_few_cases_for_so_many_steps_are_told(sheet: Path) -> None:
    with computer(Scripted("red"), sheets=sheet) as machine:
        run = finish(
            machine.start(lambda: colour("x").value, reliability=Reliability(0.95, steps=12))
        )
    assert isinstance(run.error, TooFewCases) and run.error.needed == 718


@pytest.mark.parametrize(("steps", "wrong"), [(10**6, "5e-08"), (10**30, "1.11e-16")])
def test_so_many_steps_that_no_cases_show_it_are_told(sheet: Path, steps: int, wrong: str) -> None:
    with computer(Scripted("red"), sheets=sheet) as machine:
        asked = Reliability(0.95, steps=steps)
        run = finish(machine.start(lambda: colour("x").value, reliability=asked))
    assert isinstance(run.error, BadOperand)
    assert f"to show that at most {wrong} are wrong where 0 are: ask for less" in str(run.error)


def test_a_run_that_goes_on_is_asked_for_the_same(tmp_path: Path, sheet: Path) -> None:
    def program() -> Any:
        return [colour(name).value for name in "ab"]

    runs, grave = tmp_path / "runs", tmp_path / "grave"
    engine = Doomed("red", runs, grave, 3)
    with computer(engine, run_dir=runs, sheets=sheet) as machine:
        run = finish(machine.start(program, reliability=Reliability(0.9, steps=2)))
    sheet.unlink()
    again = resumed(grave, run, program, engine="red")
    assert again.result == run.result == ["red", "red"] and again.receipt.reused == 2


def test_an_edited_op_is_measured_anew_or_not_at_all(tmp_path: Path, sheet: Path) -> None:
    program = lambda: colour("x").value  # noqa: E731
    with computer(Scripted("red"), run_dir=tmp_path / "runs", sheets=sheet) as machine:
        run = finish(machine.start(program, reliability=0.95))
        other = Edits(ops={"colour": "Name the colour."})
        edited = finish(machine.rerun(run.name, program, edits=other))
        same = finish(machine.rerun(run.name, program, edits=Edits()))
    assert isinstance(edited.error, NotMeasured) and "other words" in str(edited.error)
    assert same.result == "red" and same.receipt.chosen == run.receipt.chosen


def test_what_is_corrected_by_hand_stays_as_it_is(sheet: Path) -> None:
    from nlpu import majority

    def program() -> Any:
        return majority(5)(colour)("x").value, colour.check([({"text": "y"}, "red")]).value.right

    with computer(Scripted("red"), sheets=sheet) as machine:
        run = finish(machine.start(program, reliability=0.95))
    assert run.receipt.calls == 3 + 1 and run.receipt.chosen == ()
