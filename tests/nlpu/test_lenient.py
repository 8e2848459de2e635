"""Replies that can only mean one thing, written otherwise than their type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from nlpu.errors import Malformed
from nlpu.types.lenient import fenced
from nlpu.types.result import result_type


class Person(BaseModel):
    name: str
    age: int


ANN = Person(name="Ann", age=7)
TEXT = '{"name":"Ann","age":7}'
OTHER = '{"name":"Bob","age":1}'
Case = Literal["a", "A", "b"]
Marks = Literal["*", "**"]
Dotted = Literal["e.g.", "etc"]
TICKS = '{"name":"```\\n```","age":7}'

READ: list[tuple[Any, str, Any]] = [
    (Person, f"```json\n{TEXT}\n```", ANN),
    (Person, f"~~~\n{TEXT}\n~~~", ANN),
    (Person, f"```{TEXT}```", ANN),
    (Person, f"So:\n\n```JSON\n{TEXT}\n```\n\nThat is all.", ANN),
    (Person, f"````\n{TICKS}\n````", Person(name="```\n```", age=7)),
    (list[int], "```\n[1, 2]\n```", [1, 2]),
    (Annotated[int, Field(ge=1, le=9)], "7.", 7),
    (bool, "Yes.", True),
    (bool, "`no`", False),
    (bool, "**Yes.**", True),
    (bool, "```\nyes\n```", True),
    (Literal["red", "green"], "Red", "red"),
    (Literal["red", "green"], '"GREEN".', "green"),
    (Case, "A", "A"),
    (Case, "B", "b"),
    (Dotted, "e.g.", "e.g."),
    (Dotted, "E.g.", None),
    (Dotted, "Etc.", "etc"),
    (int, "3.0", 3),
    (int, "-42.", -42),
    (int, "**7**", 7),
    (float, "2.50.", 2.5),
    (int, "3.5", None),
    (int, "1,000", None),
    (int, "about 3", None),
    (int, "1.000.000", None),
    (bool, "Yes, it is.", None),
    (bool, "yes no", None),
    (bool, "", None),
    (Literal["a", "A"], "a.", "a"),
    (Literal["ab", "AB"], "Ab", None),
    (Marks, "**", "**"),
    (Marks, '"*"', "*"),
    (Marks, "***", None),
    (Person, f"```\n{TEXT}\n```\n```\n{TEXT}\n```", None),
    (Person, f"```\n{TEXT}", None),
    (bool, "I say\n```\nyes\n```", None),
    (Person, f"As in [1], for {{so}}:\n```\n{TEXT}\n```\n", ANN),
    (Person, f"{TEXT}\n\nIn this form:\n```\n{OTHER}\n```", None),  # which is meant?
    (Person, f"Not\n```\n{OTHER}\n```\nbut {TEXT}", None),
    (list[int], "First\n~~~\n[1]\n~~~\nthen [2].", None),
    (list[int], f"{'[' * 9000}\n```\n[1]\n```", None),
    (int | None, "5\n```\n6\n```", None),
    (int | None, "It was 5, now:\n```\n6\n```", 6),
]


@pytest.mark.parametrize(("annotation", "text", "content"), READ, ids=[text for _, text, _ in READ])
def test_what_is_meant_is_read_and_nothing_is_guessed(
    annotation: Any, text: str, content: Any
) -> None:
    kind = result_type(annotation)
    if content is None:
        with pytest.raises(Malformed):
            kind.parse(text)
    else:
        assert kind.parse(text) == content
        assert kind.parse(kind.render(kind.parse(text))) == content


def test_one_fence_or_none() -> None:
    assert fenced("```py\nx\n```") == "x" == fenced("a\n```\nx\n```\nb")
    assert fenced("a\n```\nx\n```\nb", whole=True) is None
    assert fenced("no fence") is None is fenced("```")
