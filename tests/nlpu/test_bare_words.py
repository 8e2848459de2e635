"""Types that are written as JSON, read from what a model writes without it; numerals of ASCII."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import execute
from pydantic import AnyUrl, BaseModel, Field

from nlpu import op
from nlpu.errors import BadOp, Malformed, Truncated
from nlpu.judgement import Judgement
from nlpu.ops.op import Op
from nlpu.prompt.decode import decode
from nlpu.testing.scripted import Scripted
from nlpu.types.from_schema import plain
from nlpu.types.result import result_type
from nlpu.wire import Reply, Usage


class Colour(Enum):
    RED = "red"
    DARK = "Dark Blue"


class Person(BaseModel):
    name: str


ID = UUID("12345678-1234-5678-1234-567812345678")
Word = Annotated[str, Field(pattern="^[a-z]+$")]

READ: list[tuple[Any, str, Any]] = [
    (date, "2024-02-28", date(2024, 2, 28)),
    (date, "2024-02-28.", date(2024, 2, 28)),
    (date, '`"2024-02-28"`', date(2024, 2, 28)),
    (date, "'2024-02-28'", date(2024, 2, 28)),
    (date, "```\n2024-02-28\n```", date(2024, 2, 28)),
    (datetime, "2024-02-28T10:00:00", datetime(2024, 2, 28, 10)),
    (time, "12:30", time(12, 30)),
    (timedelta, "P1D", timedelta(days=1)),
    (UUID, str(ID), ID),
    (UUID, "12345678123456781234567812345678", ID),
    (AnyUrl, "http://here.org/a", AnyUrl("http://here.org/a")),
    (date | None, "2024-02-28", date(2024, 2, 28)),
    (date | None, "None", None),
    (bool | None, "yes", True),
    (bool | None, "Yes.", True),
    (bool | None, "**No**", False),
    (bool | None, "None", None),
    (Literal["a", "b"] | None, "a", "a"),
    (Literal["a", "b"] | None, "B.", "b"),
    (Literal["a", "A"] | None, "a", "a"),
    (Literal["yes", "no"] | None, "Yes", "yes"),
    (Literal["a"] | int, "a", "a"),
    (Literal["a"] | int, "7.", 7),
    (Colour | None, "Dark blue", Colour.DARK),
    (str | None, "hello", "hello"),
    (str | None, "I live here.", "I live here."),
    (str | None, "a\n\nb [1]", "a\n\nb [1]"),
    (str | None, "5", "5"),
    (str | None, "true", "true"),
    (str | None, "1_000", "1_000"),
    (str | None, '`"hello"`', "hello"),
    (str | None, '"two\\nlines".', "two\nlines"),
    (AnyUrl, "http://here.org/a.", AnyUrl("http://here.org/a")),
    (Word | None, "hello", "hello"),
    (int | None, "None", None),
    (int | None, "+5", 5),
    (int | None, "007", 7),
    (float | None, ".5", 0.5),
    (Decimal, "+1.50", Decimal("1.50")),
    (Decimal | None, "+1234567890.12345678901234", Decimal("1234567890.12345678901234")),
    (int | str, "five", "five"),
    (int | date, "2024-02-28", date(2024, 2, 28)),
    (Person | None, "None", None),
    (list[int] | str, "nothing found", "nothing found"),
    (Judgement, "true.", Judgement(answer=True, probability=1.0)),
]


@pytest.mark.parametrize(("annotation", "text", "content"), READ)
def test_a_content_in_bare_words_is_read(annotation: Any, text: str, content: Any) -> None:
    kind = result_type(annotation)
    found, kept = kind.read(text)
    assert found == content and type(found) is type(content)
    assert kind.read(kept) == (found, kept), "a later life reads the same of what is kept"
    assert plain(kind).read(text)[1] == kept, "so does the type of a program that is data"


REFUSED: list[tuple[Any, str, str]] = [
    (str | None, "None", 'it can mean null or "None"'),
    (str | None, "none.", 'it can mean null or "none."'),
    (str | None, "**hello**", 'it can mean "**hello**" or "hello"'),
    (str | None, "'hello'", 'it can mean "\'hello\'" or "hello"'),
    (str | None, "```\nhello\n```", "it can mean"),
    (bool | str, "yes", 'it can mean true or "yes"'),
    (int | str, "+5", 'it can mean 5 or "+5"'),
    (Literal["None"] | None, "None", 'it can mean null or "None"'),
    (Literal["a"] | str, "A", 'it can mean "a" or "A"'),
    (bool | None, "maybe", "Input should be a valid boolean"),
    (bool | None, "on", "Input should be a valid boolean"),
    (Literal["a", "b"] | None, "c", "Input should be 'a' or 'b'"),
    (date, "2024-02-30", "day value is outside expected range"),
    (date | None, "tomorrow", "Input should be a valid date"),
    (UUID, "zz", "Input should be a valid UUID"),
    (int | None, "seven", "Input should be a valid integer"),
    (int | None, "yes", "Input should be a valid integer"),
    (int | None, "1,000", "Input should be a valid integer"),
    (int | None, "1_000", "a number has the digits 0 to 9 alone"),
    (float | None, "inf", "Input should be a valid number"),
    (Decimal, "1_000", "a number has the digits 0 to 9 alone"),
    (Decimal, "**1_000**", "a number has the digits 0 to 9 alone"),
    (Decimal, "١٢", "a number has the digits 0 to 9 alone"),
    (complex, "1_0+2j", "a number has the digits 0 to 9 alone"),
    (datetime, "07", "a number is no time"),
    (date | None, "**+86400**", "a number is no time"),
    (int | date, "1_000", "a number has the digits 0 to 9 alone"),
    (str | None, '"hello', "it is not JSON: Unterminated string"),
    (str | None, '"a" or "b"', "it is not JSON: Extra data"),
    (list[int] | str, "[1, 2", "it is not JSON"),
    (list[int] | str, "Sure: [1, 2]", "it is not JSON"),
    (Person | str, 'Sure: {"name": "Ann"}', "it is not JSON"),
    (Person, "Ann", "it is not JSON"),
]


@pytest.mark.parametrize(("annotation", "text", "why"), REFUSED)
def test_what_can_mean_nothing_or_two_things_is_told(annotation: Any, text: str, why: str) -> None:
    with pytest.raises(Malformed):
        result_type(annotation).read(text)
    run = execute(lambda: op("Which?", annotation)("x"), engine=Scripted(text))
    assert type(run.error) is Malformed and why in str(run.error)


@pytest.mark.parametrize(
    "text", ["1_000", "1_0.5", "١٢", "１２", "1_0e3", "2٫5", "1,000", "0x10", "inf"]
)
@pytest.mark.parametrize("annotation", [int, float])
def test_a_numeral_has_ascii_digits_alone(annotation: Any, text: str) -> None:
    with pytest.raises(Malformed):
        result_type(annotation).read(text)


@pytest.mark.parametrize(
    ("annotation", "text", "content"),
    [
        (int, "+5", 5),
        (int, "-007", -7),
        (float, "007.5", 7.5),
        (float, ".5", 0.5),
        (float, "5.", 5.0),
        (float, "-1E+3", -1000.0),
        (float, "1e-07", 1e-7),
    ],
)
def test_signs_and_zeros_in_front_are_read(annotation: Any, text: str, content: Any) -> None:
    assert result_type(annotation).parse(text) == content


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_are_kept_are_read(number: Any) -> None:
    kind = result_type(type(number))
    assert kind.parse(kind.render(number)) == number


@given(st.text(max_size=12) | st.sampled_from(["None", "yes.", "**a**", "'b'", "`1`", '"x"', "+5"]))
def test_a_text_or_null_is_that_text_or_what_its_json_says(text: str) -> None:
    kind = result_type(str | None)
    try:
        found, kept = kind.read(text)
    except Malformed:
        return
    assert kind.read(kept) == (found, kept)
    assert found == text.strip() or found is None or found in text


@pytest.mark.parametrize(
    ("annotation", "text"),
    [(str | None, "hel"), (bool | None, "no"), (str | None, 'She said "no"'), (UUID, str(ID))],
)
def test_bare_words_that_end_at_their_limit_are_not_whole(annotation: Any, text: str) -> None:
    asked: Op[Any] = op("Which?", annotation)
    assert decode(asked, Reply(text, "stop", Usage(1, 1))).content is not None
    with pytest.raises(Truncated):
        decode(asked, Reply(text, "length", Usage(1, 1)))
    assert decode(op("Which?", str | None), Reply('"hel"', "length", Usage(1, 1))).content == "hel"


def test_a_judgement_of_two_answers_is_none() -> None:
    with pytest.raises(Malformed):
        result_type(Judgement).parse('{"answer":true,"answer":false,"probability":0.5}')


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Literal["a", "b"] | None, "is not 'a' or 'b' or null"),
        (int | None, "is not an int or null"),
        (UUID, "is not a UUID"),
        (Person | None, "is not a Person or null"),
        (list[int], "is not a list of int"),
    ],
)
def test_a_type_has_its_article(annotation: Any, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        result_type(annotation).parse('"?!"')


def test_why_a_type_has_no_schema_is_told() -> None:
    why = r"Error building .int. validator: ValueError: 'ge' must be"
    with pytest.raises(BadOp, match=why) as told:
        op("Which?", Annotated[int, Field(ge=1.5)])
    assert "\n" not in str(told.value)
