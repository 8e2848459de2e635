"""What must hold at once, as one schema; and what it costs a schema's values to end.

Theory of operation
-------------------
Grammars may be wider than a type, so they take the first of two keywords; an example may not, so
here the tighter of two bounds counts. The cost of a schema is how many references its shortest
value passes through: references begin at infinity, and are lowered until nothing changes.

Rules
1. Of bounds the tighter one counts, of multiples the common one; types and choices are in both.
2. Patterns are collected in a list: each has to be found.
3. Of what cannot be narrowed (two formats) the first counts; two unions of a kind are refused.
4. What has an infinite cost has no value that ends.
5. A decimal's schema is a number or a text without bounds: the text is left out, and the number is
   marked (``"format": "decimal"``), since how many digits it may have is not said.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Any

from nlpu.engines.grammar.keywords import pointed, read
from nlpu.errors import ConstraintRejected
from nlpu.testing.numbers import common_multiple


def narrowed(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Make one schema of two that must both hold. Raises ConstraintRejected."""
    both = {
        word: _NARROW[word](one[word], other[word])
        for word in one
        if word in other and word in _NARROW
    }
    return {**other, **one, **both}


def _same(one: Any, other: Any) -> Any:
    if one != other:
        raise ConstraintRejected("a schema has two unions or constants at once; make them one")
    return one


def _all(one: Any, other: Any) -> Any:
    return one if one == other else {"allOf": [one, other]}


def _each(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**other, **one, **{key: _all(one[key], other[key]) for key in one if key in other}}


def _joined(one: Any, other: Any) -> list[Any]:
    lists = (part if isinstance(part, list) else [part] for part in (one, other))
    return list(dict.fromkeys(item for part in lists for item in part))


def _in_both(one: list[Any], other: list[Any]) -> list[Any]:
    return [item for item in one if item in other]


def _types(one: Any, other: Any) -> list[str]:
    ones, others = (
        [*part, *["integer"] * ("number" in part)]
        if isinstance(part, list)
        else [part, *["integer"] * (part == "number")]
        for part in (one, other)
    )
    common = _in_both(ones, others)
    return [kind for kind in common if kind != "integer" or "number" not in common]


_NARROW: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames", "contentSchema"), _all),
    **dict.fromkeys(("properties", "patternProperties"), _each),
    **dict.fromkeys(("required", "pattern"), _joined),
    **dict.fromkeys(("anyOf", "oneOf", "const"), _same),
    "enum": _in_both,
    "type": _types,
    "multipleOf": common_multiple,
    "uniqueItems": lambda one, other: one or other,
}


def without_texts(options: list[Any]) -> list[Any]:
    """Leave out the text that stands for a number beside it (rule 5)."""
    kinds = {_kind(option) for option in options}
    kept = [option for option in options if not _stands_for_number(option, kinds)]
    if len(kept) == len(options):
        return options
    return [{"format": "decimal", **o} if _kind(o) == "number" else o for o in kept]


def _kind(option: Any) -> str:
    return str(option.get("type")) if isinstance(option, dict) else ""


def _stands_for_number(option: Any, kinds: set[str]) -> bool:
    if _kind(option) != "string" or option.get("format", "fraction") != "fraction":
        return False
    return "number" in kinds or ("integer" in kinds and "pattern" in option)


def costs(root: Any) -> Callable[[Any], float]:
    """Make the function that tells what the schema's parts cost (rule 4)."""
    known = dict.fromkeys(_references(root), inf)

    def cost(schema: Any) -> float:
        if not isinstance(schema, dict):
            return inf if schema is False else 0
        if "const" in schema or "enum" in schema:
            return 0 if schema.get("enum", True) else inf
        parts = [cost(part) for part in (*read(schema, "allOf", list), *_needed(schema))]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                parts.append(min(map(cost, read(schema, word, list)), default=inf))
        if "$ref" in schema:
            parts.append(1 + known.get(str(schema["$ref"]), inf))
        return max(parts, default=0)

    changed = bool(known)
    while changed:
        lower = {name: min(at, cost(pointed(root, name))) for name, at in known.items()}
        changed = lower != known
        known.update(lower)
    return cost


def _needed(schema: dict[str, Any]) -> list[Any]:
    """The schemas of the parts that a value cannot leave out."""
    named, items = read(schema, "properties", dict), schema.get("items", True)
    first, least = read(schema, "prefixItems", list), schema.get("minItems", 0)
    found = [named[name] for name in read(schema, "required", list) if name in named]
    found += islice(first, least)
    if least > len(first) and not isinstance(items, list):
        found.append(items)
    if schema.get("minProperties", 0) > len(named):
        found += [schema.get("additionalProperties", True)]
    return found


def _references(schema: Any) -> set[str]:
    """All names that a schema refers to."""
    if isinstance(schema, list):
        return set().union(*map(_references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(_references, schema.values()))
