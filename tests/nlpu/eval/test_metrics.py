"""Metrics of texts, sets and values: laws, and the spec's examples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from metrics_kit import JSON, score
from pydantic import BaseModel

from nlpu.errors import ProgramError
from nlpu.eval.matching import bare, text_of
from nlpu.eval.metrics import metric_of
from nlpu.judgement import Judgement
from nlpu.types.result import result_type


class Bill(BaseModel):
    who: str
    euros: int


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Lisbon",
        " lisbon.",
        '"LISBON"',
        "\u00bbLisbon\u00ab",
        "\u201cLisbon.\u201d",
        "'lisbon'.",
        "\uff2c\uff49\uff53\uff42\uff4f\uff4e",
        "`lisbon`",
    ],
)
def test_exact_forgives_what_does_not_matter(said: str) -> None:
    assert score("exact", "Lisbon", said) == 1


@pytest.mark.parametrize(
    "said",
    [
        "Porto",
        "Lisbon, Porto",
        "",
        "in Lisbon",
        "Lis bon",
        "Lisbona",
        "the Lisbon",
        "(Lisbon)",
        "Lisbon?",
        "Lisbon..",
        "-Lisbon",
    ],
)
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


@pytest.mark.parametrize(
    ("one", "other"),
    [("don't", "Don\u2019t"), ("twenty-one", "twenty\u2011one"), ("-5", "\u20105")],
)
def test_how_hyphens_and_apostrophes_are_drawn_says_nothing(one: str, other: str) -> None:
    assert score("exact", one, other) == score("exact", other, one) == 1
    assert score("predicate", {"all": [one]}, f"It is {other}.") == 1
    assert score("predicate", {"all": [other]}, f"It is {one}.") == 1


def test_exact_knows_types_apart() -> None:
    assert score("exact", True, Judgement(answer=True, probability=0.6)) == 1
    assert score("exact", True, Judgement(answer=False, probability=0.4)) == 0
    assert score("exact", True, 1) == score("exact", 1, True) == score("exact", "1", 1) == 0
    assert score("exact", [2, 1], [1, 2]) == 0 and score("exact", (2, 1), [2, 1]) == 1
    assert score("exact", {"who": "Ann"}, Bill(who="ann.", euros=3)) == 1
    assert score("exact", {"who": "Ann", "euros": 4}, Bill(who="Ann", euros=3)) == 0
    assert score("exact", ["A"], "A") == 0


class Tone(Enum):
    UP = "C#"
    FLAT = "C"


@dataclass
class Leg:
    mode: Literal["A", "a"]
    start: datetime


class Refund(BaseModel):
    order: int


class Replace(BaseModel):
    order: int
    item: str


NOON = datetime(2024, 5, 4, 12, tzinfo=UTC)
THERE = NOON.astimezone(timezone(timedelta(hours=5)))


def typed(annotation: Any, expected: Any, content: Any, metric: str = "") -> float:
    """The score of an op's result, its expectation as a file has it."""
    kind = result_type(annotation)
    chosen = metric_of(metric or None, kind)
    return chosen.score(chosen.fit(expected, kind), content)


@pytest.mark.parametrize(
    ("annotation", "expected", "content", "other"),
    [
        (Decimal, "-5", Decimal("-5.0"), Decimal(5)),
        (Decimal, 1.5, Decimal("1.50"), Decimal("1.51")),
        (float, 5, 5.0, -5.0),
        (int, "5", 5, -5),
        (Literal["C", "C#", "C++"], "C", "C", "C++"),
        (Literal["a", "A"], "A", "A", "a"),
        (Tone, "C#", Tone.UP, Tone.FLAT),
        (datetime, NOON.isoformat(), THERE, THERE + timedelta(seconds=1)),
        (date, "2024-05-04", date(2024, 5, 4), date(2024, 5, 5)),
        (bool, "yes", True, False),
        (
            list[Decimal],
            ["1.5", "-2"],
            [Decimal("1.50"), Decimal(-2)],
            [Decimal("1.5"), Decimal(2)],
        ),
        (list[Literal["C", "C#"]], ["C"], ["C"], ["C#"]),
        (set[int], [1, 2], {2, 1}, {1, 2, 3}),
        (dict[str, Decimal], {"a": 1}, {"a": Decimal("1.0")}, {"a": Decimal(-1)}),
        (Leg, {"mode": "a", "start": NOON}, Leg("a", THERE), Leg("A", THERE)),
        (Refund | Replace, {"order": 1}, Refund(order=1), Replace(order=1, item="lamp")),
        (dict[str, int], {}, {}, {"a": 1}),
        (dict[str, int] | None, {"a": 1}, {"a": 1}, {"a": 1, "b": 2}),
        (dict[str, Literal["a", "A"]], {"x": "a"}, {"x": "a"}, {"x": "A"}),
        (tuple[str, Literal["a", "A"]], ["x", "a"], ("X", "a"), ("x", "A")),
        (Literal["a", "A"] | int, "a", "a", "A"),
        (int | None, None, None, 0),
    ],
)
def test_what_has_a_type_is_compared_as_a_value(
    annotation: Any, expected: Any, content: Any, other: Any
) -> None:
    assert typed(annotation, expected, content) == 1
    assert typed(annotation, expected, other) == 0
    assert typed(annotation, [expected, expected], content, "one_of") == 1
    assert typed(annotation, [expected, expected], other, "one_of") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-5", "5"),
        ("C", "C#"),
        ("C", "C++"),
        ("100%", "100"),
        (".5", "5"),
        ("10\u00b2", "102"),
        ("$5", "5"),
        ("5!", "5"),
        ("(5)", "5"),
        ("a", "the a"),
        ("3/4", "34"),
        ("~x", "x"),
        ("...", "."),
        ('"a" or "b"', 'a" or "b'),
    ],
)
def test_signs_change_the_meaning_of_a_text(one: str, other: str) -> None:
    for metric, wrap in (("exact", lambda text: text), ("one_of", lambda text: [text])):
        assert score(metric, wrap(one), other) == score(metric, wrap(other), one) == 0
    assert score("set", [one], [other]) == 0


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_a_decimal_is_the_same_however_many_zeros_it_ends_with(number: Decimal, more: int) -> None:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    again = Decimal((sign, digits + (0,) * more, exponent - more))
    assert score("exact", number, again) == score("set", [number], [again]) == 1
    assert score("exact", number, again.copy_negate()) == (number == 0)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-12, 12))
def test_equal_instants_are_equal(at: datetime, hours: int) -> None:
    assume(timedelta(1) < at.replace(tzinfo=None) - datetime.min < timedelta(3_000_000))
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert typed(datetime, at.isoformat(), elsewhere) == 1


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
