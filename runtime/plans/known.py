"""What can be known of a value before it is there: its kind, how long a list is, how deep it lies.

    kind    text bool int float choice judgement record | Many of a kind | None: not known

Rules
1. What is not known fits everywhere: it is checked when the call is made.
2. Numbers are upper bounds.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from nlpu.types.from_schema import schema_of
from nlpu.types.result import ResultType

_SCALARS = {"string": "text", "integer": "int", "number": "float", "boolean": "bool"}
_ALSO = {("text", "choice"), ("choice", "text"), ("float", "int")}
_LITERALS = {bool: "bool", str: "text", int: "int", float: "float", dict: "record"}
_WORDS = {"text": "text", "bool": "yes or no", "int": "a whole number", "float": "a number"}


class Many(NamedTuple):
    """The kind of a list."""

    item: Any


class Known(NamedTuple):
    """What is known of a value. ``items``: of a list. ``text``: its content, if it is there.

    size: of a structure written in the text, with the structures it refers to.
    """

    kind: Any = None
    items: float = inf
    text: str | None = None
    depth: int = 0  # calls on the longest path that ends in it
    size: int = 1


def of_type(kind: ResultType) -> Known:
    """What a type says of its contents."""
    if kind.kind != "json":
        return Known(kind.kind)
    schema = schema_of(kind)
    return Known(_of_schema(schema), schema.get("maxItems", inf))


def _of_schema(schema: Any) -> Any:
    if schema.get("type") == "array":
        return Many(_of_schema(schema.get("items", {})))
    if "enum" in schema:
        return "choice"
    return _SCALARS.get(schema.get("type", ""), "record" if "properties" in schema else None)


def of_literal(content: Any, parts: list[Known]) -> Known:
    """What a literal is; ``parts`` are what a list or a record holds."""
    size = 1 + sum(part.size for part in parts)
    if isinstance(content, list):
        same = all(part.kind == parts[0].kind for part in parts)
        return Known(Many(parts[0].kind if parts and same else None), len(parts), size=size)
    text = content if type(content) is str else None
    return Known(_LITERALS.get(type(content)), text=text, size=size)


def fits(place: Any, found: Any) -> bool:
    """Whether a value of one kind may stand where another is wanted."""
    if None in (place, found) or place == found:
        return True
    if isinstance(place, Many) and isinstance(found, Many):
        return fits(place.item, found.item)
    return (place, found) in _ALSO


def said(kind: Any) -> str:
    """A kind, for people."""
    if isinstance(kind, Many):
        return f"a list of {said(kind.item)}"
    return _WORDS.get(kind, f"a {kind}" if kind else "something")
