"""What bare words do not mean: truths for numbers, prose for formats, a number's odd writing."""

from __future__ import annotations

import re
import time
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Base64Bytes, ByteSize, Field

from nlpu.errors import BadOp, Malformed
from nlpu.types.from_schema import plain, schema_type
from nlpu.types.result import result_type


class Stars(IntEnum):
    ONE = 1
    TWO = 2


REFUSED: list[tuple[Any, str]] = [
    (Literal[1, 2, 3] | None, "Yes."),
    (Stars | None, "True"),
    (Literal[0, 1] | date, "no"),
    (Literal[1, 2] | Literal["a"], "yes"),
    (Base64Bytes, "No answer"),
    (ByteSize, "10,000"),
    (Decimal, "1_000"),
    (date, "I do not know the date."),
    (Decimal | str, "1_000"),  # as JSON it would be the number
    (Decimal | str, "٣"),
    (date | str, "+1709078400"),
    (datetime | str, "07"),
]


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_what_is_not_clearly_meant_is_malformed(kind: Any, text: str) -> None:
    with pytest.raises(Malformed):
        result_type(kind).parse(text)


MARKED = Annotated[str, Field(json_schema_extra={"format": "markdown"})]


def test_a_text_keeps_its_full_stop_whatever_its_format_is_called() -> None:
    assert result_type(MARKED | None).parse("Hello. World.") == "Hello. World."


def test_a_pattern_keeps_its_full_stop() -> None:
    assert result_type(re.Pattern[str]).parse("colou?r.") == re.compile("colou?r.")


@pytest.mark.parametrize("kind", [date, date | None])
def test_a_type_that_is_data_holds_bare_words_to_their_format(kind: Any) -> None:
    data = plain(result_type(kind))
    assert data.parse("2024-02-28") == "2024-02-28"
    with pytest.raises(Malformed):
        data.parse("I do not know the date.")


@pytest.mark.parametrize("kind", [int, float, date, Decimal, Decimal | None, int | None])
def test_long_digits_are_looked_at_once(kind: Any) -> None:
    begun = time.process_time()
    with pytest.raises(Malformed):
        result_type(kind).parse("1" * 50_000 + " apples")
    assert time.process_time() - begun < 2  # minutes, where they are looked at again


@pytest.mark.parametrize(
    "named",
    [
        {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        {
            "A": {"$ref": "#/$defs/B"},
            "B": {"oneOf": [{"type": "null"}, {"anyOf": [{"$ref": "#/$defs/A"}]}]},
        },
    ],
)
def test_a_type_that_is_only_itself_is_refused(named: Any) -> None:
    """Reading it would end the process: the library goes round in C until the stack ends."""
    with pytest.raises(BadOp, match="refers to itself and to no value"):
        schema_type("A", {"$ref": "#/$defs/A", "$defs": named})
    fine = {"A": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/A"}}, {"type": "null"}]}}
    assert schema_type("A", {"$ref": "#/$defs/A", "$defs": fine}).parse("[[null]]") == [[None]]
