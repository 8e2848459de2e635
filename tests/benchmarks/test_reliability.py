"""Corrections tried on draws that are there: what is counted, and what is promised."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer

from benchmarks.reliability import Measured, Measuring, deliver, promises, ratio_of, verify
from benchmarks.reliability_families import OWN, Family, Worked, families, foreign
from benchmarks.reliability_figures import (
    Checked,
    Held,
    Item,
    cut,
    difference,
    frontier,
    methods,
    promised,
    stuck,
)
from nlpu import Case, Computer, Usage, nlop
from nlpu.errors import ConnectionLost
from nlpu.eval.datasheet import CaseDraws
from nlpu.runtime.eval.answers import make_answers
from nlpu.testing import Scripted
from nlpu.testing.scripted import Seen


def item(draws: str, once: str = "r", large: str = "r", checked: Checked | None = None) -> Item:
    """A case whose draws are right (r) or wrong in some way (any other letter)."""
    kinds = "r" + "".join(sorted(set(draws + once) - {"r"}))
    small = CaseDraws(
        id="1", draws=tuple(map(kinds.index, draws)), right=(0,), once=kinds.index(once)
    )
    return Item(
        "f", small, CaseDraws(id="1", draws=(0,), once=int(large != "r"), right=(0,)), checked
    )


def taken(method: str, *items: Item) -> list[tuple[bool | None, float, float]]:
    found = methods(items)
    return [tuple(found[method](each)) for each in items]  # type: ignore[misc]


def test_methods_take_the_draws_in_their_order() -> None:
    ten = item("rwrrrrrrrr", once="w", checked=Checked(None, 6))
    assert taken("as it is", ten) == [(False, 1, 0)]
    assert taken("one draw", ten) == [(True, 1, 0)]
    assert taken("majority of 3", ten) == [(True, 3, 0)]
    assert taken("majority of 5", item("rrrww")) == [(True, 3, 0)], "stopped early"
    assert taken("ahead by 2", ten) == [(True, 4, 0)]
    assert taken("verified", ten) == [(None, 6, 0)]
    assert taken("ahead by 3", item("rwrw")) == [(None, 4, 0)], "the draws end before the race"


@pytest.mark.parametrize(
    ("draws", "large", "took"),
    [
        ("rrww", "w", (True, 2, 0)),
        ("wwrr", "r", (False, 2, 0)),
        ("rwrr", "r", (True, 2, 1)),
        ("wrrr", "w", (False, 2, 1)),
    ],
)
def test_a_cascade_asks_the_larger_model_where_two_draws_differ(
    draws: str, large: str, took: Any
) -> None:
    assert taken("cascade", item(draws, large=large)) == [took]


def test_the_frontier_counts_what_each_model_was_asked() -> None:
    points = {each.name: each for each in frontier([item("rr"), item("rw"), item("wr")], 0.25)}
    cascade = points["cascade"]
    assert (cascade.small, cascade.large) == (2, pytest.approx(2 / 3))
    assert cascade.cost == pytest.approx(2 / 3 + 0.5) and cascade.right == 1
    assert points["the larger model"].cost == 1
    assert points["one draw"].right == pytest.approx(2 / 3)
    assert points["ahead by 2"].unsure == pytest.approx(2 / 3)
    assert "verified" not in points, "no item was checked"


def test_pairs_are_compared_item_by_item() -> None:
    items = [item("rwrrr"), item("wrwrw"), item("rrrrr")]
    gain, (low, high), calls = difference(items, "ahead by 2", "one draw")
    assert gain == 0 and low <= gain <= high
    assert calls == pytest.approx((4 + 5 + 2) / 3)
    gain, (low, high), calls = difference(items, "one draw", "one draw")
    assert (gain, calls) == (0, 1) and low == -high < -0.5  # three items show next to nothing


def test_what_is_promised_is_planned_on_other_cases() -> None:
    good, bad = [item("r" * 40)] * 60, [item("w" * 40, once="w")] * 60
    kept = promised(good, good, 0.95)
    assert kept.recipe == "as it is" and kept.is_kept(kept.checking)
    assert (kept.checking, kept.fresh) == (Held(60, 60, 60), Held())
    broken = promised(good, good, 0.95, fresh=bad)
    assert broken.recipe == "as it is" and broken.is_kept(broken.checking)
    assert not broken.is_kept(broken.fresh) and broken.fresh == Held(0, 60, 60)
    assert promised(bad, good, 0.95).why == "out of reach"
    assert promised(good[:20], good, 0.95).why == "too few cases"


def test_who_may_be_unsure_is_counted_by_what_it_answers() -> None:
    split = [item("rwrw" * 10, once="w")] * 12 + [item("r" * 40)] * 60
    found = promised(split, split, 0.9, abstain=0.3)
    assert found.recipe and found.checking == Held(60, 60, 72) and found.is_kept(found.checking)
    assert promised(split, split, 0.9).why, "without that it cannot be shown"
    told = promises(Measured(split, split, []))
    assert len(told) == 6 and {each.family for each in told} == {"f"}


@given(st.lists(st.text("rw", min_size=40, max_size=40), min_size=1, max_size=12))
def test_no_vote_mends_what_is_mostly_wrong(rows: list[str]) -> None:
    items = [item(row, once=row[0]) for row in rows]
    ((_, count, of),) = stuck(items)
    assert of == len(rows) and count == sum(row.count("r") <= 20 for row in rows)


def test_a_race_that_the_draws_do_not_end_is_told() -> None:
    assert cut([item("rwrw"), item("rrrr"), item("rwww"), item("rrwr")]) == {
        "majority of 5": 0.25,
        "ahead by 2": 0.25,
        "ahead by 3": 0.75,
    }


def test_families_from_elsewhere_have_the_type_of_their_answers() -> None:
    classes = foreign("a", [("Is it?", "yes"), ("Was it?", "no"), ("Will it?", "yes")], 1)
    assert get_args(classes.op.result.annotation) == ("no", "yes")
    assert [len(half) for half in (classes.planning, classes.checking)] == [1, 1]
    worked = foreign("b", [("1 + 1?", "2"), ("1 + 2?", "3")], 1)
    assert worked.op.result.annotation is Worked and worked.planning[0].expected == {"result": 2}
    one, other = (Worked(working=text, result=2) for text in ("One and one.", "1, 2."))
    assert one == other  # votes compare results
    thousands = foreign("d", [("1 + 1?", "2"), ("66 * 100?", "6,600"), ("0 - 1?", "-1")], 1, 9)
    parts = (*thousands.planning, *thousands.checking, *thousands.fresh)
    assert [each.expected["result"] for each in parts] == [2, 6600, -1]
    twice = foreign("e", [("Is it?", "yes"), ("Is it?", "no"), ("Was it?", "no")] * 2, 4)
    assert [each.operands["question"] for each in twice.planning] == ["Was it?"]
    assert not twice.checking
    words = [(f"Sort {n}.", f"word {n}") for n in range(20)]
    assert foreign("c", words, 1).op.result.annotation is str


@pytest.mark.parametrize(
    ("answers", "found", "calls"),
    [
        (["blue", "red"], True, 4),
        (["green"], False, 2),
        (["blue", "blue", "blue"], None, 4),  # equal answers have one check
    ],
)
def test_an_answer_that_its_check_refuses_is_asked_again(
    answers: list[str], found: bool | None, calls: int
) -> None:
    @nlop
    def colour(text: str) -> str:
        """What colour is it?"""

    left = iter(answers)

    def said(seen: Any) -> str:
        if "answer" in seen.operands:
            return "no" if seen.operands["answer"] == "blue" else "yes"
        return next(left)

    cases = (Case(operands={"text": "a rose"}, expected="red"),)
    with Computer(Scripted(said)) as computer:
        run = computer.run(verify, colour, cases)
    assert (run.result, run.receipt.calls) == ([found], calls)


# -- measuring -------------------------------------------------------------------------------------


def two_models(path: Path, script: Any) -> Computer:
    models = {name: Scripted(script, model=name) for name in ("small", "large")}
    return computer(models, run_dir=path / "runs")


def measured(path: Path, given: Any, script: Any, left_s: float = 600) -> Measured:
    with two_models(path, script) as machine:
        until = time.monotonic() + left_s
        return Measuring(machine, make_answers(path / "cache"), 6, until).whole(iter(given))


def test_the_projects_own_families_can_be_measured(tmp_path: Path) -> None:
    """Those whose cases have choices of their own, too; no question is in two parts of one."""
    given = list(families(OWN, 3, 2))
    assert len(given) == 8
    for family in given:
        parts = (family.planning, family.checking, family.fresh)
        asked = [str(case.operands) for part in parts for case in part]
        assert [len(part) for part in parts] == [3, 3, 2] and len(set(asked)) == 8
    found = measured(tmp_path, given, None)
    assert [len(part) for part in found] == [24, 24, 0], "nothing is promised from three cases"
    assert {each.family for each in found.checking} == set(OWN.split(","))
    assert all(each.large and each.checked for each in found.checking)


@nlop
def colour(text: str) -> Literal["red", "blue"]:
    """What colour is it?"""


def red(first: int, count: int) -> tuple[Case, ...]:
    numbers = range(first, first + count)
    return tuple(Case(id=f"{n}", operands={"text": f"rose {n}"}, expected="red") for n in numbers)


ROSES = Family("roses", colour, red(0, 60), red(60, 20), red(80, 10))


def rosy(seen: Seen) -> str:
    return "yes" if "answer" in seen.operands else "red"


def test_what_was_promised_is_held_against_fresh_cases(tmp_path: Path) -> None:
    found = measured(tmp_path, [ROSES], rosy)
    assert [len(part) for part in found] == [60, 20, 10]
    told = {(each.reliability, each.abstain): each for each in promises(found)}
    assert told[0.95, 0.0].fresh == Held(10, 10, 10)
    (tmp_path / "other").mkdir()
    hopeless = measured(
        tmp_path / "other", [ROSES], lambda seen: "yes" if "answer" in seen.operands else "blue"
    )
    assert not hopeless.fresh, "nothing was promised: nobody is asked"


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """A host fails after so many answers; the same command goes on from the last few cases."""
    asked = Counter[str]()

    def failing(seen: Seen) -> Any:
        asked["calls"] += 1
        return ConnectionLost("gone") if asked["calls"] > 500 else rosy(seen)

    with pytest.raises(ConnectionLost):
        measured(tmp_path, [ROSES], failing)
    again = Counter[str]()

    def counting(seen: Seen) -> str:
        again["calls"] += 1
        return rosy(seen)

    found = measured(tmp_path, [ROSES], counting)
    assert [len(part) for part in found] == [60, 20, 10]
    calls = 60 * 7 + 20 * (7 + 2 + 1) + 10 * 7
    assert again["calls"] == calls - 500


def test_time_that_is_up_ends_within_a_family(tmp_path: Path, capsys: Any) -> None:
    assert measured(tmp_path, [ROSES], rosy, 0) == Measured([], [], [])
    assert "time is up within roses" in capsys.readouterr().err
    options = Namespace(minutes=0.0)
    with pytest.raises(Usage, match="no family was whole in 0 minutes"):
        deliver(options, Measured([], [], []), 1.0)


def test_a_call_costs_what_the_parameters_do() -> None:
    assert ratio_of("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b") == pytest.approx(0.494 / 1.544)
    assert ratio_of("smollm2-135m", "qwen2.5-coder-0.5b") == pytest.approx(0.135 / 0.494)
    with pytest.raises(Usage, match="say --ratio"):
        ratio_of("smollm2-135m", "mine.gguf")


def test_the_tables_have_what_was_kept(tmp_path: Path, capsys: Any) -> None:
    found = measured(tmp_path, [ROSES], rosy)
    options = Namespace(small="s", large="l", draws=6, minutes=1, json=False)
    deliver(options, found, 0.5)
    told = capsys.readouterr().out
    assert "kept on checking cases" in told and "kept on fresh cases" in told
    assert "100.0 (83.9 - 100.0)" in told and "did not end the race: none" in told
