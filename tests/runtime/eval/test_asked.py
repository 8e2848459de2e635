"""Reliability that a call or an op asks for: planned from datasheets, and told."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from asked_kit import colour, measured, right
from kit import computer, execute, finish

from nlpu import (
    Price,
    Reliability,
    Scripted,
    Unsure,
    ahead_by,
    cascade,
    gather,
    nlop,
    op,
    spawn,
    verified,
)
from nlpu.errors import (
    BadOp,
    BadOperand,
    Usage,
)
from nlpu.eval.bounds import NotMeasured, OutOfReach
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.eval.votes import Ahead
from nlpu.label import USER
from nlpu.runtime.eval.planning import reliable


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return measured(tmp_path / "sheet.json")


# -- a call ----------------------------------------------------------------------------------------


def test_a_call_is_asked_as_often_as_it_must_be(sheet: Path) -> None:
    def program() -> Any:
        sure = colour("the sky", reliability=0.95).value
        return sure, colour("the sea").value

    run = execute(program, engine="red", sheets=sheet)
    assert run.result == ("red", "red") and run.receipt.calls == 2 + 1  # a vote, and a plain call
    (chosen,) = run.receipt.chosen
    assert (chosen.op, chosen.recipe, chosen.asked) == ("colour", "ahead by 2(colour)", "0.95")
    assert chosen.shown >= 0.95 and "-> ahead by 2(colour)" in chosen.why and chosen.sheet
    assert "ahead by 2(colour) for 0.95" in str(run.receipt) and chosen.why in run.receipt.table()


def test_where_one_draw_will_do_there_is_one(tmp_path: Path) -> None:
    sheet = measured(tmp_path / "sheet.json", 1.0)
    run = execute(lambda: colour("x", reliability=0.95).value, engine="red", sheets=sheet)
    assert (run.receipt.calls, run.receipt.chosen[0].recipe) == (1, "colour")


def test_maps_and_nested_programs_are_asked_so(tmp_path: Path) -> None:
    sheet = measured(tmp_path / "sheet.json")

    def program() -> Any:
        inner = spawn(lambda: colour.using(reliability=0.95)("c").value)
        return gather([colour.map(["a", "b"], reliability=0.95), inner])

    run = execute(program, engine="red", sheets=sheet)
    assert run.result == [["red", "red"], "red"] and run.receipt.calls == 6
    assert len(run.receipt.chosen) == 1  # planned once for all


async def _in_async() -> Any:
    first = colour("a", reliability=0.95)
    second = colour("b", reliability=0.95)
    return [await first, await second]


def test_an_async_program_awaits_it(sheet: Path) -> None:
    assert execute(_in_async, engine="red", sheets=sheet).result == ["red", "red"]


def test_an_async_program_plans_with_cases_beside_itself() -> None:
    cases = [({"text": f"case {n}"}, "red") for n in range(60)]

    async def program() -> Any:
        sure, choice = await spawn(reliable, colour, 0.95, cases)
        return repr(sure), choice.trial.right, await sure("new")

    run = execute(program, engine="red")
    assert run.result[1:] == (60, "red") and run.result[0].startswith("Op colour")


def test_an_operand_of_that_name_stays_an_operand() -> None:
    @nlop
    def rate(text: str, reliability: float) -> str:
        """How good is it?"""

    engine = lambda seen: seen.operands["reliability"]  # noqa: E731
    run = execute(lambda: str(rate("x", reliability=0.5)), engine=engine)
    assert run.result == "0.5"
    with pytest.raises(BadOp, match="reliability must be a share"):
        rate.using(reliability=2)


def test_it_is_no_part_of_what_is_asked(sheet: Path) -> None:
    assert colour.using(reliability=0.95).digest == colour.digest
    assert colour.using(reliability=0.95) != colour
    assert colour.using(reliability=0.95).reliability == Reliability(0.95)


def test_what_is_read_keeps_its_label(sheet: Path) -> None:
    """A computer's datasheets are its user's word: an answer is as good as what it is about."""

    def program() -> Any:
        value = colour("x", reliability=0.95)
        return value.value, value.label == USER

    assert execute(program, engine="red", sheets=sheet).result == ("red", True)


def test_it_may_be_unsure_where_that_is_allowed(tmp_path: Path) -> None:
    """A fifth of the inputs is as good as dice."""
    dice = Random(1)
    table = tuple(
        CaseDraws(
            id=str(n),
            right=(0,),
            answers=("red", "green", "blue"),
            once=0,
            draws=tuple(dice.randrange(3) if n % 5 == 0 else 0 for _ in range(20)),
        )
        for n in range(200)
    )
    mine = OpSheet(op="colour", digest=colour.digest.hex(), temperature=0.7, cases=table)
    path = tmp_path / "sheet.json"
    path.write_text(Datasheet(model="scripted", ops={"colour": mine}).model_dump_json())
    answers = iter(["red", "green", "blue"] * 20)

    def program(abstain: float) -> str:
        said = colour("x", reliability=Reliability(0.95, abstain=abstain)).value
        return "a person decides" if isinstance(said, Unsure) else said

    run = execute(program, 0.25, engine=lambda seen: next(answers), sheets=path)
    assert run.result == "a person decides"
    assert isinstance(execute(program, 0.0, engine="red", sheets=path).error, OutOfReach)


# -- processors ------------------------------------------------------------------------------------


def test_the_cheapest_processor_that_will_do_is_taken(tmp_path: Path) -> None:
    measured(tmp_path / "small.json", 0.85, model="small", tokens=(100, 1))
    measured(tmp_path / "large.json", 1.0, model="large", tokens=(100, 1))

    def chosen(small: float, large: float, asked: float = 0.9) -> Any:
        engines = {"small": Scripted("red", model="small"), "large": Scripted("red", model="large")}
        prices = {"small": Price(small), "large": Price(large)}
        with computer(engines, prices=prices, sheets=tmp_path) as machine:
            run = finish(machine.start(lambda: colour("x", reliability=asked).value))
        (kept,) = run.receipt.chosen
        return kept.processor or "small", kept.ahead, len(engines["large"].seen)

    assert chosen(1, 100) == ("small", 2, 0)  # two calls and a half of the small one
    assert chosen(1, 2) == ("large", 0, 1)
    assert chosen(1, 100, 0.5) == ("small", 0, 0)


def test_a_processor_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    measured(tmp_path / "small.json", 1.0, model="small")
    engines = {"small": Scripted("red", model="small"), "large": Scripted("red", model="large")}
    there = colour.using(processor="large", reliability=0.9)
    with computer(engines, sheets=tmp_path) as machine:
        run = finish(machine.start(lambda: there("x").value))
    assert isinstance(run.error, NotMeasured) and "'large' is asked for" in str(run.error)


def population(path: Path, model: str, seed: object, cases: int = 200) -> OpSheet:
    """A sheet of inputs whose chances differ: one draw is a little worse than a vote."""
    dice = Random(f"{model} {seed}")
    rows = []
    for n in range(cases):
        p = dice.betavariate(1, 30) if dice.random() < 0.02 else dice.betavariate(18, 2)
        draws = tuple(int(dice.random() >= p) for _ in range(40))
        rows.append(CaseDraws(id=str(n), draws=draws, once=int(dice.random() >= p), right=(0,)))
    mine = OpSheet(
        op="colour",
        digest=colour.digest.hex(),
        temperature=0.7,
        cases=tuple(rows),
        latency_s=(1, 1),
    )
    path.write_text(Datasheet(model=model, ops={"colour": mine}).model_dump_json())
    return mine


@pytest.mark.slow
def test_what_is_promised_of_several_processors_holds(tmp_path: Path) -> None:
    """Each at a level of its own: at most seven of a hundred plannings promise too much."""
    fresh = population(tmp_path / "fresh.json", "fresh", 0, 10_000)
    (tmp_path / "fresh.json").unlink()
    worth = {
        k: fresh.trials([Ahead(k) if k else None])[0].share for k in (0, 2, 3, 4)
    }  # of both: they are of one population
    asked, made, broken = 0.93, 0, 0
    assert worth[0] < asked < worth[2]
    for seed in range(100):
        for model in ("small", "large"):
            population(tmp_path / f"{model}.json", model, seed)
        engines = {name: Scripted("red", model=name) for name in ("small", "large")}
        with computer(engines, sheets=tmp_path) as machine:
            run = finish(machine.start(lambda: colour("x", reliability=asked).value))
        if run.error is None:
            made += 1
            broken += worth[run.receipt.chosen[0].ahead] < asked
    assert made >= 50 and broken <= 7


# -- wrong inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [0, 1, 1.5, -0.1, "0.95", nan, inf, True, [0.9], 95])
def test_what_is_no_share_is_refused_where_it_is_given(odd: Any, sheet: Path) -> None:
    with pytest.raises(BadOp, match="reliability must be a share between 0 and 1"):
        colour.using(reliability=odd)
    with computer("red", sheets=sheet) as machine:
        called = finish(machine.start(lambda: colour("x", reliability=odd).value))
        assert isinstance(called.error, BadOp)
        with pytest.raises(Usage, match="reliability must be a share between 0 and 1"):
            machine.start(lambda: None, reliability=odd)


@pytest.mark.parametrize(
    "odd", [{"steps": 0}, {"steps": 1.0}, {"abstain": 1}, {"abstain": nan}, {"table": 1}]
)
def test_what_is_no_reliability_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(BadOperand):
        Reliability(0.95, **odd)


def test_without_a_datasheet_it_says_how_to_make_one(tmp_path: Path) -> None:
    def program() -> Any:
        return colour("x", reliability=0.95).value

    def error(**settings: Any) -> str:
        run = execute(program, engine="red", **settings)
        assert isinstance(run.error, NotMeasured) and run.receipt.calls == 0
        return str(run.error)

    assert "has no datasheet" in error() and "nlpu bench datasheet colour --output" in error()
    assert "no datasheet" in error(sheets=tmp_path)  # an empty folder
    other = measured(tmp_path / "sheet.json", model="another")
    assert "the model 'another', and 'scripted' is asked for" in error(sheets=other)
    measured(other, of=colour.using(system="Look twice."))
    assert "colour has other words or settings" in error(sheets=[other])
    measured(other, of=colour.using(name="tint"))
    assert "none of 1 datasheet tells of that: that of scripted has tint" in error(sheets=[other])
    lost = execute(program, engine="red", sheets=tmp_path / "none.json")
    assert isinstance(lost.error, Usage) and "cannot be read" in str(lost.error)
    with pytest.raises(Usage, match="sheets are paths"):
        computer("red", sheets=[3])


def test_a_vote_of_what_is_planned_as_a_vote_is_refused() -> None:
    sure = colour.using(reliability=0.95)
    with pytest.raises(BadOp, match="colour has a reliability, which plans votes"):
        ahead_by(2)(sure)
    for checked in (sure, cascade(colour, sure)):
        with pytest.raises(BadOp, match="verified: colour has a reliability"):
            verified(bool)(checked)
    assert cascade(ahead_by(2, most=2)(colour), sure).op == colour.using(temperature=0.7)


def test_several_samples_of_one_answer_are_refused(sheet: Path) -> None:
    sure = colour.using(reliability=0.95, temperature=0.7)
    run = execute(lambda: sure("x", samples=3).value, engine="red", sheets=sheet)
    assert isinstance(run.error, BadOperand) and "gives one answer" in str(run.error)


def test_samples_are_draws_also_where_a_run_must_be_right(tmp_path: Path) -> None:
    warm = colour.using(temperature=0.7)
    sheet = measured(tmp_path / "sheet.json", of=warm)

    def program() -> Any:
        return warm("x", samples=5).value

    plain = execute(program, engine=right(0.5), sheets=sheet)
    with computer(right(0.5), sheets=sheet) as machine:
        run = finish(machine.start(program, reliability=0.95))
    assert run.result == plain.result and len({*run.result}) == 2
    assert run.receipt.calls == 5 and not run.receipt.chosen


def test_free_text_that_never_agrees_is_out_of_reach(tmp_path: Path) -> None:
    tell = op("Tell a story", name="tell")
    table = tuple(
        CaseDraws(
            id=str(n), draws=tuple(range(10)), right=(0,), once=0, answers=tuple("abcdefghij")
        )
        for n in range(120)
    )
    mine = OpSheet(op="tell", digest=tell.digest.hex(), temperature=0.7, cases=table)
    path = tmp_path / "tell.json"
    path.write_text(Datasheet(model="scripted", ops={"tell": mine}).model_dump_json())
    run = execute(lambda: tell("x", reliability=0.95).value, engine="red", sheets=path)
    assert isinstance(run.error, OutOfReach) and "give it as the only recipe" in str(run.error)


def test_lists_are_operands_like_any(tmp_path: Path) -> None:
    @nlop
    def most(texts: list[str]) -> Literal["red", "green"]:
        """Which colour do most have?"""

    sheet = measured(tmp_path / "sheet.json", of=most)

    def program() -> Any:
        texts = ["a", "b"]
        found = most(texts, reliability=0.95)
        texts.append("c")  # of no account: it was given as it was
        return found.value, most(colour.map(["x"]), reliability=0.95).value

    engine = Scripted("red")
    run = execute(program, engine=engine, sheets=sheet)
    assert run.result == ("red", "red")
    read = {seen.operands["texts"] for seen in engine.seen if "texts" in seen.operands}
    assert read == {'["a","b"]', '["red"]'}
