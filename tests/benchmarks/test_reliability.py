"""Corrections tried on draws that are there: what is counted, and what is promised."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reliability import Worked, foreign, promises, verify
from benchmarks.reliability_figures import (
    Checked,
    Item,
    difference,
    frontier,
    methods,
    promised,
    stuck,
)
from nlpu import Case, Computer, nlop
from nlpu.eval.datasheet import CaseDraws
from nlpu.testing import Scripted


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
    assert kept.recipe == "as it is" and kept.is_kept and kept.answered == 60
    broken = promised(good, bad, 0.95)
    assert broken.recipe == "as it is" and not broken.is_kept and broken.right == 0
    assert promised(bad, good, 0.95).why == "out of reach"
    assert promised(good[:20], good, 0.95).why == "too few cases"


def test_who_may_be_unsure_is_counted_by_what_it_answers() -> None:
    split = [item("rwrw" * 10, once="w")] * 12 + [item("r" * 40)] * 60
    found = promised(split, split, 0.9, abstain=0.3)
    assert found.recipe and found.answered == 60 and found.cases == 72 and found.is_kept
    assert promised(split, split, 0.9).why, "without that it cannot be shown"
    told = promises(split, split)
    assert len(told) == 6 and {each.family for each in told} == {"f"}


@given(st.lists(st.text("rw", min_size=40, max_size=40), min_size=1, max_size=12))
def test_no_vote_mends_what_is_mostly_wrong(rows: list[str]) -> None:
    items = [item(row, once=row[0]) for row in rows]
    ((_, count, of),) = stuck(items)
    assert of == len(rows) and count == sum(row.count("r") <= 20 for row in rows)


def test_families_from_elsewhere_have_the_type_of_their_answers() -> None:
    classes = foreign("a", [("Is it?", "yes"), ("Was it?", "no"), ("Will it?", "yes")], 1)
    assert get_args(classes.op.result.annotation) == ("no", "yes")
    assert [len(half) for half in (classes.planning, classes.checking)] == [1, 1]
    worked = foreign("b", [("1 + 1?", "2"), ("1 + 2?", "3")], 1)
    assert worked.op.result.annotation is Worked and worked.planning[0].expected == {"result": 2}
    one, other = (Worked(working=text, result=2) for text in ("One and one.", "1, 2."))
    assert one == other  # votes compare results
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
