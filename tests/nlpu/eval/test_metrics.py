"""Metrics and intervals: laws, the spec's examples, and published figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from nlpu.errors import BadOperand, ProgramError
from nlpu.eval.intervals import bootstrap, newcombe, wilson
from nlpu.eval.matching import bare, found_at, in_order, sentences, text_of
from nlpu.eval.metrics import METRICS, metric_of
from nlpu.eval.numerals import number_in, number_of, same_number
from nlpu.judgement import Judgement
from nlpu.types.result import result_type

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


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("There are 12 cats and 3 dogs.", 12),
        ("-4 degrees", -4),
        ("1,200 euros", 1200),
        ("about 3.5 km", 3.5),
        ("3,5 km", 3.5),
        ("three cats", 3),
        ("B2 has none", None),
        ("", None),
        ("9" * 9000, None),
        ("Three or 4", 4),
        ("no number", None),
        ("1,234,567.8", 1234567.8),
        ("−5", -5),
        ("7.", 7),
        ("12, 13", 12),
        ("from 2-9", 2),
        ("one of the 4 doors", 4),
    ],
)
def test_the_first_number(text: str, number: float | None) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("twenty-one", 21),
        ("one hundred", 100),
        ("1e6", 1_000_000),
        ("3/4", 0.75),
        ("minus five", -5),
        ("Minus 5", -5),
        ("one hundred and five", 105),
        ("a dozen", 12),
        ("two thousand three hundred and forty-five", 2345),
        ("twelve hundred", 1200),
        ("three million two", 3_000_002),
        ("1.5e-3", 0.0015),
        ("2 \u00d7 10^3", 2000),
        ("50%", 0.5),
        ("fifty per cent", 0.5),
        ("1 200 euros", 1200),
        ("5 million", 5_000_000),
        ("5k", 5000),
        ("5km", 5),
        ("-$5", -5),
        (".5", 0.5),
        ("\u22121,000", -1000),
        ("1\u00bd", 1.5),
        ("two and a half", 2.5),
        ("three quarters", 0.75),
        ("half", 0.5),
        ("three point one four", 3.14),
        ("\uff15", 5),
        ("zero", 0),
        ("nineteen eighty-four", None),
        ("one two three", None),
        ("twenty-first", None),
        ("3/4/2024", None),
        ("2024-05-04", None),
        ("04-05-2024", None),
        ("1.2.3", None),
        ("at 15:40", None),
        ("10\u00b2", None),
        ("10^6", None),
        ("1,2,3", None),
        ("1e99999", None),
        ("1/0", None),
    ],
)
def test_numbers_are_read_whole_or_not_at_all(text: str, number: float | None) -> None:
    assert number_in(text) == number


TEENS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
UNITS = TEENS.split(" ")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SIZES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def in_words(number: int) -> str:
    for size, name in (
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
        (100, "hundred"),
    ):
        if number >= size:
            rest = f" {in_words(number % size)}" if number % size else ""
            return f"{in_words(number // size)} {name}{rest}"
    if number < 20:
        return UNITS[number]
    return TENS[number // 10 - 2] + (f"-{UNITS[number % 10]}" if number % 10 else "")


@given(st.integers(-(10**12) + 1, 10**12 - 1))
def test_number_words_are_their_number(number: int) -> None:
    words = ("minus " if number < 0 else "") + in_words(abs(number))
    assert number_in(f"It is {words}.") == number == number_of(words)
    assert score("number", words, number) == score("number", f"{number:,}", words) == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_float_is_that_float(number: float) -> None:
    found = number_in(repr(number))
    assert found is not None and same_number(found, number)
    assert number_of(f" {number!r} ") == found and score("number", number, repr(number)) == 1


@given(st.text())
def test_reading_a_number_never_raises(text: str) -> None:
    number_in(text), number_of(text)


@given(st.integers(), WORD, WORD)
def test_a_number_is_found_in_a_sentence(number: int, before: str, behind: str) -> None:
    assume(number_in(before) is None and number_in(f"1 {behind}") == 1)  # no "1 dozen"
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
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
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
