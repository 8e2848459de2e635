"""Types as text, both ways.

    str bool int float judgement | "a" | "b" | list[str] | json "Name" {schema}

and behind each, what the type says of itself: ``about "..."``.

Rules
1. A type that is read is equal to the one that was written; its contents are plain JSON.
"""

from __future__ import annotations

import json
from types import GenericAlias
from typing import Any, Literal

from nlpu.errors import BadOp
from nlpu.judgement import Judgement
from nlpu.runtime.plans.lexer import Line
from nlpu.types.from_schema import plain, schema_of, schema_type
from nlpu.types.result import ResultType, choices_of, result_type, saying

_PLAIN: dict[str, Any] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "judgement": Judgement,
}


def read_type(line: Line) -> ResultType:
    """The type that stands next in the line. Raises BadProgram."""
    column = line.next.column
    try:
        made = _type_at(line)
        return saying(made, line.string("what is said of it")) if line.given("about") else made
    except BadOp as error:
        line.refuse(column, str(error))


def _type_at(line: Line) -> ResultType:
    if line.next.kind == "string":
        texts = [line.string("a choice")]
        while line.given("|"):
            texts.append(line.string("a choice"))
        return result_type(Literal[tuple(texts)])
    word = line.given(*_PLAIN, "list", "json")
    if word == "json":
        return schema_type(line.string("the name of the type in quotes"), line.json())
    if word == "list":
        line.expect("[")
        inner = line.given("str", "bool", "int", "float") or line.fail("str, bool, int or float")
        line.expect("]")
        return _list_type(_PLAIN[inner])
    if not word:
        line.fail('a type: str, bool, int, float, judgement, "a" | "b", list[str] or json')
    return result_type(_PLAIN[word])


def _list_type(item: Any) -> ResultType:
    """The type of a list of plain contents."""
    return plain(result_type(GenericAlias(list, (item,))))


def write_type(kind: ResultType) -> str:
    """A type as text."""
    return f"{_written(kind)} about {_json(kind.about)}" if kind.about else _written(kind)


def _written(kind: ResultType) -> str:
    for word, annotation in _PLAIN.items():
        if kind == result_type(annotation):
            return word
        if word != "judgement" and kind == _list_type(annotation):
            return f"list[{word}]"
    if kind.kind == "choice":
        return " | ".join(map(_json, choices_of(kind.annotation)))
    return f"json {_json(kind.name)} {_json(schema_of(kind))}"


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
