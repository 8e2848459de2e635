"""Planning says what is so: whose draws a sheet has, how many, and what cases show only once."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from kit import execute

from nlpu import Reliability, Scripted, Unsure, nlop, reliable
from nlpu.errors import BadOp, BadOperand, Usage
from nlpu.eval.bounds import OutOfReach
from nlpu.eval.datasheet import VOID, CaseDraws, Datasheet, OpSheet
from nlpu.eval.votes import Ahead, Majority, Rule, needs
from nlpu.runtime.eval.corrections.voting import ahead_by, majority
from nlpu.runtime.eval.planning import draw_sheet
from nlpu.testing.scripted import Seen

CASES = [({"text": f"case {number}"}, "red") for number in range(60)]


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


def written(path: Path, draws: tuple[int, ...], **facts: Any) -> Path:
    """The file of a sheet whose cases all have these draws; 0 is right."""
    cases = tuple(CaseDraws(id=str(n), draws=draws, right=(0,), once=0) for n in range(60))
    mine = OpSheet(op="colour", digest=colour.digest.hex(), temperature=0.7, cases=cases)
    whole = Datasheet(**{"model": "scripted", **facts}, ops={"colour": mine})
    path.write_text(whole.model_dump_json(), encoding="utf-8")
    return path


# -- whose draws -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "system", "says"),
    [
        ({"model": "other"}, "", "has the model 'other', and 'scripted' is asked for"),
        ({"convention": "0"}, "", "has the convention '0'"),
        ({}, "Lie.", "has the system '', and 'Lie.' is asked for"),
        ({"system": "Lie."}, "", "has the system 'Lie.', and '' is asked for"),
    ],
    ids=["model", "convention", "system", "no system"],
)
def test_a_sheet_of_something_else_is_refused(
    tmp_path: Path, facts: dict[str, str], system: str, says: str
) -> None:
    path = written(tmp_path / "sheet.json", (0,) * 10, **facts)
    run = execute(lambda: reliable(colour, 0.9, path), engine="red", system=system)
    assert isinstance(run.error, Usage) and says in str(run.error)


def test_weights_are_told_apart_where_both_are_known() -> None:
    sheet = Datasheet(model="m", weights="aa", ops={})
    sheet.check_asked(model="m", weights="", source="hub", system="")
    with pytest.raises(Usage, match="weights 'aa', and 'bb' is asked for"):
        sheet.check_asked(model="m", weights="bb")


def test_a_sheet_of_the_same_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "sheet.json", (0,) * 10, system="Be brief.")
    run = execute(lambda: repr(reliable(colour, 0.9, path).op), engine="red", system="Be brief.")
    assert run.result.startswith("Op colour")


def test_a_sheet_is_of_the_draws_that_votes_make(tmp_path: Path) -> None:
    """A vote draws at the op's own temperature, if it has one; there this model is always wrong."""
    own, path = colour.using(temperature=0.5), tmp_path / "sheet.json"

    def by_heat(seen: Seen) -> str:
        return "red" if seen.request.sampling.temperature == 0.7 else "green"

    made = execute(lambda: draw_sheet(own, CASES, 8), engine=by_heat).result
    assert (made.temperature, made.right) == (0.5, 0)
    hot = made.model_copy(update={"temperature": 0.7})  # an older one, whose draws were at that
    path.write_text(Datasheet(model="scripted", ops={"colour": hot}).model_dump_json())
    says = "colour draws at its own temperature 0.5, and 0.7 was drawn"
    for program in (
        lambda: reliable(own, 0.9, path),
        lambda: own("x", reliability=0.9).value,
        lambda: own("x", reliability=Reliability(0.9, table=True)).value,
    ):
        run = execute(program, engine=by_heat, sheets=path)
        assert says in str(run.error) and run.receipt.calls == 0
    good = execute(lambda: draw_sheet(own, CASES, 8), engine="red").result
    path.write_text(Datasheet(model="scripted", ops={"colour": good}).model_dump_json())
    run = execute(lambda: repr(reliable(own, 0.9, path).op), engine="red")
    assert run.result.startswith("Op colour")


# -- how many draws --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "draws"), [(Majority(9), 9), (Ahead(2), 2), (Ahead(2, most=6), 6)], ids=str
)
def test_a_rule_needs_its_limit_and_one_without_its_lead(rule: Rule, draws: int) -> None:
    assert needs(rule) == draws


