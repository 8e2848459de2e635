"""JSON schemas of types, and what a model is told of them.

Theory of operation
-------------------
pydantic makes the schema of a type. It is passed on with the user's bounds and no others; a small
model that runs on is ended by ``max_tokens``, which says so. From the schema come two texts for the
prompt: a *form*, short as code is, and *notes*, what the fields say of themselves.

Rules
1. Nothing is added that narrows: only titles are taken away, and a record's fields are all it has,
   unless its model says otherwise.
2. Form and notes depend on the schema alone, and end where a type contains itself.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

from pydantic import TypeAdapter

from nlpu.types.descriptions import NAMES
from nlpu.types.schemas import DECIMAL, NAMED, Schemas

_FORMATS = {"date": "YYYY-MM-DD", "time": "hh:mm:ss", "date-time": "YYYY-MM-DDThh:mm:ss"}
_MOST = 64  # references written out
_MAPS = ("properties", "$defs", "patternProperties")  # names here are the program's
_CONTENTS = ("enum", "const", "default", "required", "examples", "discriminator")


def schema_for(adapter: TypeAdapter[Any], generator: type[Schemas] = Schemas) -> Any:
    """Make the schema of what a type reads. Raises what pydantic does where there is none."""
    schema = adapter.json_schema(schema_generator=generator)
    for part in parts_of(schema):
        if said := part.pop(NAMED, ""):
            part["description"] = _with(str(part.get("description", "")), said)
    return tidy(schema)


def is_decimal(part: Any) -> bool:
    """Tell whether a schema is that of a Decimal."""
    return any(option.get("pattern") == DECIMAL for option in part.get("anyOf", ()))


def tidy(schema: Any) -> Any:
    """Take titles out of a schema, and close records (rule 1)."""
    if isinstance(schema, list):
        return [tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _entry(key, item) for key, item in schema.items() if key != "title"}
    if out.get("type") == "object" and "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def _entry(key: str, item: Any) -> Any:
    if key in _MAPS:
        return {name: tidy(sub) for name, sub in item.items()}
    return item if key in _CONTENTS else tidy(item)


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Go through a schema and all schemas in it."""
    if isinstance(schema, list):
        for item in schema:
            yield from parts_of(item)
    elif isinstance(schema, dict):
        yield schema
        for key, item in schema.items():
            inner = list(item.values()) if key in _MAPS else item
            yield from () if key in _CONTENTS else parts_of(inner)


def form(schema: Any, root: Any) -> str:
    """Write a schema as a short form: {"name": string, "age": integer}."""
    if "$ref" in schema:
        name, target, rest = _followed(schema, root)
        return name if target is None else form(target, rest)
    if "enum" in schema:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            forms = (form(option, root) for option in schema[word])
            return " | ".join(dict.fromkeys(forms))
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return form(schema["allOf"][0], root)
    if "properties" in schema:
        parts = (f'"{key}": {form(sub, root)}' for key, sub in schema["properties"].items())
        return "{" + ", ".join(parts) + "}"
    return _plain(schema, root)


def _plain(schema: Any, root: Any) -> str:
    kind = schema.get("type")
    if kind == "array" and "prefixItems" in schema:
        return "[" + ", ".join(form(item, root) for item in schema["prefixItems"]) + "]"
    if kind == "array":
        return f"[{form(schema.get('items', {}), root)}, ...]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return "{string: " + form(values if isinstance(values, dict) else {}, root) + ", ...}"
    if kind == "string" and schema.get("format") in _FORMATS:
        return f'"{_FORMATS[schema["format"]]}"'
    return str(kind or "value")


def notes(schema: Any) -> str:
    """What the fields of a schema say of themselves, a line for each that says something."""
    return "\n".join(dict.fromkeys(_notes(schema, {"$defs": schema.get("$defs", {})}, "")))


def _notes(schema: Any, root: Any, where: str) -> Iterator[str]:
    if "$ref" in schema:
        _, target, rest = _followed(schema, root)
        if target is not None:
            yield from _notes(target, rest, where)
        return
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for option in schema.get(word, ()):
            yield from _notes(option, root, where)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _notes(schema[key], root, where)
    for name, part in schema.get("properties", {}).items():
        place = f"{where}.{name}" if where else name
        if about := " ".join(str(part.get("description", "")).split()):
            yield f"{place}: {about}"
        yield from _notes(part, root, place)


def _followed(schema: Any, root: Any) -> tuple[str, Any, Any]:
    """A reference's name, its target (None within itself), and a root that knows it is open.

    After ``_MOST`` of them a name stands for itself: types that use each other many times would
    be written out along every path.
    """
    name = schema["$ref"].rsplit("/", 1)[-1]
    followed = root.setdefault("followed", [0])
    followed[0] += 1
    target = root["$defs"][name] if followed[0] <= _MOST else None
    return name, target, {"$defs": {**root["$defs"], name: None}, "followed": followed}


def told(
    schema: Any, unsaid: Container[str] = (), where: str = "", bounds: bool = True
) -> Iterator[tuple[str, str]]:
    """What a schema says beyond its form, with the place that it is said of.

    unsaid: descriptions that are nothing to a model. where: what stands at the root. bounds: those
    and formats, too, which only who writes such a value heeds.
    """
    root = {"$defs": schema.get("$defs", {}), "unsaid": unsaid, "bounds": bounds}
    yield from _told(schema, root, where)


def _told(schema: Any, root: Any, where: str) -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        _, target, rest = _followed(schema, root)
        said = {key: item for key, item in schema.items() if key != "$ref"}
        if target is not None:
            if "description" in said and (names := _names_in(target)):  # they are told all the same
                said["description"] = _with(said["description"], names)
            yield from _told({**target, **said}, {**root, **rest}, where)
        return
    described = " ".join(str(schema.get("description", "")).split())
    bounds = _bounds(schema) if root["bounds"] else ()
    about = ["" if described in root["unsaid"] else described, *bounds]
    if line := "; ".join(part for part in about if part):
        yield where, line
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for option in schema.get(word, ()):
            yield from _told(option, root, where)
    if isinstance(schema.get("items"), dict):
        yield from _told(schema["items"], root, f"{where}[]" if where else "each")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _told(schema["additionalProperties"], root, f"{where}.*" if where else "each")
    for name, part in schema.get("properties", {}).items():
        yield from _told(part, root, f"{where}.{name}" if where else name)


def _names_in(schema: Any) -> str:
    """The line of an Enum's description that says what its members mean."""
    line = str(schema.get("description", "")).rpartition("\n")[2]
    return line if ("enum" in schema or "const" in schema) and line.startswith(NAMES) else ""


def _with(description: str, names: str) -> str:
    """A description, as a sentence, and the line of names."""
    text = description.rstrip()
    end = "" if not text or text[-1] in ".!?:;" else "."
    return f"{text}{end}\n{names}".lstrip()


_PLAIN_BOUND = 40
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "of the pattern {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "each once",
    "format": "{}",
}


def _bounds(schema: Any) -> Iterator[str]:
    if is_decimal(schema) or schema.get("pattern") == DECIMAL:
        return
    for word, said in _BOUNDS.items():
        plain = len(str(schema.get(word))) <= _PLAIN_BOUND  # a long pattern tells nobody anything
        if word in schema and plain and not (word == "format" and schema[word] in _FORMATS):
            yield said.format(schema[word])
