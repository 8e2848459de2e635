"""Types as grammars: never narrower than the type, and for many not wider either."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from grammar_kit import accepts, typed, walk, written
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from benchmarks.fake_vllm.grammar import sample
from nlpu.engines.grammar import grammar_of
from nlpu.errors import BadOp, BadOperand, Malformed
from nlpu.testing.patterns import Dice
from nlpu.types.result import ResultType, result_type

FAR = 10**35  # beyond any bound that a library would choose

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
Kind = tuple[Any, st.SearchStrategy[Any]]


class Mood(Enum):
    GOOD = 'g"o\\ö/😀'
    BAD = 2
    NONE = None


class Tree(BaseModel):
    name: str
    left: Tree | None = None
    children: list[Tree] = []


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.builds(Tree, name=TEXT)
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            Tree, name=TEXT, left=st.none() | inner, children=st.lists(inner, max_size=2)
        ),
        max_leaves=5,
    )


BOUNDS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(-12, 12),
    st.sampled_from([10**k for k in range(20)]),
)


@st.composite
def whole_numbers(draw: st.DrawFn) -> Kind:
    low, high = sorted((draw(BOUNDS), draw(BOUNDS)))
    form = draw(st.sampled_from(["ge le", "gt lt", "ge", "le", "gt", "lt"]))
    limits: dict[str, Any] = {}
    limits |= {"ge": low} if "ge" in form else {"gt": low - 1} if "gt" in form else {}
    limits |= {"le": high} if "le" in form else {"lt": high + 1} if "lt" in form else {}
    floor = low if {"ge", "gt"} & limits.keys() else -FAR
    ceiling = high if {"le", "lt"} & limits.keys() else FAR
    return Annotated[int, Field(**limits)], st.integers(floor, ceiling)


@st.composite
def decimal_numbers(draw: st.DrawFn) -> Kind:
    low, high = sorted(draw(st.floats(-1e18, 1e18)) + 0.0 for _ in "ab")  # no -0.0 as a bound
    limits = draw(st.sampled_from([{"ge": low, "le": high}, {"ge": low}, {"le": high}, {}]))
    values = st.floats(limits.get("ge"), limits.get("le"), allow_nan=False, allow_infinity=False)
    return Annotated[float, Field(**limits)], values


@st.composite
def texts(draw: st.DrawFn) -> Kind:
    low = draw(st.integers(0, 20) | st.just(500))
    high = low + draw(st.integers(0, 8))
    limits = draw(
        st.sampled_from([{"min_length": low, "max_length": high}, {"max_length": high}, {}])
    )
    values = st.text(
        st.characters(exclude_categories=["Cs"]),
        min_size=limits.get("min_length", 0),
        max_size=limits.get("max_length", 20),
    )
    return Annotated[str, Field(**limits)], values


PLAIN: list[Kind] = [
    (str, TEXT),
    (int, st.integers(-FAR, FAR)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (None, st.none()),
    (Mood, st.sampled_from(Mood)),
    (Literal["ä\n", 'b"', 3, None], st.sampled_from(["ä\n", 'b"', 3, None])),
    (Literal["only"], st.just("only")),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.none() | st.just(timezone(timedelta(hours=-5))))),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(-999), timedelta(999))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=4)),
    (UUID, st.uuids()),
    (Annotated[str, Field(pattern=r'^[^"]é+-\d{2}')], st.from_regex(r'\A[^"]é+-[0-9]{2}[^"]*\Z')),
    (dict[str, Any], st.dictionaries(TEXT, st.integers() | st.lists(TEXT) | st.none(), max_size=3)),
    (Tree, trees()),
]

LOOSE = (date, datetime, time, timedelta, Decimal, UUID)  # validation looks closer than a grammar


def combined(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    """Containers of kinds."""

    def lists(kind: Kind) -> Kind:
        return list[kind[0]], st.lists(kind[1], max_size=4)  # type: ignore[valid-type]

    def bounded_lists(kind: Kind, low: int, more: int) -> Kind:
        limits = Field(min_length=low, max_length=low + more)
        return Annotated[list[kind[0]], limits], st.lists(  # type: ignore[valid-type]
            kind[1], min_size=low, max_size=low + more
        )

    def tuples(kinds: list[Kind]) -> Kind:
        return tuple[tuple(kind[0] for kind in kinds)], st.tuples(*[kind[1] for kind in kinds])  # type: ignore[misc]

    def unions(left: Kind, right: Kind) -> Kind:
        return left[0] | None | right[0] if left[0] is not None else right[0], right[1]

    few = st.integers(0, 3)
    return st.one_of(
        inner.map(lists),
        st.builds(bounded_lists, inner, few, few),
        st.lists(inner, min_size=1, max_size=3).map(tuples),
        inner.map(lambda kind: (dict[str, kind[0]], st.dictionaries(TEXT, kind[1], max_size=3))),
        st.builds(unions, inner, inner),
        st.lists(st.tuples(inner, st.booleans()), max_size=5).map(record),
    )


NAMES = ["name", "a b", 'quo"te', "ünï", "back\\slash"]


def record(fields: list[tuple[Kind, bool]]) -> Kind:
    """A model of some fields; those that are not required may be left out of the text."""
    made: dict[str, Any] = {}
    for at, ((annotation, _), needed) in enumerate(fields):
        made[f"f{at}"] = (annotation, Field(*([] if needed else [None]), alias=NAMES[at]))
    model = create_model("Record", **made)
    values = st.fixed_dictionaries(
        {NAMES[at]: kind[1] for at, (kind, needed) in enumerate(fields) if needed},
        optional={NAMES[at]: kind[1] for at, (kind, needed) in enumerate(fields) if not needed},
    )
    return model, values.map(lambda found: {name: found[name] for name in NAMES if name in found})


KINDS: st.SearchStrategy[Kind] = st.recursive(
    st.sampled_from(PLAIN) | whole_numbers() | decimal_numbers() | texts(), combined, max_leaves=6
)


@given(st.data())
def test_every_text_of_every_content_is_accepted(data: st.DataObject) -> None:
    annotation, contents = data.draw(KINDS)
    content = data.draw(contents)
    constraint = typed(annotation)
    for text in written(content):
        assert accepts(constraint, text), (text, grammar_of(constraint))


@given(st.data())
def test_what_is_accepted_is_json_with_a_space_behind_colons_at_most(data: st.DataObject) -> None:
    annotation, contents = data.draw(KINDS)
    text = written(data.draw(contents))[data.draw(st.integers(0, 3))]
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.sampled_from(["", *' \n\t"\\,:[]{}01-.e\x01ü', "null", '"a":1,', ',"zz":0']))
    changed = text[:at] + new + text[at + data.draw(st.integers(0, 1)) :]
    if accepts(typed(annotation), changed):
        json.loads(changed)
        between = re.sub(r'"(?:[^"\\]|\\.)*"', "", changed)
        assert not re.search(r"\s", between.replace(": ", ":"))


EXACT: st.SearchStrategy[Kind] = st.recursive(
    st.sampled_from([kind for kind in PLAIN if kind[0] not in LOOSE]) | whole_numbers() | texts(),
    combined,
    max_leaves=5,
)


@given(EXACT, st.integers(0, 99))
def test_what_is_generated_is_valid(kind: Kind, seed: int) -> None:
    text = walk(typed(kind[0]), Random(seed))
    if text is not None:
        TypeAdapter(kind[0]).validate_json(text)


def typed_as(annotation: Any) -> ResultType:
    try:
        return result_type(annotation)
    except BadOp:  # nothing but null, say
        reject()


@given(st.data())
def test_every_content_is_written_in_the_language_of_its_type(data: st.DataObject) -> None:
    annotation, contents = data.draw(KINDS)
    kind = typed_as(annotation)
    try:
        content = kind.keep(data.draw(contents), "it")
    except BadOperand:  # a union that reads its own text as another of its types
        reject()
    text = kind.render(content)
    assert kind.constraint is None or accepts(kind.constraint, text), text
    assert kind.kind == "text" or kind.parse(text) == content  # of a free text its ends are cut


@given(KINDS, st.integers(0, 99))
def test_whatever_is_accepted_reads_to_a_content_or_is_malformed(kind: Kind, seed: int) -> None:
    made = typed_as(kind[0])
    text = None if made.constraint is None else walk(made.constraint, Random(seed))
    if text:
        with suppress(Malformed):
            content, kept = made.read(text)
            assert made.read(kept) == (content, kept)


@given(KINDS, st.integers(0, 99))
def test_a_server_without_a_model_writes_what_the_grammar_takes(kind: Kind, seed: int) -> None:
    constraint = typed(kind[0])
    text = sample(grammar_of(constraint), Dice(str(seed)))
    assert accepts(constraint, text), (text, grammar_of(constraint))
    json.loads(text)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Annotated[int, Field(ge=10**12)], [10**12, 10**30], [10**12 - 1]),
        (Annotated[int, Field(le=-(10**12))], [-(10**12), -(10**30)], [1 - 10**12]),
        (Annotated[int, Field(lt=10**12)], [10**12 - 1, -FAR], [10**12]),
        (Annotated[int, Field(gt=-(10**12))], [1 - 10**12, FAR], [-(10**12)]),
        (Annotated[int, Field(le=10**19)], [10**19, -FAR], [10**19 + 1]),
        (Annotated[str, Field(min_length=401)], ["a" * 401, '\n"\\' * 999], ["a"]),
        (Annotated[list[int], Field(min_length=17)], [[0] * 17, [0] * 90], [[0] * 16]),
        (list[bool], [[True] * 500], []),
        (list[str], [["a" * 5000]], []),
        (int, [4294967296, FAR], []),
        (float, [1e-300, 0.1234567890123456, 1.7e308], []),
    ],
)
def test_the_users_bounds_are_the_only_ones(annotation: Any, good: Any, bad: Any) -> None:
    constraint = typed(annotation)
    assert all(accepts(constraint, text) for one in good for text in written(one))
    assert not any(accepts(constraint, text) for one in bad for text in written(one))


def test_a_model_that_allows_extras_takes_them_behind_its_own() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int = 0

    constraint = typed(Open)
    for text in ("{}", '{"a":1}', '{"a":1,"z":[null]}', '{"z":1}'):
        assert accepts(constraint, text)
