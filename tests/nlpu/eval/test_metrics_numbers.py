"""Metrics of numbers: which is read in a text, and which is the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from metrics_kit import WORD, score

from nlpu.errors import BadOperand
from nlpu.eval.numerals import number_in, number_of, same_number
from nlpu.judgement import Judgement


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("There are 12 cats and 3 dogs.", 12),
        ("-4 degrees", -4),
        ("1,200 euros", 1200),
        ("٣٫٥ كيلو", 3.5),
        ("١٬٢٣٤ كتابا", 1234),
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
        ("1'234'567", 1_234_567),
        ("1\u2019234.50", 1234.5),
        ("1_000_000", 1_000_000),
        ("5'3\"", None),
        ("\u20115", -5),
        ("\ufe635", -5),
        ("twenty\u2011one", 21),
        ("2024\u201105\u201104", None),
        ("5*3 = 15", 15),
        ("5 \u00d7 3", None),
        ("10**6", None),
        ("**10**", 10),
        ("0x1F", None),
        ("$1.5bn", 1_500_000_000),
        ("2 mn", 2_000_000),
        ("-\u20ac3m", -3_000_000),
        ("3m long", 3),
        ("half a million", 500_000),
        ("three quarters of a million", 750_000),
        ("two and a half thousand", 2500),
        ("one point five million", 1_500_000),
        ("ten point twenty", None),
        ("point five", None),
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
    assume(number_in(f"{before} 1") == 1)  # nor "mInus 1"
    assert score("number", number, f"{before} {number} {behind}") == 1
    assert score("number", number, number) == score("number", str(number), number) == 1
    assert score("number", number, f"{before} {number + 1} {behind}") == 0


def test_a_yes_is_no_number() -> None:
    assert score("number", 1, True) == 0
    assert score("number", 0, Judgement(answer=False, probability=0.0)) == 0


def test_numbers_may_be_as_long_as_sums_of_a_thousand_digits() -> None:
    long = 10**1000 + 1
    assert score("number", long, long) == score("number", str(long), f"It is {long:,}.") == 1
    assert score("number", long, long + 1) == score("number", long, f"It is {long + 1}.") == 0
    for none in ("NaN", "sNaN", "Infinity"):
        with pytest.raises(BadOperand, match="a number is expected"):
            score("number", Decimal(none), 1)
