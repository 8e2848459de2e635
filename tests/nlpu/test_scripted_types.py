"""What a type checks beyond its JSON schema, the scripted engine's own answers keep to, too."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, OrderedDict
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from annotated_types import MultipleOf
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    BaseModel,
    DirectoryPath,
    Field,
    FilePath,
    FileUrl,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    Json,
    NaiveDatetime,
    NatsDsn,
    NewPath,
    PastDate,
    PastDatetime,
    PostgresDsn,
    RedisDsn,
    SocketPath,
    UrlConstraints,
    condate,
    condecimal,
    constr,
    model_validator,
)

from nlpu import op
from nlpu.engines.http.encode import Dialect, encode
from nlpu.errors import ConstraintRejected, Truncated
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Scripted, default_answer, see
from nlpu.types.from_schema import plain
from nlpu.types.result import ResultType, result_type
from nlpu.wire import Request
from tests.kit import execute

UTC, EAST = dt.UTC, dt.timezone(dt.timedelta(hours=5))
DAY, HOUR = dt.date(2024, 1, 1), dt.timedelta(hours=1)
NOON = dt.datetime(2024, 1, 1, 12)


def upper(text: str) -> str:
    if not text.isupper():
        raise ValueError("not upper")
    return text


def even(number: int) -> int:
    assert number % 2 == 0
    return number


def never(value: Any) -> Any:
    raise RuntimeError("never")


def same(value: Any) -> Any:
    return value


def within(kind: Any, **bounds: Any) -> Any:
    return Annotated[kind, Field(**bounds)]


class Booking(BaseModel):
    day: within(dt.date, ge=DAY, lt=dt.date(2024, 1, 4))  # type: ignore[valid-type]
    at: within(dt.time, ge=dt.time(9), le=dt.time(17))  # type: ignore[valid-type]
    takes: within(dt.timedelta, gt=0 * HOUR, le=HOUR)  # type: ignore[valid-type]
    again: list[FutureDate] = Field(min_length=2)
    noted: NaiveDatetime
    seen: PastDatetime | None
    where: FileUrl | RedisDsn
    code: str = Field(pattern=r"^\d{4}-\d{2}$")
    inner: list[Booking] = []


class Span(BaseModel):
    first: dt.date
    last: dt.date

    @model_validator(mode="after")
    def ordered(self) -> Span:
        assert self.first <= self.last
        return self


class Checked(BaseModel):
    codes: list[Annotated[int, AfterValidator(even)]] = Field(min_length=12)
    head: Annotated[str, AfterValidator(upper)]
    size: Annotated[str, AfterValidator(int)]
    spans: dict[str, Span]


TYPES: list[Any] = [
    condate(gt=DAY, lt=dt.date(2024, 1, 3)),
    within(dt.date, ge=dt.date(2025, 1, 1)),
    within(dt.date, le=dt.date(1200, 1, 1)),
    within(dt.date, ge=dt.date.max),
    within(dt.date, le=dt.date.min),
    within(dt.datetime, gt=NOON),
    within(dt.datetime, ge=NOON.replace(tzinfo=EAST), le=NOON.replace(tzinfo=EAST)),
    within(dt.datetime, gt=NOON, lt=NOON + dt.timedelta(microseconds=3)),
    within(dt.datetime, ge=dt.datetime.max),
    within(dt.time, lt=dt.time(9)),
    within(dt.time, ge=dt.time(9, tzinfo=UTC), le=dt.time(9, 30, tzinfo=UTC)),
    within(dt.time, gt=dt.time(23, 59, 59)),
    within(dt.timedelta, ge=HOUR, lt=2 * HOUR),
    within(dt.timedelta, lt=0 * HOUR),
    within(dt.timedelta, le=dt.timedelta.min),
    within(dt.timedelta, ge=dt.timedelta.max),
    within(dt.timedelta, gt=0 * HOUR, multiple_of=dt.timedelta(days=30)),
    FutureDate,
    FutureDatetime,
    PastDate,
    PastDatetime,
    NaiveDatetime,
    AwareDatetime,
    within(FutureDate, le=dt.date(9000, 1, 1)),
    within(FutureDate, ge=dt.date(9000, 1, 1)),
    within(PastDate, ge=dt.date(2020, 1, 1)),
    within(PastDatetime, ge=dt.datetime(2026, 1, 1)),
    within(PastDate, le=dt.date(1500, 1, 1)),
    within(NaiveDatetime, ge=dt.datetime(2050, 1, 1)),
    Annotated[dt.date, AfterValidator(same), Field(ge=dt.date(2030, 1, 1), lt=dt.date(2030, 1, 3))],
    within(dt.date | None, ge=dt.date(2030, 1, 1)),
    list[condate(ge=DAY, le=DAY)],
    within(set[condate(ge=DAY, le=dt.date(2024, 1, 20))], min_length=15),
    dict[condate(gt=DAY), int],
    Json[condate(gt=dt.date(2050, 1, 1))],
    Booking,
    list[Booking],
    list[Span],
    Checked,
    dict[str, Checked],
    *(HttpUrl, FileUrl, PostgresDsn, RedisDsn, NatsDsn),
    Annotated[AnyUrl, UrlConstraints(allowed_schemes=["s3"], host_required=True)],
    Annotated[AnyUrl, UrlConstraints(max_length=12)],
    Annotated[PostgresDsn, UrlConstraints(max_length=15, allowed_schemes=["postgres"])],
    constr(min_length=500),
    constr(pattern=r"^\d{4}-\d{2}$"),
    constr(pattern="^[a-z]+$", min_length=5, max_length=7),
    constr(to_upper=True, min_length=3, max_length=4),
    constr(max_length=1),
    Annotated[str, AfterValidator(same), Field(pattern=r"^\d{4}$")],
    Annotated[str, AfterValidator(upper)],
    list[Annotated[str, AfterValidator(upper)]],
    Annotated[int, AfterValidator(even)],
    Annotated[int, AfterValidator(same), Field(gt=10**6, lt=10**6 + 4), MultipleOf(3)],
    Annotated[int, AfterValidator(str), Field(min_length=3)],
    within(list[condecimal(max_digits=2, decimal_places=2)], min_length=10),
    condecimal(max_digits=3, ge=Decimal("99.95"), le=Decimal("100.05")),
    condecimal(max_digits=3, decimal_places=1, ge=990 // 10),
    condecimal(max_digits=2, decimal_places=2, ge=0, le=Decimal("0.05")),
    condecimal(max_digits=3, le=-950),
    dict[within(int, ge=100, multiple_of=7), str],
    dict[within(float, gt=0.5, lt=0.75), int],
    OrderedDict[within(int, ge=100), str],
    Counter[within(int, ge=100)],
    within(Base64Bytes, min_length=50),
    within(Base64Str, min_length=50, max_length=70),
    FilePath,
    DirectoryPath,
    NewPath,
    list[NewPath],
]


def asked(kind: ResultType, prompt: str) -> Any:
    """The request of a prompt for a type, as the scheduler makes it."""
    given = Request("r", tuple(map(ord, prompt)), Sampling(1000), kind.constraint, result=kind)
    return see(given)


@pytest.mark.parametrize("annotation", TYPES, ids=lambda kind: str(kind)[:60])
def test_what_is_said_is_a_value_of_the_type(annotation: Any) -> None:
    kind = result_type(annotation)
    for n in range(30):
        said = default_answer(asked(kind, f"prompt {n}"))
        kind.read(said)
        assert said == default_answer(asked(kind, f"prompt {n}"))


@pytest.mark.parametrize("annotation", [FutureDate, Booking, constr(min_length=500), RedisDsn])
def test_a_call_has_a_result(annotation: Any) -> None:
    """Within its limit of tokens, too, if there is a value that short."""
    run = execute(lambda: op("Make one", annotation)("now"), engine=Scripted())
    assert run.error is None and run.receipt.attempts == 1
    result_type(annotation).check(run.result, "it")


def test_what_must_be_long_is_told_to_be_so() -> None:
    run = execute(lambda: op("Make one", constr(min_length=5000))("now"), engine=Scripted())
    assert isinstance(run.error, Truncated)


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (within(int, gt=3, lt=4), "exclusiveMinimum 3"),
        (condate(gt=DAY, lt=dt.date(2024, 1, 2)), "no date has gt 2024-01-01, lt 2024-01-02"),
        (within(FutureDate, le=DAY), r"value of the type \(FutureDate\).*in the future"),
        (Annotated[int, AfterValidator(never)], "it said: RuntimeError: never; script the answer"),
        (Annotated[str, AfterValidator(never)], r"\(text\).*RuntimeError: never"),
        (constr(max_length=0), "an empty text is no answer"),
        (dict[Literal[1, 2], str], "Input should be 1 or 2"),
        (SocketPath, "not point to a socket"),
    ],
)
def test_what_cannot_be_had_is_said_plainly(annotation: Any, told: str) -> None:
    engine = Scripted()
    run = execute(lambda: op("Make one", annotation)("now"), engine=engine)
    assert isinstance(run.error, ConstraintRejected) and len(engine.seen) == 1
    with pytest.raises(ConstraintRejected, match=told):
        default_answer(asked(result_type(annotation), "now"))


def test_a_type_that_came_as_data_says_what_its_schema_says() -> None:
    kind = plain(result_type(list[dt.date]))
    for n in range(20):
        for day in json.loads(default_answer(asked(kind, str(n)))):
            dt.date.fromisoformat(day)


@pytest.mark.parametrize("annotation", [FutureDate, constr(min_length=500), RedisDsn])
def test_a_server_is_sent_nothing_of_it(annotation: Any) -> None:
    request = asked(result_type(annotation), "now").request
    dialect = Dialect("there", "m", 100, vllm=True, tokens=True, seed=True, priority=True)
    bare = encode(dialect, dialect.head, request._replace(result=None), False)
    assert encode(dialect, dialect.head, request, False) == bare
