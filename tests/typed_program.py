"""What a type checker sees of a program: checked by mypy (pyproject.toml), and run by a test."""

from __future__ import annotations

from typing import Literal, assert_type

from nlpu import Op, Unsure, Value, ahead_by, cascade, nlop, op, split, verified


@nlop
def summarize(text: str) -> str:
    """Summarise the text."""


@nlop(temperature=0.7)
def mood(text: str) -> Literal["glad", "sad"]:
    """What is the mood of the text?"""


is_long = op("Is the text long?", out=bool)


def program(book: str) -> Value[str]:
    assert_type(summarize, Op[str])
    parts = summarize.map(split(book, 64))
    assert_type(parts, Value[list[str]])
    whole = summarize.reduce(parts)
    assert_type(whole, Value[str])
    assert_type(mood(whole), Value[Literal["glad", "sad"]])
    assert_type(is_long(whole), Value[bool])
    assert_type(whole.value, str)
    assert_type(ahead_by(2)(is_long)(whole), Value[bool | Unsure])
    assert_type(cascade(summarize, verified(bool)(summarize))(whole).value, str | Unsure)
    return whole
