"""Metrics and intervals: laws, the spec's examples, and published figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from nlpu.errors import ProgramError
from nlpu.intervals import bootstrap, newcombe, wilson
from nlpu.judgement import Judgement
from nlpu.matching import bare, found_at, in_order, number_in, sentences, text_of
from nlpu.metrics import METRICS, metric_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WORD = st.text("abcdefghijklmnopqrstuvwxyzäßéI", min_size=1, max_size=8)


class Bill(BaseModel):
    who: str
    euros: int


def score(metric: str, expected: Any, content: Any) -> float:
    return METRICS[metric].score(METRICS[metric].fit(expected, None), content)


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["Lisbon", " lisbon.", '"LISBON"', "the Lisbon", "The  »Lisbon«!", "a lisbon", "(Lisbon)",
     "Ｌｉｓｂｏｎ", "`lisbon`", "«the lisbon»"],
)  # fmt: skip
def test_exact_forgives_what_does_not_matter(said: str) -> None:
    assert score("exact", "Lisbon", said) == 1


@pytest.mark.parametrize("said", ["Porto", "Lisbon, Porto", "", "in Lisbon", "Lis bon", "Lisbona"])
def test_exact_forgives_nothing_else(said: str) -> None:
    assert score("exact", "Lisbon", said) == 0


@given(st.text())
def test_a_text_is_itself_in_any_dress(text: str) -> None:
    assert score("exact", text, text) == 1
    assert bare(text) == bare(f"  {text}\n ")


@given(st.text(), st.text())
def test_exact_is_symmetric(one: str, other: str) -> None:
    assert score("exact", one, other) == score("exact", other, one)


@given(JSON)
def test_any_content_is_itself(content: Any) -> None:
    assert score("exact", content, content) == 1
    assert score("one_of", [0.5, content], content) == 1
    assert isinstance(text_of(content), str)


def test_exact_knows_types_apart() -> None:
    assert score("exact", True, Judgement(answer=True, probability=0.6)) == 1
    assert score("exact", True, Judgement(answer=False, probability=0.4)) == 0
    assert score("exact", True, 1) == score("exact", 1, True) == score("exact", "1", 1) == 0
    assert score("exact", [2, 1], [1, 2]) == 0 and score("exact", (2, 1), [2, 1]) == 1
    assert score("exact", {"who": "the Ann"}, Bill(who="ann.", euros=3)) == 1
    assert score("exact", {"who": "Ann", "euros": 4}, Bill(who="Ann", euros=3)) == 0
    assert score("exact", ["A"], "A") == 0


# -- sets ------------------------------------------------------------------------------------------


@given(st.lists(JSON, min_size=1, max_size=5), st.randoms())
def test_a_set_is_in_any_order_each_once(items: list[Any], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    assert score("set", items, shuffled) == 1
    assert score("set", items, [*shuffled, items[0]]) == 0
    assert score("set", items, shuffled[1:]) == 0
    assert score("set", items, [object(), *shuffled[1:]]) == 0


def test_a_set_is_a_list() -> None:
    assert score("set", ["a", "b"], {"b", "a"}) == 1
    assert score("set", ["a"], "a") == 0
    assert score("set", [], []) == 1 and score("set", [], [1]) == 0


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7), ("There are 12 cats and 3 dogs.", 12), ("-4 degrees", -4), ("1,200 euros", 1200),
        ("about 3.5 km", 3.5), ("3,5 km", 3.5), ("three cats", 3), ("B2 has none", None),
        ("", None), ("9" * 9000, int("9" * 4000)),
        ("Three or 4", 4), ("no number", None), ("1,234,567.8", 1234567.8), ("−5", -5), ("7.", 7),
        ("12, 13", 12), ("from 2-9", 2), ("one of the 4 doors", 4),
    ],
)  # fmt: skip
def test_the_first_number(text: str, number: float | None) -> None:
    assert number_in(text) == number


@given(st.integers(), WORD, WORD)
def test_a_number_is_found_in_a_sentence(number: int, before: str, behind: str) -> None:
    assert score("number", number, f"{before} {number} {behind}") == 1
    assert score("number", number, number) == score("number", str(number), number) == 1
    assert score("number", number, f"{before} {number + 1} {behind}") == 0


def test_a_yes_is_no_number() -> None:
    assert score("number", 1, True) == 0
    assert score("number", 0, Judgement(answer=False, probability=0.0)) == 0


# -- predicates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "content", "holds"),
    [
        ({"all": ["lisbon"], "none": ["porto"]}, "It is in LISBON.", True),
        ({"all": ["lisbon"], "none": ["porto"]}, "Lisbon or Porto", False),
        ({"all": ["lamp"]}, "the lamps", False),
        ({"all": [["lamp", "lamps"], "new"]}, "New lamps", True),
        ({"any": ["red", "dark blue"]}, "a dark\nblue hat", True),
        ({"any": ["red", "dark blue"]}, "a blue hat", False),
        ({"any": []}, "anything", False),
        ({"order": ["one", ["two", "zwei"], "three"]}, "one, zwei and three", True),
        ({"order": ["one", "two"]}, "two, one", False),
        ({"order": ["a", "a"]}, "a b", False),
        ({"max_words": 3}, "one two three", True),
        ({"max_words": 2}, "one two three", False),
        ({"min_words": 4}, "one two three", False),
        ({"max_sentences": 1}, "It costs 3.50 euros.", True),
        ({"max_sentences": 1}, "It rains. Stay in", False),
        ({"min_items": 2, "max_items": 2, "all": ["b c"]}, ["a", "B c"], True),
        ({"min_items": 3}, ["a", "b"], False),
        ({"max_items": 1}, "- a\n\n- b", False),
        ({"all": ["12%"]}, "a rise of 12%.", True),
        ({"all": ["straße"]}, "in der STRASSE", True),
        ({"none": ["x"]}, "", True),
    ],
)
def test_predicates(expected: dict[str, Any], content: Any, holds: bool) -> None:
    assert score("predicate", expected, content) == holds


@given(st.lists(WORD, min_size=1, max_size=6))
def test_predicate_laws(words: list[str]) -> None:
    text = " ".join(words)
    held = {"all": words, "any": words[:1], "order": words, "max_words": len(words)}
    assert score("predicate", held, text) == score("predicate", held, words) == 1
    assert score("predicate", {"none": words[-1:]}, text) == 0
    assert score("predicate", {"min_words": len(words) + 1}, text) == 0
    assert in_order(words, text.casefold()) and found_at("", "") == 0
    assert sentences(text) == 1


@given(JSON, st.sampled_from(["exact", "one_of", "set", "number", "predicate", "judge"]))
def test_no_metric_raises_for_what_was_said(said: Any, metric: str) -> None:
    expected: Any = {"one_of": ["a"], "set": ["a"], "number": 3, "predicate": {"all": ["a"]}}
    assert score(metric, expected.get(metric, "a"), said) in (0, 1)


# -- functions of one's own ------------------------------------------------------------------------


def test_a_function_is_a_metric() -> None:
    half = metric_of(lambda expected, content: len(content) / 10, None)
    assert half.score("x", "abcde") == 0.5
    assert metric_of(lambda expected, content: content == expected, None).score(1, 1) == 1.0
    for odd in (lambda e, c: 2, lambda e, c: "x", lambda e, c: None, lambda e, c: float("nan")):
        with pytest.raises(ProgramError, match="a score is True, False, or from 0 to 1"):
            metric_of(odd, None).score("x", "y")
    with pytest.raises(
        ProgramError, match=r"the metric <lambda> raised ZeroDivisionError.*expected"
    ):
        metric_of(lambda e, c: 1 / 0, None).score("x", "y")


# -- intervals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_as_published(right: int, count: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)


def test_newcombe_as_published() -> None:
    """The 1998 paper's first contrived table: 36, 12, 2, 0."""
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


