"""Calibrations: fitted to cases with known answers, measured, used by ops, said to be useless."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import exp, inf, nan, sqrt
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kit import Doomed, execute, resumed
from pydantic_core import to_json

from nlpu import Judgement, nlop, op
from nlpu.calibration import Calibration, logit, sigmoid
from nlpu.errors import BadOp, BadOperand, ProgramError
from nlpu.eval.calibrate import Fit, area_under_curve, calibrate
from nlpu.eval.intervals import wilson
from nlpu.isa import judge
from nlpu.judgement import LITTLE_MASS, PoorJudge
from nlpu.runtime.computer import Computer
from nlpu.testing.scripted import Say, Scripted

SHY = Calibration(slope=2.0, intercept=3.0)  # of a model that says yes too seldom


def drawn(seed: int, slope: float, intercept: float, count: int = 400) -> Any:
    """Judgements of a model that is as sure as it should be under these two numbers."""
    chance = Random(seed)
    judgements, truths = [], []
    for _ in range(count):
        odds = chance.gauss(-1.0, 1.5)
        probability = round(1 / (1 + exp(-odds)), 4)
        judgements.append(Judgement(answer=probability > 0.5, probability=probability))
        truths.append(chance.random() < 1 / (1 + exp(-slope * odds - intercept)))
    return judgements, truths


def fit(judgements: Any, truths: Any) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorJudge)
        return calibrate(judgements, truths)


# -- fitting --------------------------------------------------------------------------------------


def errors_of(judgements: list[Judgement], slope: float, intercept: float) -> tuple[float, float]:
    """The standard errors with which such cases tell the two numbers (Fisher's information)."""
    none, one, two = 0.0, 0.0, 0.0
    for each in judgements:
        odds = logit(each.probability)
        chance = sigmoid(slope * odds + intercept)
        weight = chance * (1 - chance)
        none, one, two = none + weight, one + weight * odds, two + weight * odds * odds
    scale = none * two - one * one
    return sqrt(none / scale), sqrt(two / scale)


@settings(max_examples=20)
@example(seed=95, slope=2.5, intercept=-1.2)  # 0.49 off in slope: three standard errors
@given(seed=st.integers(0, 99), slope=st.floats(0.7, 2.5), intercept=st.floats(-1.5, 2.5))
def test_a_known_logistic_is_found(seed: int, slope: float, intercept: float) -> None:
    """As well as cases of chance can tell it: a steep one, with few of one kind, less well."""
    judgements, truths = drawn(seed, slope, intercept, 1500)
    found = fit(judgements, truths).calibration
    of_slope, of_intercept = errors_of(judgements, slope, intercept)
    assert of_slope < 0.2 and of_intercept < 0.2
    assert found.slope == pytest.approx(slope, abs=5 * of_slope)
    assert found.intercept == pytest.approx(intercept, abs=5 * of_intercept)


@given(st.integers(0, 99), st.floats(-2, 2), st.floats(-1, 2))
def test_the_negated_twin_has_the_negated_calibration(
    seed: int, slope: float, intercept: float
) -> None:
    judgements, truths = drawn(seed, slope, intercept, 80)
    assume(4 < sum(truths) < 76)  # some of each kind
    one, twin = fit(judgements, truths), fit(judgements, [not each for each in truths])
    assert twin.calibration.slope == pytest.approx(-one.calibration.slope, abs=1e-4)
    assert twin.calibration.intercept == pytest.approx(-one.calibration.intercept, abs=1e-4)
    assert twin.area == pytest.approx(1 - one.area)
    assert twin.accuracy == pytest.approx(one.accuracy, abs=0.03)  # even odds are yes in both


@given(st.integers(0, 99), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_calibration_is_monotone(seed: int, probabilities: list[float]) -> None:
    """Up or down as its slope is, and what it gives is a judgement."""
    calibration = fit(*drawn(seed, Random(seed).uniform(-2, 2), 0.5, 60)).calibration
    ordered = sorted(probabilities, reverse=calibration.slope < 0)
    made = [calibration.of(Judgement(answer=True, probability=each)) for each in ordered]
    assert [each.probability for each in made] == sorted(each.probability for each in made)
    assert all(each.answer == (each.probability >= 0.5) for each in made)
    assert Judgement.model_validate_json(made[0].model_dump_json()) == made[0]


@given(st.permutations(range(30)))
def test_the_order_of_the_cases_fits_the_same(order: list[int]) -> None:
    judgements, truths = drawn(5, 1.0, 1.0, 30)
    moved = fit([judgements[at] for at in order], [truths[at] for at in order])
    whole = fit(judgements, truths)
    assert moved.calibration == pytest.approx(whole.calibration, abs=2e-6)
    assert moved.area_interval == whole.area_interval


def test_a_shy_model_is_right_more_often() -> None:
    found = fit(*drawn(1, 1.5, 2.0))
    low, high = found.accuracy_interval
    assert found.before < low < found.accuracy < high < 1
    assert found.area_interval[0] < found.area < found.area_interval[1]
    assert str(found).startswith("area under the curve 0.8") and "at chance" not in str(found)
    assert "of 400 cases not fitted to" in str(found)


def test_all_of_one_probability_and_all_apart_can_be_fitted() -> None:
    same = [Judgement(answer=False, probability=0.3)] * 20
    flat = fit(same, [True] * 10 + [False] * 10)
    assert flat.calibration.at_chance and flat.calibration.slope == pytest.approx(0)
    sure = [Judgement(answer=True, probability=1.0)] * 10
    sure += [Judgement(answer=False, probability=0.0)] * 10
    apart = fit(sure, [True] * 10 + [False] * 10)
    assert (apart.area, apart.accuracy) == (1.0, 1.0) and 0.5 < apart.area_interval[0] < 1
    assert apart.calibration.of(sure[0]).probability > 0.85  # no surer than ten cases make one


def test_areas_and_intervals_are_the_known_ones() -> None:
    pairs = [(0.1, False), (0.4, True), (0.4, False), (0.8, True)]
    assert area_under_curve(pairs) == pytest.approx(3.5 / 4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998


def test_too_few_cases_are_refused() -> None:
    judgements, _ = drawn(1, 1.0, 0.0, 20)
    with pytest.raises(BadOperand, match="at least 5 cases of yes and as many of no, there are 4"):
        calibrate(judgements, [True] * 4 + [False] * 16)
    with pytest.raises(BadOperand, match="20 judgements have 1 truths: give one for each"):
        calibrate(judgements, [True])
    for odd, truths in ((judgements, ["yes", "no"] * 10), ([0.9, 0.1] * 10, [True, False] * 10)):
        with pytest.raises(BadOperand, match="truths are True or False, not"):
            calibrate(odd, truths)  # type: ignore[arg-type]


def test_a_useless_fit_says_so() -> None:
    judgements, truths = drawn(3, 0.0, 0.0)
    with pytest.warns(PoorJudge, match="at chance: area under the curve 0"):
        found = calibrate(judgements, truths)
    assert found.calibration.at_chance and ", at chance;" in str(found)


# -- ops ------------------------------------------------------------------------------------------


def seldom(_: Any) -> Say:
    return Say("no", probabilities=(0.3, 0.7))


def test_an_op_reads_judgements_as_calibrated() -> None:
    calm = judge.using(calibration=SHY)
    run = execute(lambda: [judge("Is it?", "So."), calm("Is it?", "So.")], engine=seldom)
    assert run.result[0] == Judgement(answer=False, probability=0.3)
    assert run.result[1] == Judgement(answer=True, probability=0.7867)
    drawn_one = calm.using(temperature=1.0)
    assert execute(lambda: drawn_one("Is it?", "So."), engine=seldom).result.answer


def test_a_calibration_is_in_the_digest_if_there_is_one() -> None:
    one, other = judge.using(calibration=SHY), judge.using(calibration=SHY._replace(slope=2.1))
    assert len({judge.digest, one.digest, other.digest}) == 3
    assert one.using(calibration=None).digest == judge.digest and one != judge


@pytest.mark.parametrize("wrong", [(1.0, 2.0), Calibration(nan, 0.0), Calibration(1.0, inf), 3])
def test_what_is_no_calibration_is_refused(wrong: Any) -> None:
    with pytest.raises(BadOp, match="calibration must be a Calibration"):
        judge.using(calibration=wrong)
    with pytest.raises(BadOp, match="only ops that give a Judgement"):
        op("Is it?", bool, calibration=SHY)


def test_a_resumed_run_reads_the_same(tmp_path: Path) -> None:
    calm, here, grave = judge.using(calibration=SHY), tmp_path / "run", tmp_path / "grave"

    def program() -> Any:
        first = calm("Is it?", "So.")
        return [first, judge("Is it?", "Yes." if first else "No.")]

    run = execute(program, engine=Doomed(seldom, here, grave, at=2), run_dir=here)
    again = resumed(grave, run, program, engine=Scripted(seldom))
    assert to_json(again.result) == to_json(run.result)
    assert again.result[0] == Judgement(answer=True, probability=0.7867)


# -- poor judges ----------------------------------------------------------------------------------


@contextmanager
def told() -> Iterator[list[str]]:
    """What is said of poor judges."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(each.message) for each in caught if each.category is PoorJudge]


def two(asks: Any = judge) -> Any:
    return lambda: [asks("Is it?", "So."), asks("Is it?", "Hardly.")]


def test_a_model_off_its_choices_is_told_of_once_a_run(tmp_path: Path) -> None:
    off = Say("yes", probabilities=(0.9, 0.1), mass=LITTLE_MASS - 0.01)
    with told() as said:
        run = execute(two(), engine=off, run_dir=tmp_path)
    assert len(said) == 1 and "scripted is off its choices" in said[0]
    assert run.receipt.poor_judgements == 2 and run.result[0].off_choices
    assert "; 2 judgements at chance or off yes and no" in str(run.receipt)
    with told() as said:
        again = resumed(tmp_path, run, two(), engine=Scripted(off), replay=True)
    assert not said and again.receipt.poor_judgements == 2


def test_each_run_is_told_though_nobody_resets_what_warnings_remember() -> None:
    off = Say("yes", probabilities=(0.9, 0.1), mass=LITTLE_MASS - 0.01)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            execute(two(), engine=off)
    assert [each.category for each in caught] == [PoorJudge] * 3


@pytest.mark.parametrize("mass", [None, LITTLE_MASS, 1.0])
def test_others_are_not_told_of(mass: float | None) -> None:
    with told() as said:
        run = execute(two(), engine=Say("yes", probabilities=(0.9, 0.1), mass=mass))
    assert not said and run.receipt.poor_judgements == 0 and "judgement" not in str(run.receipt)


def test_a_model_that_is_known_to_judge_at_chance_is_told_of_unless_it_is_calibrated() -> None:
    default = Scripted(seldom, model="smollm2-135m-instruct")
    with told() as said:
        execute(two(), engine=default)
    assert len(said) == 1 and said[0].startswith("smollm2-135m-instruct judges at chance (")
    with told() as said:
        execute(two(judge.using(calibration=SHY)), engine=default)
    assert not said
    with told() as said:
        execute(two(judge.using(calibration=SHY._replace(at_chance=True))), engine=Scripted(seldom))
    assert len(said) == 1 and "on the cases it is calibrated with" in said[0]


@nlop
def holds(text: str) -> bool:
    """Is it so?"""


def test_a_bool_is_a_judgement_too_and_is_told_of_where_the_model_is_known() -> None:
    default = Scripted("yes", model="smollm2-135m-instruct")
    with told() as said:
        run = execute(lambda: [holds("So."), holds("Hardly.")], engine=default)
    assert len(said) == 1 and said[0].startswith("smollm2-135m-instruct judges at chance (")
    assert run.result == [True, True] and run.receipt.poor_judgements == 2
    with told() as said:
        run = execute(lambda: holds("So."), engine=Scripted("yes"))
    assert not said and run.receipt.poor_judgements == 0


@pytest.mark.local
def test_the_default_model_says_of_itself_that_it_judges_at_chance() -> None:
    with told() as said, Computer("local") as machine:
        run = machine.start(two(judge.using(name="at_chance"))).wait()
    assert said == [
        "smollm2-135m-instruct judges at chance (area under the curve 0.47, 0.40 to 0.53, on 300 "
        "cases): use another model"
    ]
    assert run.receipt.poor_judgements == 2
    assert all(each.off_choices for each in run.result)


def test_as_an_error_it_is_the_programs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorJudge)
        run = execute(two(), engine=Say("yes", probabilities=(0.9, 0.1), mass=0.1))
    cause = run.error.__cause__
    assert type(cause) is ProgramError and "off its choices" in str(cause)
