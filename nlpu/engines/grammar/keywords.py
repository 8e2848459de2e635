"""What a JSON schema says, read from its keywords.

Theory of operation
-------------------
Schemas are data from anywhere: a keyword may hold anything. What is of the wrong kind is read as if
it were not there, and what must hold together is put into one schema.

Rules
1. ``type`` may be left out where ``properties``, ``items`` or ``prefixItems`` tell it.
2. Counts are whole and not negative; a largest count below the least one is dropped.
3. References stay within the schema: nothing is fetched.
4. Of schemas that must all hold, properties are taken together, and of each other keyword the
   first: dropping a keyword makes a schema wider.
"""

from __future__ import annotations

from math import inf
from typing import Any, TypeVar
from urllib.parse import unquote

from nlpu.errors import ConstraintRejected

Seen = frozenset[str]  # references followed since the last token

Kind = TypeVar("Kind")

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
NOTES = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}


def read(schema: dict[str, Any], word: str, kind: type[Kind]) -> Kind:
    """Read what a keyword holds, or what is empty of its kind."""
    found = schema.get(word)
    return found if isinstance(found, kind) else kind()


def types_of(schema: dict[str, Any]) -> list[str]:
    """Read the types that the schema allows; none if it does not say (rule 1)."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [kind for kind in kinds if kind in TYPES]
    if kinds in TYPES:
        return [str(kinds)]
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def counts(schema: dict[str, Any], least: str, most: str) -> tuple[int, int | None]:
    """Read the bounds of a length (rule 2)."""
    low, high = _count(schema, least) or 0, _count(schema, most)
    return (low, None) if high is not None and high < low else (low, high)


def _count(schema: dict[str, Any], word: str) -> int | None:
    number: Any = schema.get(word)
    return int(number) if type(number) in (int, float) and 0 <= number < inf else None


def pointed(root: Any, name: str) -> Any:
    """Find what a reference points at (rule 3). Raises ConstraintRejected."""
    found, keys = root, unquote(name).split("/")
    try:
        if keys[0] != "#":
            raise KeyError(name)
        for key in (key.replace("~1", "/").replace("~0", "~") for key in keys[1:]):
            found = found[int(key)] if isinstance(found, list) else found[key]
    except (KeyError, IndexError, ValueError, TypeError):
        raise ConstraintRejected(
            f"the schema refers to {name!r}, which is not in it; put it under $defs"
        ) from None
    return found


def together(root: Any, schema: Any, seen: Seen) -> Any:
    """Make one schema of all that must hold at once (rule 4). Raises ConstraintRejected."""
    if not isinstance(schema, dict):
        return schema
    own = {word: part for word, part in schema.items() if word not in ("$ref", "allOf")}
    parts = read(schema, "allOf", list)
    if "$ref" in schema:
        name = str(schema["$ref"])
        if name in seen:
            raise ConstraintRejected(f"{name!r} refers to itself and to no value; give it one")
        seen, parts = seen | {name}, [pointed(root, name), *parts]
    others = [together(root, part, seen) for part in parts]
    if any(other is False for other in others):
        return False
    whole: dict[str, Any] = {}
    for other in (*others, own):
        whole = _both(whole, other) if isinstance(other, dict) else whole
    return whole


def _both(whole: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    named, more = (read(schema, "properties", dict) for schema in (whole, other))
    needed = read(whole, "required", list) + read(other, "required", list)
    merged = {"properties": {**named, **more, **named}, "required": needed}
    return {**other, **whole, **{word: part for word, part in merged.items() if part}}
