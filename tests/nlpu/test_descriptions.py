"""What types say of themselves is told to the model, once: Enums, unions, descriptions."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from nlpu import op
from nlpu.errors import BadOp
from nlpu.prompt.convention import FIRST, SECOND
from nlpu.prompt.layout import constants_of
from nlpu.runtime.plans.lexer import Line
from nlpu.runtime.plans.types import read_type, write_type
from nlpu.types.from_schema import plain
from nlpu.types.result import result_type


class Urgency(Enum):
    """How soon it must be done."""

    TODAY = 1
    NEXT_WEEK = 2


class Mood(Enum):
    GLAD = "glad"
    CRESTFALLEN = "sad"


class Tongue(Enum):
    ENGLISH = "en"
    GERMAN = "de"
    X = "x"


class Only(IntEnum):
    FOREVER = 1


class Cat(BaseModel):
    """A cat of the house."""

    lives: int


class Dog(BaseModel):
    """A dog of the yard."""

    bones: int = Field(description="how many it has")


class Visit(BaseModel):
    soon: Urgency = Field(description="as the caller said")
    mood: Mood
    tongue: Tongue
    only: Only
    who: Cat | Dog


URGENT = "How soon it must be done.\nHere 1 is today, 2 is next week."
Age = Annotated[int, Field(description="the age in years")]
TOLD: list[tuple[Any, str]] = [
    (Urgency, URGENT),
    (Mood, ""),
    (Tongue, "Here en is english, de is german."),
    (Annotated[Urgency, "as the caller said"], f"as the caller said\n{URGENT}"),
    (Annotated[str, "one word, in  French"], "one word, in French"),
    (Annotated[str, Field(description="one word")], "one word"),
    (Annotated[str, Field(min_length=1, description="one word")], "one word"),
    (Annotated[str, Field(min_length=1), "one word"], "one word"),
    (Annotated[bool, "whether it rains"], "whether it rains"),
    (Age, "the age in years"),
    (Annotated[int, Field(ge=0, description="the age in years")], "the age in years; at least 0"),
    (Annotated[Literal["a", "b"], "the better one"], "the better one"),
    (Annotated[list[int], Field(description="all ages")], "all ages"),
    (Annotated[list[int], "all ages"], "all ages"),
    (Cat | Dog, "A cat of the house.\nA dog of the yard.\nbones: how many it has"),
    (Age | None, "the age in years"),
    (Annotated[str, "a name"] | int, "a name"),
    (Urgency | None, URGENT.replace("\n", " ")),
    (list[Tongue], "each: Here en is english, de is german."),
]


@pytest.mark.parametrize(("out", "told"), TOLD)
def test_what_a_type_says_is_told_once_behind_its_form(out: Any, told: str) -> None:
    asked = op("Say it.", out)
    first, *rest = constants_of(SECOND, asked).split("\n")
    assert first == "Say it."
    assert "\n".join(rest).removeprefix(asked.result.contract).strip("\n") == told


def test_what_a_records_enums_mean_is_told_at_their_fields() -> None:
    constants = constants_of(SECOND, op("Note the visit.", Visit))
    for line in (
        "soon: as the caller said. Here 1 is today, 2 is next week.",
        "tongue: Here en is english, de is german.",
        "only: Here 1 is forever.",
        "who: A cat of the house.",
        "who: A dog of the yard.",
        "who.bones: how many it has",
    ):
        assert constants.count(line) == 1
    assert "glad is" not in constants and "mood:" not in constants


@pytest.mark.parametrize(("out", "told"), TOLD)
def test_the_first_convention_says_what_it_said(out: Any, told: str) -> None:
    constants = constants_of(FIRST, op("Say it.", out))
    assert "Here " not in constants and "the caller" not in constants


def test_what_is_told_is_in_the_digest_and_nothing_else_is() -> None:
    plain = op("Say it.", str)
    assert op("Say it.", Annotated[str, "a"]).digest != op("Say it.", Annotated[str, "b"]).digest
    assert op("Say it.", Annotated[str, ""]).digest == plain.digest
    assert op("Say it.", Mood).digest == op("Say it.", Literal["glad", "sad"]).digest
    assert result_type(Annotated[str, "a"]) == result_type(str)  # what fits one fits the other
    with pytest.raises(BadOp, match="a type's description has a lone surrogate"):
        op("Say it.", Annotated[str, "a\ud800"])


@pytest.mark.parametrize(("out", "told"), TOLD)
def test_a_type_as_text_says_it_too(out: Any, told: str) -> None:
    kind = result_type(out)
    if kind.kind == "text" and kind.annotation is not str:
        return  # a text with bounds has no form there
    back = read_type(Line(1, write_type(kind)))
    assert back == kind and back.about == kind.about
    assert plain(kind).about == kind.about and told.startswith(back.about)


@given(st.text("abcXYZ_09", min_size=1).filter(str.isidentifier))
def test_a_name_that_is_its_value_is_not_told(name: str) -> None:
    try:
        made = Enum("Made", {name: name.lower()})  # type: ignore[misc]
    except ValueError:  # a name that Enum keeps for itself
        return
    assert not list(made) or result_type(made).about == ""
