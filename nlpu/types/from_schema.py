"""Result types from JSON schemas: for types that come as data, with no Python class behind them.

Theory of operation
-------------------
A schema becomes a validator piece by piece, by hand: nothing in it is evaluated, imported or
fetched. Contents are plain JSON: a record is a dict, a choice a text. The type is equal to the one
that the schema was made from and gives the same texts, so the same calls have the same keys.

Rules
1. Only the keywords read here mean anything; a schema of another shape is refused, not guessed at.
2. Bounds bind the content and not only the engine: a list of a type from data is never longer.
3. Patterns are matched by pydantic's engine without backtracking: no text makes them slow.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic_core import CoreSchema
from pydantic_core import core_schema as core

from nlpu.errors import BadOp
from nlpu.types.forms import tidy
from nlpu.types.result import ResultType, adapter, choices_of, json_type

_DEEPEST = 24  # levels
_MOST_REFS = 24  # definitions that use each other twice double what must be looked at
_REF = "#/$defs/"


def schema_type(name: str, schema: Any) -> ResultType:
    """The ResultType of a JSON schema. Raises BadOp."""
    try:
        if json.dumps(schema).count('"$ref"') > _MOST_REFS:
            raise BadOp(f"it has more than {_MOST_REFS} references")
        schema = tidy(schema)
        _check_cycles(schema.get("$defs", {}))
        made = json_type(name, schema, PlainJson(json.dumps(schema)))
        adapter(made.annotation)
    except Exception as error:  # pydantic has many ways to refuse a pattern or a bound (rule 1)
        raise BadOp(f"the schema of {name!r} cannot be used: {str(error)[:200]}") from error
    return made


def _check_cycles(named: Any) -> None:
    """Raise BadOp for a type that is itself and nothing else, for which pydantic recurses."""

    def same(part: Any) -> list[str]:
        inner = [one for word in ("anyOf", "oneOf") for one in part.get(word, ())]
        own = [str(part["$ref"]).removeprefix(_REF)] if "$ref" in part else []
        return own + [name for one in inner if isinstance(one, dict) for name in same(one)]

    for start in named:
        seen, new = set[str](), [start]
        while new:
            found = same(part) if isinstance(part := named.get(new.pop()), dict) else []
            if start in found:
                raise BadOp(f"{start} refers to itself and to no value; give it one")
            new += [name for name in found if name not in seen]
            seen.update(found)


def plain(kind: ResultType) -> ResultType:
    """An equal type whose contents are plain JSON, checked as rule 2 says. Raises BadOp."""
    if kind.kind == "choice":
        return replace(kind, annotation=Literal[tuple(choices_of(kind.annotation))])
    if kind.kind != "json":
        return kind
    return replace(schema_type(kind.name, schema_of(kind)), about=kind.about)


def schema_of(kind: ResultType) -> Any:
    """The JSON schema of a list's or record's type."""
    assert kind.constraint is not None  # of every json type
    return json.loads(kind.constraint.spec)


@dataclass(frozen=True, slots=True)
class PlainJson:
    """What pydantic asks for a validator of plain JSON."""

    spec: str
    is_data: ClassVar[bool] = True  # its texts are held to no format

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        whole = json.loads(self.spec)
        named = whole.get("$defs", {})
        parts: list[Any] = [{**_core(part, 0), "ref": _REF + name} for name, part in named.items()]
        return core.definitions_schema(_core(whole, 0), parts)


def _core(schema: Any, level: int) -> Any:
    """pydantic's own schema for one piece. Raises BadOp (rule 1)."""
    if not isinstance(schema, dict) or level > _DEEPEST:
        raise BadOp(f"{json.dumps(schema):.60} is no schema, or lies too deep")
    if "$ref" in schema:
        return core.definition_reference_schema(str(schema["$ref"]))
    if "enum" in schema or "const" in schema:
        return core.literal_schema(list(schema.get("enum", [schema.get("const")])))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return core.union_schema([_core(option, level + 1) for option in schema[word]])
    make = _MAKERS.get(schema.get("type", ""))
    if make is None:
        raise BadOp(f"{json.dumps(schema):.60} has no type that is known here")
    return make(schema, level)


def _record(schema: Any, level: int) -> Any:
    if "properties" not in schema:
        values = schema.get("additionalProperties", {"type": "null"})
        return core.dict_schema(core.str_schema(), _core(values, level + 1))
    fields = {}
    for name, part in schema["properties"].items():
        inner = _core(part, level + 1)
        if "default" in part:
            inner = core.with_default_schema(inner, default=part["default"])
        fields[name] = core.typed_dict_field(inner, required=name in schema.get("required", ()))
    return core.typed_dict_schema(fields, extra_behavior="forbid")


def _array_of(schema: Any, level: int) -> Any:
    if "prefixItems" in schema:
        return core.tuple_schema([_core(item, level + 1) for item in schema["prefixItems"]])
    return core.list_schema(
        _core(schema.get("items", {}), level + 1),
        min_length=schema.get("minItems"),
        max_length=schema.get("maxItems"),
    )


def _bounds(schema: Any) -> dict[str, Any]:
    return {ours: schema.get(word) for word, ours in _BOUNDS.items()}


_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_MAKERS: dict[str, Any] = {
    "string": lambda s, level: core.str_schema(
        min_length=s.get("minLength"), max_length=s.get("maxLength"), pattern=s.get("pattern")
    ),
    "integer": lambda s, level: core.int_schema(**_bounds(s)),
    "number": lambda s, level: core.float_schema(**_bounds(s), allow_inf_nan=False),
    "boolean": lambda s, level: core.bool_schema(),
    "null": lambda s, level: core.none_schema(),
    "array": _array_of,
    "object": _record,
}
