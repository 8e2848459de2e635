"""Predicates as metrics: what they ask, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_kit import JSON, WORD, score

from nlpu.errors import BadOperand
from nlpu.eval.matching import found_at, in_order, sentences
from nlpu.eval.metrics import METRICS


@pytest.mark.parametrize(
    ("expected", "content", "holds"),
    [
        ({"all": ["lisbon"], "none": ["porto"]}, "It is in LISBON.", True),
        ({"all": ["lisbon"], "none": ["porto"]}, "Lisbon or Porto", False),
        ({"all": ["lamp"]}, "the lamps", False),
        ({"all": [["lamp", "lamps"], "new"]}, "New lamps", True),
        ({"any": ["red", "dark blue"]}, "a dark\nblue hat", True),
        ({"any": ["red", "dark blue"]}, "a blue hat", False),
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
        ({"all": ["5"]}, "1.5", False),
        ({"all": ["5"]}, "-5", False),
        ({"all": ["5"]}, "\u22125", False),
        ({"all": ["5"]}, "\u20115", False),
        ({"all": ["234"]}, "1'234", False),
        ({"all": ["5"]}, "15", False),
        ({"all": ["5"]}, "5.5", False),
        ({"all": ["5"]}, ".5", False),
        ({"all": ["5"]}, "5,000", False),
        ({"all": ["5"]}, "-$5", False),
        ({"all": ["15"]}, "at 15:40", False),
        ({"all": ["5"]}, "There are 5.", True),
        ({"all": ["5"]}, "5, 6 or 7", True),
        ({"all": ["-5"]}, "It is -5 here.", True),
        ({"all": ["5"]}, "COVID-5", True),
        ({"none": ["5"]}, "15 of 1.5", True),
        ({"order": ["1", "5"]}, "1.5 and 5", False),
        ({"all": ["C"]}, "C++ and C#", False),
        ({"all": ["c++"]}, "in C++.", True),
    ],
)
def test_predicates(expected: dict[str, Any], content: Any, holds: bool) -> None:
    assert score("predicate", expected, content) == holds


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        ({"all": ["Red"], "none": ["red"]}, "'Red' of 'all' and 'red' of 'none' exclude it"),
        ({"order": ["a", "dark red"], "none": ["red"]}, "'dark red' of 'order'"),
        ({"all": [["red", "dark red"]], "none": ["red"]}, "'red' of 'none' exclude it"),
        ({"any": ["red", "blue"], "none": ["red", "blue"]}, "of 'any' and 'red' of 'none'"),
        ({"all": ["one two three"], "max_words": 2}, "has 3 words and max_words is less"),
        ({"any": ["a b", "c d"], "max_words": 1}, "has 2 words and max_words is less"),
        ({"min_words": 4, "max_words": 3}, "min_words is 4 and max_words is 3"),
        ({"min_items": 2, "max_items": 1}, "min_items is 2 and max_items is 1"),
        ({"all": ["a"], "max_sentences": 0}, "must be there and max_sentences is 0"),
        ({"any": []}, "'any' has nothing that could be there"),
    ],
)
def test_a_predicate_that_can_never_hold_is_refused(expected: dict[str, Any], why: str) -> None:
    with pytest.raises(BadOperand, match=f"can never hold: .*{why}"):
        METRICS["predicate"].fit(expected, None)


@pytest.mark.parametrize("expected", [{"all": []}, {"none": [], "min_words": 0}])
def test_a_predicate_that_asks_nothing_is_refused(expected: dict[str, Any]) -> None:
    with pytest.raises(BadOperand, match="this predicate always holds"):
        METRICS["predicate"].fit(expected, None)


def test_a_predicate_that_can_hold_is_not_refused() -> None:
    for expected, content in (
        ({"all": ["red", "blue"], "max_words": 1}, "red/blue"),
        ({"all": [["red", "green"]], "none": ["red"]}, "green"),
        ({"any": ["red", "blue"], "none": ["red"]}, "blue"),
        ({"all": ["15"], "none": ["5"]}, "15"),
    ):
        assert score("predicate", expected, content) == 1


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
