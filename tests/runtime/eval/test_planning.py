"""Planning within runs: cases asked or read off a datasheet, and the choice kept."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from kit import Doomed, computer, execute, finish, resumed

from nlpu import ModelError, Say, Scripted, nlop, reliable
from nlpu.errors import BadOp, BadOperand, ConnectionLost, Usage
from nlpu.eval.bounds import OutOfReach, TooFewCases
from nlpu.eval.cases import cases_of
from nlpu.eval.datasheet import VOID, CaseDraws, Datasheet, OpSheet, sheet_in
from nlpu.eval.votes import Ahead, Majority
from nlpu.isa import judge
from nlpu.runtime.eval.corrections.cascades import cascade, fallback
from nlpu.runtime.eval.corrections.correction import Corrected, Unsure
from nlpu.runtime.eval.corrections.voting import ahead_by, majority
from nlpu.runtime.eval.planning import draw_sheet, ladder, try_recipes
from nlpu.testing.scripted import Seen

CASES = [({"text": f"case {number}"}, "red") for number in range(120)]


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


def right(p: float, wrong: tuple[str, ...] = ("green",), seed: int = 0) -> Any:
    """A model that says red with chance p; by the number of the request within its run."""

    def script(seen: Seen) -> str:
        dice = Random(f"{seed} {seen.request.id}")
        return "red" if dice.random() < p else dice.choice(wrong)

    return script


# -- from cases ------------------------------------------------------------------------------------


def test_a_program_gets_what_it_asks_for_and_uses_it() -> None:
    def program() -> tuple[str, str, Any]:
        sure, choice = reliable(colour, 0.9, CASES)
        return repr(sure), choice.trial.recipe, sure("new").value

    run = execute(program, engine=right(0.88))
    assert run.result == ("ahead by 2(colour)", "ahead by 2(colour)", "red")
    run = execute(program, engine=right(1.0))
    assert run.result[1] == "colour"  # one draw is enough


def test_recipes_share_their_draws() -> None:
    votes = [ahead_by(3)(colour), majority(5)(colour), ahead_by(2)(colour)]
    cases = CASES[:20]

    def program() -> float:
        trials = try_recipes(colour, votes, cases_of(cases), False)
        return sum(each.cost * len(cases) for each in trials)

    together = execute(program, engine=right(0.8))
    most = together.result
    assert together.receipt.calls < 0.6 * most


def test_unsure_is_allowed_only_on_demand() -> None:
    """A quarter of the texts is as good as dice, and these disagree about what is wrong."""

    def script(seen: Seen) -> str:
        hard = int(seen.operands["text"].split()[-1]) % 4 == 0
        dice = Random(seen.request.id)
        return dice.choice(["red", "green", "blue"]) if hard else "red"

    def program(abstain: float) -> Any:
        sure, choice = reliable(colour, 0.9, CASES, abstain=abstain)
        said = [sure(f"new {number}").value for number in range(0, 40, 4)]
        return choice.trial.abstained, sum(isinstance(each, Unsure) for each in said)

    refused = execute(program, 0.0, engine=script)
    assert isinstance(refused.error, OutOfReach) and refused.error.best < 0.9
    abstained, unsure = execute(program, 0.3, engine=script).result
    assert 0.1 < abstained < 0.3 and unsure > 0


def test_too_few_cases_and_targets_out_of_reach_are_told_to_the_program() -> None:
    few = execute(lambda: reliable(colour, 0.95, CASES[:15]), engine=right(1.0))
    assert isinstance(few.error, TooFewCases) and few.error.needed == 59
    assert few.receipt.calls == 0  # none was asked in vain
    high = execute(lambda: reliable(colour, 0.9, CASES), engine=right(0.3))
    assert isinstance(high.error, OutOfReach) and "another model" in str(high.error)


def test_the_ladder_may_be_ones_own() -> None:
    def program() -> str:
        op = colour.using(temperature=0.5)
        sure, _ = reliable(op, 0.8, CASES, recipes=[majority(3)(op), op])
        return repr(sure)

    assert execute(program, engine=right(0.88)).result.startswith("Op colour")
    assert len(ladder(colour)) == 4 and len(ladder(colour, abstains=True)) == 15


def test_recipes_may_be_on_several_processors() -> None:
    """From the dear and sure to the cheap and bold: the last that will do."""
    small, large = (colour.using(processor=name) for name in ("small", "large"))
    doubtful = cascade(ahead_by(2, most=2)(small), large)

    def program(reliability: float) -> str:
        recipes = [large, doubtful, ahead_by(2)(small), small]
        return reliable(colour, reliability, CASES, recipes=recipes).choice.trial.recipe

    found = []
    for reliability in (0.97, 0.9, 0.85, 0.6):
        engines = {
            "small": Scripted(right(0.8)),
            "large": Scripted("red", model="large"),
        }
        with computer(engines) as machine:
            found.append(finish(machine.start(program, reliability)).result)
    by_two = "ahead by 2 of 2(colour on small)"
    assert found == [
        "colour on large",
        f"cascade({by_two}, colour on large)",
        "ahead by 2(colour on small)",
        "colour on small",
    ]


def test_a_planning_that_was_killed_goes_on_to_the_same_choice(tmp_path: Path) -> None:
    def program() -> Any:
        sure, choice = reliable(colour, 0.9, CASES[:80])
        return repr(sure), str(choice), sure("new").value

    whole = execute(program, engine=right(0.85))
    last = whole.receipt.calls - 2  # the first draw of the vote behind the planning
    engine = Doomed(right(0.85), tmp_path / "runs", tmp_path / "grave", last)
    run = execute(program, engine=engine, run_dir=tmp_path / "runs")
    assert engine.seen[last - 1].operands["text"] == "new"
    after = Scripted("blue")
    again = resumed(tmp_path / "grave", run, program, engine=after)
    assert again.result[:2] == run.result[:2] == whole.result[:2]
    assert again.result[2] == "blue" and len(after.seen) == 3


def test_failures_of_the_model_are_wrong_and_those_of_the_host_end_it() -> None:
    op = colour.using(retries=0)
    invalid = execute(lambda: reliable(op, 0.5, CASES, recipes=[op]), engine="mauve")
    assert isinstance(invalid.error, OutOfReach)
    with computer(ConnectionLost("gone")) as machine:
        lost = finish(machine.start(lambda: reliable(op, 0.5, CASES[:9], recipes=[op])))
    assert not isinstance(lost.error, OutOfReach | ModelError)


def test_what_cannot_be_planned_is_refused() -> None:
    other = colour.using(name="other")
    odd = [({"text": "x"}, "a")]
    for plan, error in (
        (lambda: reliable(ahead_by(2)(colour), 0.9, CASES), BadOp),  # type: ignore[arg-type]
        (lambda: reliable(colour, 0.9, [], recipes=[other]), Usage),
        (lambda: reliable(colour, 0.9, odd * 40), BadOperand),
        (lambda: reliable(colour, 0.9, CASES, recipes=[]), Usage),
        (lambda: reliable(colour, 90, CASES), BadOperand),
    ):
        assert isinstance(execute(plan, engine="red").error, error)


# -- from datasheets -------------------------------------------------------------------------------


def sheet(p: float = 0.88, draws: int = 20, seed: int = 0) -> OpSheet:
    return execute(lambda: draw_sheet(colour, CASES, draws), engine=right(p, seed=seed)).result  # type: ignore[no-any-return]


def written(path: Path, mine: OpSheet) -> Path:
    whole = Datasheet(model="scripted", ops={mine.op: mine})
    path.write_text(whole.model_dump_json(), encoding="utf-8")
    return path


def test_a_sheet_holds_draws_by_what_is_equal() -> None:
    answers = iter(["blue", "red", "blue", "mauve", "red"])
    op = colour.using(retries=0)
    made = execute(lambda: draw_sheet(op, CASES[:1], 4), engine=lambda seen: next(answers)).result
    (case,) = made.cases
    assert (case.once, case.draws, case.right) == (0, (1, 0, VOID, 1), (1,))
    assert (case.share, made.once, made.ceiling) == (0.5, 0, 1.0)  # two red, one blue, one void
    assert case.answers == ("blue", "red")


def test_a_sheet_tells_the_share_the_ceiling_and_the_distribution() -> None:
    rows = {"good": (0,) * 10, "hard": (0,) * 6 + (1,) * 4, "wrong": (1,) * 9 + (0,)}
    cases = tuple(CaseDraws(id=name, draws=row, right=(0,)) for name, row in rows.items())
    made = OpSheet(op="x", digest="", temperature=0.7, cases=cases)
    low, high = made.interval
    assert made.right == pytest.approx(17 / 30) and low < 0.2 and high > 0.9
    assert (made.ceiling, made.distribution) == (2 / 3, {0.1: 1, 0.6: 1, 1.0: 1})
    agreed, majority_ = made.trials([Ahead(3, most=3), Majority(9)], abstains=True)
    assert (agreed.right, agreed.wrong, agreed.unsure) == (2, 1, 0)
    assert (majority_.right, majority_.wrong, majority_.cost) == (2, 1, pytest.approx(5))


@pytest.mark.parametrize(
    ("draws", "right", "leads"),
    [
        ((0, 1, 0, 2, 0, 3, 4), (0,), True),  # most are wrong, and disagree
        ((0, VOID, VOID, 0, VOID), (0,), True),
        ((0, 1, 0, 1), (0,), False),
        ((0, 1, 2, 2), (0, 1), False),  # two right ones vote apart
        ((VOID, VOID), (0,), False),
    ],
)
def test_the_ceiling_is_what_votes_come_to(
    draws: tuple[int, ...], right: tuple[int, ...], leads: bool
) -> None:
    case = CaseDraws(id="a", draws=draws * 30, right=right)
    assert case.leads is leads
    made = OpSheet(op="x", digest="", temperature=0.7, cases=(case,))
    assert made.ceiling == leads == made.trials([Majority(len(case.draws))])[0].right


def test_a_sheet_of_judgements_tells_their_calibration() -> None:
    """A judge that is right about what is more likely, and far too sure of it."""

    def script(seen: Seen) -> Say:
        number = int(seen.operands["text"].split()[1])
        surely = (0.99, 0.01) if number % 2 else (0.01, 0.99)
        return Say("yes" if number % 2 else "no", probabilities=surely)

    cases = [
        ({"question": "Is it?", "text": f"case {n}"}, bool(n % 2) != (n // 2 % 5 == n // 10 % 5))
        for n in range(200)
    ]
    found = execute(lambda: draw_sheet(judge, cases, 1), engine=script).result
    before, after = found.calibration
    assert before.bins == ((100, pytest.approx(0.01), 0.2), (100, pytest.approx(0.99), 0.8))
    assert before.error == pytest.approx(0.19)
    assert after is not None and after.error < 0.02
    few = found.model_copy(update={"judged": found.judged[:10]})
    assert few.calibration[1] is None


def test_a_rule_that_wants_more_draws_than_there_are_is_unsure() -> None:
    case = CaseDraws(id="a", draws=(0, 1, 0, 1), right=(0,))
    assert case.vote(Ahead(2)) == (None, 4)


def test_a_recipe_is_read_off_a_sheet_without_a_call(tmp_path: Path) -> None:
    path = written(tmp_path / "sheet.json", sheet())
    run = execute(lambda: repr(reliable(colour, 0.9, path).op), engine="red")
    assert (run.result, run.receipt.calls) == ("ahead by 2(colour)", 0)
    asked = execute(lambda: repr(reliable(colour, 0.9, CASES).op), engine=right(0.88))
    assert asked.result == run.result


def test_examples_are_recipes_where_the_sheet_has_them(tmp_path: Path) -> None:
    """The op with examples is right at once; the plain one would need votes."""
    shown = colour.using(name="colour_shown", examples=[("the sky", "blue")])
    plain, better = sheet(), execute(lambda: draw_sheet(shown, CASES, 20), engine="red").result
    path = tmp_path / "sheet.json"
    ops = {each.op: each for each in (plain, better)}
    path.write_text(Datasheet(model="scripted", ops=ops).model_dump_json(), encoding="utf-8")

    def program(*recipes: Any) -> Any:
        return reliable(colour, 0.9, path, recipes=recipes).choice.trial.recipe

    assert execute(program, ahead_by(3)(shown), shown, engine="red").result == "colour_shown"
    votes = [ahead_by(3)(shown), ahead_by(3)(colour), shown, colour]
    assert execute(program, *votes, engine="red").result == "colour_shown"
    elsewhere = execute(program, shown.using(processor="main"), engine="red")
    assert isinstance(elsewhere.error, BadOperand) and "give cases" in str(elsewhere.error)


def test_a_run_that_goes_on_keeps_what_it_read(tmp_path: Path) -> None:
    path = written(tmp_path / "sheet.json", sheet())

    def program(recipes: Any = None) -> Any:
        sure, _ = reliable(colour, 0.9, path, recipes=recipes)
        return repr(sure), sure("new").value

    engine = Doomed("red", tmp_path / "runs", tmp_path / "grave", 1)
    run = execute(program, engine=engine, run_dir=tmp_path / "runs")
    written(path, sheet(1.0))
    again = resumed(tmp_path / "runs", run, program, replay=True)
    assert again.result == run.result == ("ahead by 2(colour)", "red")
    other = resumed(tmp_path / "runs", run, lambda: program([colour]), replay=True)
    assert "chose ahead by 2(colour) when it began, which is none" in str(other.error)
    assert execute(program, engine="red").result[0].startswith("Op colour")


def test_a_sheet_tells_only_what_was_drawn(tmp_path: Path) -> None:
    path = written(tmp_path / "sheet.json", sheet(draws=4))
    other = colour.using(system="Be brief.")
    hot = ahead_by(2, temperature=1.0)(colour)
    for plan, says in (
        (lambda: reliable(other, 0.9, path), "has other words"),
        (lambda: reliable(colour, 0.9, path, recipes=[hot]), "at temperature 0.7, not of"),
        (lambda: reliable(colour, 0.9, path, recipes=[fallback(colour)]), "give cases"),
        (lambda: reliable(colour.using(name="c"), 0.9, path), "is not there"),
        (lambda: reliable(colour, 0.9, tmp_path / "none.json"), "cannot be read"),
    ):
        assert says in str(execute(plan, engine="red").error)
    whole = sheet_in(path)
    path.write_text(path.read_text(), encoding="utf-8-sig")  # as editors on Windows do
    assert sheet_in(path) == whole
    path.write_text("[1]")
    with pytest.raises(Usage, match="is no datasheet"):
        sheet_in(path)
    assert isinstance(ahead_by(2)(colour), Corrected)