COUNT = st.integers(0, 60)


@given(COUNT, COUNT, COUNT, COUNT)
def test_newcombe_laws(both: int, first: int, second: int, neither: int) -> None:
    low, high = newcombe(both, first, second, neither)
    count = both + first + second + neither
    assert -1 <= low <= ((first - second) / count if count else 0) + 1e-12
    assert ((first - second) / count if count else 0) - 1e-12 <= high <= 1
    turned = newcombe(both, second, first, neither)
    assert turned == pytest.approx((-high, -low), abs=1e-9)
    if first == second:
        assert low == pytest.approx(-high)


@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_laws(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    share = right / (right + wrong) if right + wrong else 0.5
    assert 0 <= low <= share <= high <= 1
    assert wilson(wrong, right + wrong) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_the_bootstrap_is_the_same_each_time_and_holds_the_mean() -> None:
    scores = [0.1, 0.5, 0.5, 0.9, 1.0, 0.0]
    low, high = bootstrap(scores, 0, 1)
    assert (low, high) == bootstrap(scores, 0, 1)
    assert 0 <= low < 0.5 < high <= 1
    assert bootstrap([], 0, 1) == (0, 1) and bootstrap([0.5, 0.5], 0, 1) == (0.5, 0.5)
    many = bootstrap([0.0, 1.0] * 200, 0, 1)
    assert many == pytest.approx(wilson(200, 400), abs=0.01)