def test_a_recipe_is_not_tried_on_fewer_draws_than_it_needs(tmp_path: Path) -> None:
    path = written(tmp_path / "sheet.json", (0, 0, 1))

    def program(*recipes: Any) -> str:
        return str(reliable(colour, 0.9, path, recipes=recipes).choice)

    told = execute(lambda: program(majority(9)(colour), ahead_by(2)(colour)), engine="red").result
    assert "-> ahead by 2(colour): 60 of 60 right" in told
    assert told.endswith(
        "left out: majority of 9(colour) needs 9 draws, and there are 3 draws a case"
    )
    none = execute(lambda: program(majority(9)(colour)), engine="red")
    assert isinstance(none.error, Usage) and "too few draws" in str(none.error)


def test_a_race_that_the_draws_do_not_end_is_never_right() -> None:
    case = CaseDraws(id="a", draws=(0, 0, 1), right=(0,))
    assert case.vote(Majority(9)) == (None, 3)
    mine = OpSheet(op="x", digest="", temperature=0.7, cases=(case,))
    (trial,) = mine.trials([Ahead(3)], abstains=True)
    assert (trial.right, trial.wrong, trial.unsure) == (0, 1, 0)


@pytest.mark.parametrize("rule", [Ahead(2), Ahead(4), Majority(9)], ids=str)
@pytest.mark.parametrize("voids", [5, 6, 8])
def test_a_vote_is_given_up_on_a_sheet_where_it_is_in_a_run(rule: Rule, voids: int) -> None:
    case = CaseDraws(id="a", draws=(VOID,) * voids + (0,) * 12, right=(0,))
    vote = ahead_by(rule.k) if isinstance(rule, Ahead) else majority(rule.most)

    replies = iter(["purple"] * voids + ["red"] * 12)
    engine = Scripted(lambda seen: next(replies))
    run = execute(lambda: vote(colour.using(retries=0))("x").value, engine=engine)
    right = None if isinstance(run.result, Unsure) else run.result == "red"
    assert case.vote(rule) == (right, run.receipt.calls)


# -- what cases show -------------------------------------------------------------------------------


def test_equal_operands_are_no_more_cases() -> None:
    twice = [*CASES, ({"text": "case 7"}, "red")]
    for plan in (lambda: reliable(colour, 0.9, twice), lambda: draw_sheet(colour, twice, 2)):
        run = execute(plan, engine="red")
        assert isinstance(run.error, BadOperand) and run.receipt.calls == 0
        assert "have the same operands" in str(run.error)


def test_an_op_that_would_do_by_itself_is_said_to() -> None:
    """Right at temperature 0, and as good as dice above it."""

    def script(seen: Seen) -> str:
        if not seen.request.sampling.temperature:
            return "red"
        return Random(seen.request.id).choice(["red", "green"])

    run = execute(lambda: reliable(colour, 0.9, CASES), engine=Scripted(script))
    assert isinstance(run.error, OutOfReach) and run.error.best > 0.95
    assert "By itself colour is shown to be in 0.951" in str(run.error)
    alone = execute(
        lambda: repr(reliable(colour, 0.9, CASES, recipes=[colour]).op), engine=Scripted(script)
    )
    assert alone.result.startswith("Op colour")


SHOWN = colour.using(examples=[("It is red.", "red")])


@pytest.mark.parametrize(
    ("cautious", "bold"),
    [
        (ahead_by(2, temperature=0.3)(colour), ahead_by(2, temperature=1.5)(colour)),
        (SHOWN, colour),
    ],
    ids=["temperatures", "examples"],
)
def test_of_recipes_of_one_name_the_one_that_was_chosen_is_given(cautious: Any, bold: Any) -> None:
    def program(*recipes: Any) -> Any:
        sure, choice = reliable(colour, 0.9, CASES, recipes=recipes)
        return recipes.index(sure), choice.place

    assert execute(lambda: program(cautious, bold), engine="red").result == (1, 1)


@pytest.mark.parametrize("recipes", [colour, "abc", [colour, len], ahead_by(2)], ids=str)
def test_recipes_are_a_list_of_ops(recipes: Any) -> None:
    run = execute(lambda: reliable(colour, 0.9, CASES, recipes=recipes), engine="red")
    assert isinstance(run.error, BadOp) and "recipe" in str(run.error)
    assert run.receipt.calls == 0
