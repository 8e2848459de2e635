"""What a batch with a name keeps of results: they read back as they were, or their items failed."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from nlpu import FakeClock, ProgramError, Value
from nlpu.runtime.computer import Computer
from nlpu.runtime.fleet.item import Item
from nlpu.testing.scripted import Scripted


class Colour(enum.Enum):
    RED = "red"


class Picture(BaseModel):
    raw: bytes
    seen: date = date(2020, 1, 1)
    secret: int = Field(0, exclude=True)


class Foreign:
    def __str__(self) -> str:
        return "a foreign object"


def lives(program: Callable[..., Any], folder: str | Path) -> tuple[Item, Item]:
    """The item of one input, as it is made and as a later life has it."""

    def life() -> Item:
        with Computer(Scripted("x"), run_dir=folder, clock=FakeClock()) as machine:
            (item,) = machine.map(program, ["a"], name="kept")
        return item

    return life(), life()


def giving(content: Any, annotation: Any = None) -> Callable[..., Any]:
    """A program that gives this."""

    def gives(text: str) -> Any:
        return content

    gives.__annotations__.pop("return")
    if annotation is not None:
        gives.__annotations__["return"] = annotation
    return gives


MANY = (1, {"b", "a"}, Colour.RED, b"ab")
KEPT = [
    (date(2020, 1, 1), None, "2020-01-01"),
    (date(2020, 1, 1), date, date(2020, 1, 1)),
    (Picture(raw=b"ab"), None, {"raw": "ab", "seen": "2020-01-01"}),
    (Picture(raw=b"ab"), Picture, Picture(raw=b"ab")),
    (MANY, tuple[int, set[str], Colour, bytes], MANY),
    (Value(Picture(raw=b"ab")), Value[Picture], Picture(raw=b"ab")),
    ((Value(b"ab"), 1), tuple[Value[bytes], int], (b"ab", 1)),
    ([Value(date(2020, 1, 1))], list[Value[date] | None], [date(2020, 1, 1)]),
    (Value((1, 2)), Value, [1, 2]),
    ((1, 2), list[int], [1, 2]),
    ({1: (1, date(2020, 1, 1))}, dict[int, Any], {1: [1, "2020-01-01"]}),
    ([math.inf, -math.inf], None, [math.inf, -math.inf]),
    ({"half": "\ud800", "x": Foreign()}, None, {"half": "\ud800", "x": "a foreign object"}),
    ("\ud800", str, "\ud800"),
    (None, str, None),
]


@pytest.mark.parametrize(("content", "annotation", "read"), KEPT)
def test_a_result_is_the_same_in_all_lives(
    content: Any, annotation: Any, read: Any, tmp_path: Path
) -> None:
    one, two = lives(giving(content, annotation), tmp_path)
    assert (one.result, two.result) == (read, read)
    assert type(one.result) is type(two.result) is type(read) and one.line() == two.line()


REFUSED = [
    ({"name": "a", "raw": [b"\x89PNG"]}, None, r"result\['raw'\]\[0\] .* utf-8 .*\(bytes\)"),
    (b"\xff\x00", bytes, r"\(bytes\)"),
    (Picture(raw=b"\xff"), Picture, r"result\['raw'\]"),
    (Picture(raw=b"a", secret=3), Picture, "is read as another value"),
    (Foreign(), Foreign, "is read as another value"),
]


@pytest.mark.parametrize(("content", "annotation", "why"), REFUSED)
def test_a_result_that_would_be_another_fails_its_item(
    content: Any, annotation: Any, why: str, tmp_path: Path
) -> None:
    one, two = lives(giving(content, annotation), tmp_path)
    assert one.status == two.status == "failed" and one.line() == two.line()
    for item in (one, two):
        with pytest.raises(ProgramError, match=why):
            _ = item.result


def test_a_result_that_is_long_is_told_apart_from_the_sentence_and_cut(tmp_path: Path) -> None:
    long = Picture(raw=b"a" * 500, secret=3)
    one, _ = lives(giving(long, Picture), tmp_path)
    assert one.why[1].endswith(f'. It is: {{"raw":"{"a" * 71}…')


def test_a_batch_without_a_name_keeps_nothing_and_gives_what_there_is() -> None:
    with Computer(Scripted("x"), clock=FakeClock()) as machine:
        (item,) = machine.map(giving(b"\xff"), ["a"])
    assert item.result == b"\xff"
    with pytest.raises(ProgramError, match="result of input 1 has no JSON form"):
        item.line()


def test_a_kill_before_its_end_was_noted_refuses_it_all_the_same(tmp_path: Path) -> None:
    one, _ = lives(giving(b"\xff"), tmp_path)
    for file in tmp_path.glob("kept.items*"):
        file.unlink()
    again, _ = lives(giving(b"\xff"), tmp_path)
    assert again.status == "failed" and again.line() == one.line()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ANY = st.recursive(
    PLAIN | st.binary(max_size=3) | st.dates() | st.just(Colour.RED) | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=4,
)
KINDS: list[Any] = [bytes, str, list[bytes], tuple[bytes, date], float, set[int], list[Any], Colour]


@settings(max_examples=60, deadline=None)
@given(ANY, st.none() | st.sampled_from(KINDS))
def test_read_of_write_is_what_was_given(content: Any, annotation: Any) -> None:
    """In all lives, or it is refused in all."""
    with TemporaryDirectory() as folder:
        one, two = lives(giving(content, annotation), folder)
    assert one.status == two.status and one.line() == two.line()
    held = [repr(each.result) for each in (one, two) if each.status == "done"]
    assert len({*held}) <= 1 and json.loads(one.line())["index"] == 0


@settings(max_examples=40, deadline=None)
@given(PLAIN)
def test_what_json_has_is_kept_as_it_is(content: Any) -> None:
    with TemporaryDirectory() as folder:
        one, two = lives(giving(content), folder)
    assert repr(one.result) == repr(two.result) == repr(content)
