"""Annotations are read where they stand: types of a function around an op are no globals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from kit import execute
from pydantic import BaseModel

from nlpu import Scripted, driver, nlop
from nlpu.errors import BadOp


class Shape(BaseModel):
    sides: int


def test_a_type_of_the_function_around_an_op_is_its_result() -> None:
    class Colour(BaseModel):
        name: Literal["red", "blue"]

    @nlop
    def read(text: str) -> list[Colour]:
        """Read the colours."""

    assert execute(read, "red", engine=Scripted('[{"name": "red"}]')).result == [Colour(name="red")]


def test_it_hides_a_global_one_of_its_name_as_it_does_in_python() -> None:
    class Shape(BaseModel):
        corners: int

    @nlop(max_tokens=9)
    def read(text: str) -> Shape:
        """Read the shape."""

    assert execute(read, "cube", engine=Scripted('{"corners": 8}')).result == Shape(corners=8)


def test_so_does_one_two_functions_away_and_one_of_a_class() -> None:
    class Colour(BaseModel):
        name: str

    def made() -> Callable[..., Any]:
        class Painter:
            class Tint(BaseModel):
                share: float

            @staticmethod
            @nlop
            def mix(colour: Colour) -> Tint:
                """Mix the colour."""

        return Painter.mix

    result = execute(made(), Colour(name="red"), engine=Scripted('{"share": 0.5}')).result
    assert result.model_dump() == {"share": 0.5}


def test_a_driver_has_them_too() -> None:
    class Place(BaseModel):
        name: str

    @driver(effect="read")
    def find(name: str) -> Place:
        """Find it."""
        return Place(name=name)

    assert execute(lambda: find("Oslo")).result == Place(name="Oslo")


@pytest.mark.parametrize("said", ["Missing", "Shape.gone", "int or", "1/0"])
def test_what_cannot_be_read_is_told_whatever_it_raises(said: str) -> None:
    def read(text: str) -> Any:
        """Read."""

    read.__annotations__["return"] = said
    with pytest.raises(BadOp, match="an annotation of read cannot be read: "):
        nlop(read)
