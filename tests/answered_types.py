"""Types that an answer is made up for: of many values, and of few."""

from __future__ import annotations

import datetime as dt
import ipaddress
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
    condecimal,
    confloat,
    conint,
    conlist,
    conset,
    constr,
)
from typing_extensions import TypeAliasType, TypedDict


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
