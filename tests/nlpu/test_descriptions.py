"""What types say of themselves is told to the model, once: Enums, unions, descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from nlpu import Chat, op
from nlpu.errors import BadOp
from nlpu.ops.op import Op, Operand
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


class Pup(BaseModel):
    age: Annotated[int, "in months"]
    toys: list[Annotated[str, "one word"]] | None = Field(validation_alias="things")
    home: Pup | None = None


@dataclass
class Bed:
    """Where one sleeps."""

    wide: Annotated[int, Field(ge=1), "in centimetres"]


class Shelf(TypedDict):
    high: Annotated[int, "in metres"]


class Spot(NamedTuple):
    x: Annotated[int, "eastward"]
    y: int


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
    (list[Annotated[int, "in years"]], "each: in years"),
    (Annotated[list[Annotated[int, "in years"]], "all ages"], "all ages\neach: in years"),
    (dict[str, Annotated[int, "in years"]], "each: in years"),
    (tuple[Annotated[int, "in years"], ...], "each: in years"),
    (dict[str, list[Annotated[int, "in years"]]], "each[]: in years"),
    (Pup, "age: in months\nthings[]: one word"),
    (list[Pup], "each.age: in months\neach.things[]: one word"),
    (Bed, "wide: in centimetres\nWhere one sleeps.\nwide: at least 1"),
    (Shelf, "high: in metres"),
    (RootModel[Annotated[int, "in years"]], "in years"),
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


def test_the_fields_of_a_named_tuple_are_told_of_too() -> None:
    for out, where in ((Spot, ""), (list[Spot], "each: "), (dict[str, list[Spot]], "each[]: ")):
        told = constants_of(SECOND, op("Say it.", out)).split("\n")
        assert f"{where}Here the items are x, y." in told
    assert "x: eastward" in constants_of(SECOND, op("Say it.", Spot))
    taken = constants_of(SECOND, of(("spot", Spot)))
    assert "Spot: Here the items are x, y." in taken.split("\n")


# -- operands ------------------------------------------------------------------------------------


def of(*operands: tuple[str, Any], out: Any = bool) -> Op[Any]:
    places = tuple(Operand(name, result_type(kind)) for name, kind in operands)
    return Op("asked", "Is it urgent?", places, result_type(out))


def test_what_operands_say_of_themselves_is_told_too() -> None:
    asked = of(
        ("visit", Visit),
        ("soon", Urgency),
        ("note", Annotated[str, "of the nurse"]),
        ("pups", list[Pup]),
        ("bed", Bed),
    )
    assert constants_of(SECOND, asked).split("\n") == [
        "Is it urgent?",
        "Answer yes or no.",
        "Visit.soon: as the caller said. Here 1 is today, 2 is next week.",
        "Visit.tongue: Here en is english, de is german.",
        "Visit.only: Here 1 is forever.",
        "Visit.who: A cat of the house.",
        "Visit.who: A dog of the yard.",
        "Visit.who.bones: how many it has",
        "Soon: How soon it must be done.",
        "Soon: Here 1 is today, 2 is next week.",
        "Note: of the nurse",
        "Pups: each.age: in months",
        "Pups: each.things[]: one word",
        "Bed: wide: in centimetres",
        "Bed: Where one sleeps.",
    ]  # no bounds: an operand has the value that it has


@pytest.mark.parametrize("taken", [Visit, list[Visit], Visit | None])
def test_what_the_result_says_is_not_told_again_of_operands(taken: Any) -> None:
    asked = of(("visit", taken), out=Visit)
    assert constants_of(SECOND, asked) == constants_of(SECOND, of(out=Visit))
    twice = constants_of(SECOND, of(("one", taken), ("other", taken)))
    assert twice.count("as the caller said") == twice.count("A cat of the house.") == 1


def test_of_chats_and_under_the_first_convention_nothing_is_told() -> None:
    assert constants_of(SECOND, of(("chat", Chat))) == constants_of(SECOND, of())
    assert constants_of(FIRST, of(("visit", Visit))) == constants_of(FIRST, of())


def test_what_an_operand_says_is_in_the_digest() -> None:
    plain, noted = of(("note", str)), of(("note", Annotated[str, "of the nurse"]))
    assert plain.digest != noted.digest
    assert plain.digest.hex() == "53d9e834362d88994aac6f4adc773f13"  # as it was


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
