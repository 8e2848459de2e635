"""Result types: parse and render, bounds, and engines that keep them."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, execute, finish
from pydantic import BaseModel, Field, field_validator

from nlpu import Op, op
from nlpu.errors import Malformed
from nlpu.isa import Line, Numbers, rank
from nlpu.judgement import Judgement
from nlpu.testing.scripted import Scripted
from nlpu.types.result import result_type


class Mood(Enum):
    GOOD = "good"
    BAD = 2


class Person(BaseModel):
    name: str
    age: int
    tags: list[str] = []


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (Judgement, st.builds(Judgement, answer=st.booleans(), probability=st.floats(0, 1))),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (Literal["a", "b c", 3], st.sampled_from(["a", "b c", 3])),
    (Mood, st.sampled_from(Mood)),
    (Annotated[int, Field(ge=1, le=9)], st.integers(1, 9)),
    (Numbers, st.lists(st.integers(1, 99), max_size=8)),
    (list[int], st.lists(st.integers())),
    (list[str], st.lists(TEXT)),
    (list[bool], st.lists(st.booleans())),
    (list[Mood], st.lists(st.sampled_from(Mood))),
    (list[Person], st.lists(st.builds(Person, name=TEXT, age=st.integers(), tags=st.lists(TEXT)))),
    (Person, st.builds(Person, name=TEXT, age=st.integers(), tags=st.lists(TEXT))),
]


@given(st.data())
def test_parse_of_render_is_the_content(data: st.DataObject) -> None:
    annotation, contents = data.draw(st.sampled_from(CASES))
    content = data.draw(contents)
    kind = result_type(annotation)
    assert kind.parse(kind.render(content)) == content
    assert type(kind.parse(kind.render(content))) is type(content)


@given(TEXT)
def test_free_text_is_itself(text: str) -> None:
    kind = result_type(str)
    assert kind.render(text) == text and kind.check(text, "it") == text


@given(st.sampled_from([a for a, _ in CASES]), st.text(max_size=30))
def test_parse_raises_malformed_and_nothing_else(annotation: Any, text: str) -> None:
    with suppress(Malformed):
        result_type(annotation).parse(text)


class Strange(BaseModel):
    age: int

    @field_validator("age")
    @classmethod
    def judge(cls, age: int) -> int:
        raise ZeroDivisionError


def test_a_validator_that_raises_anything_is_malformed() -> None:
    run = execute(lambda: op("Give one", Strange)("x"), engine='{"age":1}')
    assert isinstance(run.error, Malformed)


def test_no_bound_is_added() -> None:
    constraint = result_type(list[Person]).constraint
    assert constraint is not None
    assert not any(word in constraint.spec for word in ("max", "min", "pattern"))


def test_bounds_that_a_type_has_itself_are_kept() -> None:
    assert rank.result == result_type(Numbers) and rank.result.name == "list of int"
    constraint = rank.result.constraint
    assert constraint is not None
    assert '"maximum":99,"minimum":1' in constraint.spec and '"maxItems":8' in constraint.spec
    with pytest.raises(Malformed):
        rank.result.parse("[0]")
    assert result_type(Line).parse("x" * 100) == "x" * 100  # free text: its reading keeps them
    with pytest.raises(Malformed):
        result_type(Line).parse("x" * 101)


@pytest.mark.parametrize("annotation", [a for a, _ in CASES])
def test_the_engine_keeps_every_constraint(annotation: Any) -> None:
    asks: Op[Any] = op("Answer", annotation)
    with computer(Scripted()) as machine:
        run = finish(machine.start(lambda: asks.map([f"x{n}" for n in range(10)])))
    assert run.status == "done", run.error
    assert len(run.result) == 10


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999"])
def test_what_cannot_be_counted_with_is_no_number(text: str) -> None:
    with pytest.raises(Malformed):
        result_type(float).parse(text)
