"""A program sees the same of a reply in every life; what Python made reads back as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from kit import execute
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    RootModel,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from nlpu import nlop, op
from nlpu.errors import BadOperand, Malformed
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted
from nlpu.types.result import result_type


class Aliased(BaseModel):
    user_id: int = Field(alias="userId")


class Choices(BaseModel):
    size: int = Field(validation_alias=AliasChoices("size", "groesse"))


class Deep(BaseModel):
    city: str = Field(validation_alias=AliasPath("address", "city"))


class Output(BaseModel):
    size: int = Field(serialization_alias="theSize")


class Percent(BaseModel):
    share: float

    @field_validator("share")
    @classmethod
    def fraction(cls, share: float) -> float:
        return share / 100


class Whole(BaseModel):
    text: str

    @model_validator(mode="before")
    @classmethod
    def longer(cls, found: Any) -> Any:
        return {"text": found["text"] + "!"}


class Excluded(BaseModel):
    shown: int
    hidden: int = Field(exclude=True)


class Serialised(BaseModel):
    day: date

    @field_serializer("day")
    def short(self, day: date) -> str:
        return f"{day:%d.%m.}"


class Area(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class Holder(BaseModel):
    inner: Json[list[int]]


class Tags(BaseModel):
    tags: set[str]
    deep: list[frozenset[int]] = []


class Pet(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Owner(BaseModel):
    pet: Annotated[Pet | Dog, Field(discriminator="kind")]


class Node(BaseModel):
    name: str
    kids: list[Node] = []


@dataclass
class Point:
    x: int
    y: float


class Movie(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    a: int
    b: str


class Numbers(RootModel[list[int]]):
    pass


Half = Annotated[float, AfterValidator(lambda number: number / 2)]
Loud = Annotated[str, AfterValidator(str.upper), PlainSerializer(str.lower)]

REPLIES: list[tuple[Any, str]] = [
    (Aliased, '{"userId": 7}'),
    (Choices, '{"size":3}'),
    (Choices, '{"groesse":3}'),
    (Deep, '{"address":{"city":"Rome"}}'),
    (Output, '{"size":3}'),
    (Percent, '{"share":50}'),
    (Whole, '{"text":"a\\u00e9"}'),
    (Excluded, '{"shown":1,"hidden":2}'),
    (Serialised, '{"day":"2030-02-01"}'),
    (Area, '{"side":3}'),
    (Holder, '{"inner":"[1,2]"}'),
    (Tags, '{"tags":["red","green","blue"],"deep":[[3,1,2]]}'),
    (Owner, '{"pet":{"kind":"dog","name":"Rex"}}'),
    (Node, '{"name":"a","kids":[{"name":"b"}]}'),
    (Half, "50"),
    (list[Half], "[50, 3.5]"),
    (Loud, "quiet"),
    (list[Loud], '["quiet"]'),
    (date, '"2030-01-02"'),
    (datetime, '"2030-01-02T03:04:05"'),
    (time, '"10:11:12.5"'),
    (timedelta, '"PT1.5S"'),
    (Decimal, "0.12345678901234567890123"),
    (list[Decimal], '[1.10, "1e400", "3.30"]'),
    (UUID, '"12345678-1234-5678-1234-567812345678"'),
    (AnyUrl, '"http://example.org"'),
    (int | None, "null"),
    (int | str, '"5"'),
    (int | str, "5"),
    (bool | int, "1"),
    (tuple[int, str], '[1,"a"]'),
    (tuple[int, ...], "[1,2]"),
    (dict[str, int], '{"b":1,"a":2}'),
    (dict[int, str], '{"3":"c"}'),
    (set[int], "[3,1,2,3]"),
    (frozenset[str], '["b","a"]'),
    (Point, '{"x":1,"y":2}'),
    (Movie, '{"title":"M","year":1931}'),
    (Pair, '[1,"b"]'),
    (Numbers, "[1,2]"),
    (Literal["a", 3] | None, "3"),
    (list[int], "[" + ",".join(map(str, range(90))) + "]"),
    (int, "4294967296123456789012345678901"),
    (float, "0.12345678901234567"),
    (Annotated[int, Field(ge=10**12)], "1503681668603"),
]
IDS = [f"{at}-{getattr(kind, '__name__', 'type')}" for at, (kind, _) in enumerate(REPLIES)]


@pytest.mark.parametrize(("kind", "reply"), REPLIES, ids=IDS)
def test_every_life_sees_what_the_first_one_saw(kind: Any, reply: str, tmp_path: Path) -> None:
    ask, seen, name = op("Give one", kind), [], ""

    def program() -> str:
        seen.append(ask("x").value)
        return repr(seen[-1])

    for life in range(3):
        with Computer(Scripted(reply), run_dir=tmp_path) as machine:
            run = machine.resume(name, program, replay=True) if life else machine.start(program)
            run.wait()
            assert run.error is None, run.error
            name = run.name
    assert seen[0] == seen[1] == seen[2]
    assert repr(seen[0]) == repr(seen[1]) == repr(seen[2])


@pytest.mark.parametrize(("kind", "reply"), REPLIES, ids=IDS)
def test_what_is_kept_of_a_reply_is_kept_of_itself(kind: Any, reply: str) -> None:
    made = result_type(kind)
    content, kept = made.read(reply)
    again, same = made.read(kept)
    assert (again, same) == (content, kept)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Percent, Percent.model_construct(share=50.0)),
        (list[Half], [50.0]),
        (Output, Output(size=3)),
        (Excluded, Excluded(shown=1, hidden=2)),
        (Serialised, Serialised(day=date(2030, 2, 1))),
        (list[float], [math.inf]),
        (list[float], [math.nan]),
        (float, math.nan),
        (list[Any], [(1, 2)]),
    ],
    ids=str,
)
def test_what_python_made_and_does_not_read_back_is_refused(kind: Any, content: Any) -> None:
    tell = _telling(kind)
    error = execute(lambda: tell(content), engine="fine").error
    assert isinstance(error, BadOperand) and "operand 'x' of tell" in str(error), error


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (Aliased, Aliased(userId=7), '{"userId":7}'),
        (Choices, Choices(size=3), '{"size":3}'),
        (Deep, Deep.model_construct(city="Rome"), '{"city":"Rome"}'),
        (Area, Area(side=3), '{"side":3}'),
        (Holder, Holder(inner="[1,2]"), '{"inner":"[1,2]"}'),
        (set[str], {"b", "a", "c"}, '["a","b","c"]'),
        (list[Decimal], [Decimal("1.10")], '["1.10"]'),
        (Point, Point(1, 2.0), '{"x":1,"y":2.0}'),
        (int | None, None, "null"),
    ],
    ids=str,
)
def test_what_reads_back_is_written_in_one_order(kind: Any, content: Any, text: str) -> None:
    model = Scripted("fine")
    assert execute(lambda: _telling(kind)(content), engine=model).result == "fine"
    assert model.seen[0].operands["x"] == text


def _telling(kind: Any) -> Any:
    def tell(x: Any) -> str:
        """Tell."""
        raise AssertionError

    tell.__annotations__ = {"x": kind, "return": str}
    return nlop(tell)


@pytest.mark.parametrize("reply", ['{"share":NaN}', '{"share":1e999}', '{"share":-Infinity}'])
def test_numbers_that_are_none_are_malformed(reply: str) -> None:
    with pytest.raises(Malformed):
        result_type(Percent).parse(reply)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (Node, '{"name":"a","name":"b"}'),
        (list[Pet], '[{"kind":"cat","lives":7,"lives":9}]'),
        (dict[str, int], '{"a":1,"b":2,"\\u0061":3}'),
        (list[dict[str, Any]], '[{"x":{"a":1,"a":true}}]'),
    ],
)
def test_a_key_with_two_values_is_malformed_and_not_the_last_in_silence(
    kind: Any, reply: str
) -> None:
    with pytest.raises(Malformed) as raised:
        result_type(kind).parse(reply)
    assert "is given twice" in str(raised.value.__cause__)


def test_a_key_that_is_said_again_is_what_it_is() -> None:
    assert result_type(dict[str, list[int]]).parse('{"a":[1],"a":[1]}') == {"a": [1]}
