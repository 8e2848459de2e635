"""The scripted engine's own answers: valid values of every type, the same for the same prompt.

The schemas here are pydantic's own, of the annotation itself, without what result types add.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import uuid
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID7,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    JsonValue,
    NonNegativeInt,
    PastDate,
    PositiveFloat,
    PostgresDsn,
    StringConstraints,
    TypeAdapter,
    condecimal,
    confloat,
    conint,
    conlist,
    conset,
    constr,
)
from typing_extensions import TypeAliasType, TypedDict

from benchmarks.fake_vllm.answers import full
from nlpu.errors import ConstraintRejected, MissingPart, Truncated
from nlpu.sampling import Sampling
from nlpu.testing.answers import pieces
from nlpu.testing.examples import example
from nlpu.testing.patterns import Dice
from nlpu.testing.scripted import Scripted, Seen, default_answer, see
from nlpu.wire import Constraint, Request
from tests.kit import execute, shorten


class Colour(Enum):
    red = "red"
    green = "green"
    blue = "blue"


class Level(IntEnum):
    low = 1
    high = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Movie(TypedDict, total=False):
    title: str
    year: Annotated[int, Field(ge=1888, le=2100)]


@dataclass
class Trip:
    city: str
    day: dt.date
    price: Decimal


class Address(BaseModel):
    street: str = Field(max_length=20)
    zip: str = Field(pattern=r"^\d{5}$")


class Person(BaseModel):
    name: str
    born: dt.date
    homes: list[Address] = Field(min_length=1)
    mail: str | None = None
    colour: Colour = Colour.red


class Node(BaseModel):
    name: str
    kids: list[Node] = []


class Chain(BaseModel):
    n: int
    next: Chain | None


class Plus(BaseModel):
    kind: Literal["plus"] = "plus"
    left: Term
    right: Term


class Number(BaseModel):
    kind: Literal["number"] = "number"
    value: float


class Negated(BaseModel):
    kind: Literal["not", "minus"] = "minus"
    of: Term


Term = Annotated[Plus | Negated | Number, Field(discriminator="kind")]


class Ping(BaseModel):
    pongs: dict[str, Pong]
    near: tuple[Pong, ...] = ()


class Pong(BaseModel):
    ping: Ping | None = None
    pair: tuple[int, Pong] | None = None


class Alias(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: int = Field(alias="in", gt=0)
    strict: bool = Field(default=True, strict=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Cat(BaseModel):
    lives: int
    purrs: bool


class Dog(BaseModel):
    barks: int


Tree = TypeAliasType("Tree", "dict[str, Tree] | list[Tree] | int")  # type: ignore[misc]

MANY: list[Any] = [  # types of more than a handful of values
    str,
    int,
    float,
    bytes,
    Decimal,
    Fraction,
    dt.date,
    dt.datetime,
    dt.time,
    dt.timedelta,
    AwareDatetime,
    uuid.UUID,
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID7,
    AnyUrl,
    HttpUrl,
    PostgresDsn,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Path,
    ByteSize,
    Base64Bytes,
    Base64Str,
    Json[list[int]],
    re.Pattern[str],
    ZoneInfo,
    JsonValue,
    Any,
    NonNegativeInt,
    PositiveFloat,
    conint(ge=10**12),
    conint(gt=10**30, lt=10**31),
    conint(le=-5),
    conint(multiple_of=7),
    conint(ge=3, le=1000, multiple_of=12),
    conint(lt=0, multiple_of=10**9),
    confloat(gt=0, lt=1),
    confloat(gt=0, lt=1e-300),
    confloat(gt=1e300),
    confloat(le=-1e18),
    confloat(lt=-1.7e308),
    PastDate,
    confloat(multiple_of=0.1),
    confloat(ge=0, le=1, multiple_of=0.05),
    confloat(ge=-1e-9, lt=0),
    condecimal(ge=Decimal("0.5"), le=Decimal("99.5")),
    condecimal(max_digits=3, decimal_places=2),
    condecimal(decimal_places=0),
    condecimal(multiple_of=Decimal("0.05")),
    condecimal(gt=0, lt=1, decimal_places=1),
    Decimal | None,
    constr(min_length=17),
    constr(min_length=3, max_length=3),
    constr(max_length=9),
    constr(pattern=r"^[A-Z]{2}-\d{4}$"),
    constr(pattern=r"[a-f]+\d", min_length=12),
    constr(pattern=r"^\w+@\w+\.(com|org)$"),
    constr(pattern=r"^[a-z]+$", min_length=20),
    constr(pattern=r"^[a-z]*$", min_length=5, max_length=6),
    constr(pattern=r"^(?<a>x\d)+\z"),
    Annotated[str, StringConstraints(strip_whitespace=True, min_length=8, max_length=8)],
    list[int],
    list[list[list[str]]],
    conlist(int, min_length=20),
    tuple[int, str],
    tuple[dt.date, ...],
    conlist(str, max_length=1),
    set[int],
    frozenset[str],
    conset(int, min_length=200),
    set[confloat(ge=0, le=1)],
    set[tuple[int, int]],
    deque[int],
    dict[str, int],
    dict[int, str],
    dict[float, list[str]],
    dict[dt.date, int],
    dict[uuid.UUID, Decimal],
    dict[constr(pattern="^k[0-9]{3}$"), int],
    dict[constr(min_length=3), int],
    Annotated[dict[str, int], Field(min_length=7)],
    Counter[str],
    OrderedDict[str, int],
    Point,
    Movie,
    Trip,
    Address,
    Person,
    Node,
    Chain,
    Plus,
    Negated,
    Term,
    Ping,
    Pong,
    Alias,
    Open,
    Cat | Dog,
    list[Term],
    Tree,
    Person | None,
    int | str | None,
    dict[str, Node],
    tuple[Node | None, Term],
    Annotated[int | None, Field(ge=30)],
    list[Trip | Movie],
]
FEW: list[Any] = [
    bool,
    None,
    Colour,
    Level,
    Literal["a", 2, None],
    tuple[()],
    conlist(int, max_length=0),
    conint(ge=4, le=4),
    confloat(ge=1 / 3, le=1 / 3),
    constr(max_length=0),
    set[bool],
    conset(Colour, min_length=3),
    dict[Literal["a", "b"], int],
    dict[Colour, bool],
    bool | None,
    Annotated[dict[str, int], Field(max_length=0)],
    conset(conint(ge=0, le=9), min_length=10),
]


def asked(prompt: str, schema: Any) -> Seen:
    """The request of a prompt under a schema, as the engine sees it."""
    spec = Constraint("json", json.dumps(schema))
    return see(Request("r", tuple(map(ord, prompt)), Sampling(1000), spec))


PROMPTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("annotation", [*MANY, *FEW], ids=lambda kind: str(kind)[:60])
def test_what_is_said_is_a_value_of_the_type(annotation: Any) -> None:
    adapter = TypeAdapter(annotation)
    schema = adapter.json_schema()

    @settings(max_examples=40)
    @given(PROMPTS)
    def check(prompt: str) -> None:
        said = default_answer(asked(prompt, schema))
        adapter.validate_json(said)
        assert said == default_answer(asked(prompt, schema))
        assert len(said) < 20_000

    check()
    said = {default_answer(asked(f"prompt {n}", schema)) for n in range(30)}
    assert len(said) >= (4 if annotation in MANY else 1)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "integer", "minimum": 7, "maximum": 3}, "minimum 7, maximum 3"),
        ({"type": "integer", "minimum": 6, "maximum": 9, "multipleOf": 5}, "multipleOf 5"),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1}, "exclusiveMinimum 1"),
        ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength 5"),
        ({"type": "string", "pattern": "^abc$", "minLength": 5}, "\\^abc"),
        ({"type": "string", "pattern": "^(a)\\1$"}, "groupref"),
        ({"type": "string", "pattern": "(((", "maxLength": 3}, "not read"),
        ({"type": "string", "format": "uuid", "maxLength": 5}, "uuid"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "minItems 2"),
        ({"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "uniqueItems": True}, "3"),
        (
            {"type": "object", "properties": {}, "minProperties": 1, "additionalProperties": False},
            "1 members",
        ),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "false"),
        ({"enum": []}, "no choices"),
        ({"allOf": [{"enum": [1]}, {"enum": [2]}]}, "no choices"),
        ({"anyOf": []}, "no options"),
        ({"$ref": "#/$defs/nowhere"}, "nowhere"),
        ({"$ref": "#"}, "has another in it"),
        ({"not": {"type": "string"}}, "'not'"),
        (
            {
                "$defs": {
                    "A": {
                        "type": "object",
                        "properties": {"a": {"$ref": "#/$defs/A"}},
                        "required": ["a"],
                    }
                },
                "$ref": "#/$defs/A",
            },
            "has another in it",
        ),
    ],
)
def test_what_cannot_be_met_is_refused_and_named(schema: Any, told: str) -> None:
    with pytest.raises(ConstraintRejected, match=told):
        example(schema, Dice("any"))


BOTH: list[tuple[Any, Any]] = [
    ({"minimum": 5, "type": "integer", "allOf": [{"minimum": 9, "maximum": 9}]}, 9),
    ({"type": ["integer", "null"], "allOf": [{"type": ["string", "null"]}]}, None),
    ({"type": "number", "allOf": [{"type": "integer"}, {"enum": [2, 3]}, {"enum": [3, 4]}]}, 3),
    (
        {
            "anyOf": [{"type": "string"}, {"type": "integer"}],
            "minimum": 3,
            "maximum": 3,
            "type": "integer",
        },
        3,
    ),
    ({"anyOf": [False, {"const": 1}]}, 1),
    ({"anyOf": [{"type": "string", "pattern": "(?<=a"}, {"const": 1}]}, 1),
    ({"properties": {"a": False, "b": {"const": 1}}, "required": ["b"]}, {"b": 1}),
    ({"properties": {"a": {"allOf": [{"maxLength": 0}]}}, "required": ["a"]}, {"a": ""}),
    ({"required": ["x"], "additionalProperties": {"const": 2}, "properties": {}}, {"x": 2}),
    ({"items": [{"const": 1}], "additionalItems": False}, [1]),
    ({"type": "string", "allOf": [{"pattern": "^a[a-d]$"}, {"pattern": "b$"}]}, "ab"),
    (
        {
            "type": "integer",
            "multipleOf": 4,
            "allOf": [{"multipleOf": 6}],
            "minimum": 1,
            "maximum": 23,
        },
        12,
    ),
]


@pytest.mark.parametrize(("schema", "value"), BOTH)
def test_what_must_hold_at_once_does(schema: Any, value: Any) -> None:
    for n in range(20):
        assert example(schema, Dice(str(n))) == value


def test_what_has_no_bounds_is_small() -> None:
    for kind in (int, float, str, list[int], dict[str, float], set[str]):
        schema = TypeAdapter(kind).json_schema()
        assert max(len(json.dumps(example(schema, Dice(str(n))))) for n in range(200)) < 120
    wide = [example({"type": "integer"}, Dice(str(n))) for n in range(200)]
    assert sum(0 <= n <= 100 for n in wide) > 120


def test_members_that_may_be_left_out_are_mostly_there_and_deep_values_end_soon() -> None:
    schema = TypeAdapter(Person).json_schema()
    people = [Person.model_validate(example(schema, Dice(str(n)))) for n in range(100)]
    assert 50 < sum("mail" in person.model_fields_set for person in people) < 100
    names = [f"M{n}" for n in range(12)]
    fields = {name: {"type": "array", "items": {"$ref": f"#/$defs/{name}"}} for name in names}
    wide = {"$defs": {key: {"properties": fields} for key in names}, "$ref": "#/$defs/M0"}
    assert len(json.dumps(example(wide, Dice("wide")))) < 10_000
    schema = TypeAdapter(Ping).json_schema()
    assert max(len(json.dumps(example(schema, Dice(str(n))))) for n in range(100)) < 10_000


# -- tokens --------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("The rabbit's house.", ["The", " rabbit", "'", "s", " house", "."]),
        ("1,234.5 kg", ["1", ",", "2", "3", "4", ".", "5", " kg"]),
        ('{"name":"Ann","n":12}', ['{"', "name", '":"', "Ann", '","', "n", '":', "1", "2", "}"]),
        ("internationally", ["internat", "ionally"]),
        ("für 日本_", ["f", "ü", "r", " ", "日", "本", "_"]),
        ("a\n\n  b", ["a", "\n\n  ", "b"]),
        ("full moxxxx keel", ["full", " mo", "x", "x", "x", "x", " keel"]),
    ],
)
def test_pieces_are_cut_by_their_rule(text: str, cut: list[str]) -> None:
    assert pieces(text) == cut


def test_a_reply_is_counted_and_cut_in_pieces() -> None:
    engine = Scripted("The old house by the river.", tokens_per_s=7)
    run = execute(lambda: shorten("x"), engine=engine)
    assert (run.receipt.completion_tokens, run.receipt.seconds) == (7, 1.0)
    short = shorten.using(max_tokens=3, at_limit="trim")
    run = execute(lambda: short("x"), engine="The old house by the river.")
    assert (run.result, run.receipt.completion_tokens) == ("The old", 3)
    assert isinstance(
        execute(lambda: shorten.using(max_tokens=6)("x"), engine=engine).error, Truncated
    )


@pytest.mark.parametrize("limit", [1, 2, 30])
def test_a_full_answer_has_exactly_as_many_tokens_as_it_may(limit: int) -> None:
    for n in range(20):
        said = full({"prompt": f"p{n}", "max_tokens": limit})
        assert said is not None and len(pieces(said)) == limit


PROSE = (
    "The captain had not slept. All night the river had been rising, slowly, almost politely, "
    "and in the morning it stood in the garden; nobody could say whether the letters, "
    "which he'd hidden under the floor of the boathouse, were still dry. “Perhaps,” said Mary, "
    "“we should look?”"
)
RECORDS = [
    {"id": 17 * n, "name": name, "paid": n % 2 == 0, "amount": 12.5 * n, "tags": ["new", "urgent"]}
    for n, name in enumerate(("Ann Miller", "Tom Baker", "Clara Stone", "Peter Novak"))
]
SAMPLES = {
    "prose": PROSE,
    "compact": json.dumps(RECORDS, separators=(",", ":")),
    "json": json.dumps(RECORDS),
    "indented": json.dumps(RECORDS, indent=2),
    "numbers": " ".join(str(7**n) for n in range(30)),
    "floats": json.dumps([1 / n for n in range(1, 20)]),
    "dates": json.dumps([f"2024-{n:02}-17T10:{n + 20}:00Z" for n in range(1, 13)]),
}


@pytest.mark.local
@pytest.mark.parametrize("name", SAMPLES)
def test_the_rule_is_near_a_real_tokenizer(name: str) -> None:
    from nlpu.engines.embedded.vocabulary import tokenizer_files
    from nlpu.engines.models import installed_model
    from nlpu.tokens import tokenizer_in

    try:
        real = tokenizer_in(tokenizer_files(installed_model(None)))
    except MissingPart as missing:
        pytest.skip(str(missing))
    counted = len(real.encode(SAMPLES[name]))
    assert len(pieces(SAMPLES[name])) == pytest.approx(counted, rel=0.35)
