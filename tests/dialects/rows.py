"""How a row of recorded answers is written, and what rows of several servers have in common."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from dialect_kit import Recorded, piece, said, stream
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


ANN = Person(name="Ann", age=7)
ANN_JSON = '{"name":"Ann","age":7}'
Colour = Literal["red", "green"]


class Row(NamedTuple):
    server: str
    answers: tuple[Recorded, ...]
    out: Any
    words: str = ""
    kind: Any = str
    requests: int = 1
    stream: bool = False


def row(server: str, answers: Any, out: Any, words: str = "", **more: Any) -> Row:
    several = answers if type(answers) is tuple else (answers,)
    return Row(server, several, out, words, **more)


def streamed(server: str, *events: bytes, out: Any = "Hello.", words: str = "", **more: Any) -> Row:
    return row(server, stream(*events), out, words, stream=True, **more)


def no(message: str, status: int, **error: Any) -> Recorded:
    return said({"error": {"message": message, **error}}, status)


HELLO = (piece("", role="assistant"), piece("Hel"), piece("lo."), piece(None, "stop"))
USE_OTHER = no(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
    400,
    type="invalid_request_error",
    param="max_tokens",
    code="unsupported_parameter",
)
NO_TEMPERATURE = no(
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1)"
    " value is supported.",
    400,
    param="temperature",
    code="unsupported_value",
)
