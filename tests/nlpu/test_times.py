"""Numbers in JSON where dates and times are asked for."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer

from nlpu import Malformed
from nlpu.types.result import result_type


class Stay(BaseModel):
    room: str
    since: datetime = Field(alias="from")


class Year(BaseModel):
    """Has a reading of numbers of its own."""

    begins: Annotated[
        date, BeforeValidator(lambda said: date(said, 1, 1) if isinstance(said, int) else said)
    ]


class Long(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    lasted: timedelta


class Stamp(BaseModel):
    """Writes its time as a number, so numbers are what it reads."""

    at: datetime

    @field_serializer("at")
    def _seconds(self, at: datetime) -> float:
        return at.timestamp()


class Broken(BaseModel):
    at: date

    @field_serializer("at")
    def _raises(self, at: date) -> str:
        raise RuntimeError("cannot be written")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Stay, '{"room":"1","from":2024}'),
        (Stay, '{"room":"1","from":"2024"}'),
        (Stay, '{"room":"1","from":1.7e9}'),
        (list[date | None], "[null,86400]"),
        (dict[str, time], '{"a":5}'),
        (tuple[timedelta, int], "[5,5]"),
        (set[datetime], "[2024]"),
        (list[Stay], '[{"room":"1","from":0}]'),
    ],
)
def test_a_number_is_no_time(annotation: Any, text: str) -> None:
    with pytest.raises(Malformed) as told:
        result_type(annotation).read(text)
    assert "is a number, and a number is no time" in str(told.value.__cause__)


@pytest.mark.parametrize(
    ("annotation", "text", "content"),
    [
        (list[datetime | int], "[2024]", [2024]),
        (list[date | str], '["2024"]', ["2024"]),
        (Year, '{"begins":2024}', Year(begins=date(2024, 1, 1))),
        (Long, '{"lasted":5}', Long(lasted=timedelta(seconds=5))),
        (Stamp, '{"at":86400}', Stamp.model_validate({"at": 86400})),
        (Broken, '{"at":"2024-02-28"}', Broken(at=date(2024, 2, 28))),
        (tuple[date, int, str], '["2024-02-28",5,"7"]', (date(2024, 2, 28), 5, "7")),
    ],
)
def test_what_a_type_means_by_a_number_is_read(annotation: Any, text: str, content: Any) -> None:
    assert result_type(annotation).read(text) == (content, text)
