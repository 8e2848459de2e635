"""JSON schemas as grammars.

Theory of operation
-------------------
Each piece of a schema becomes the body of a rule; a definition is a rule of its own, made when it
is first referred to, so a type may contain itself. The text is one JSON value with ``,`` and ``:``
between tokens and no blank anywhere. Where a schema says more than a body holds cheaply, the body
holds less than it says, and validation does the rest.

Rules
1. Held exactly: const and enum, types, integers' bounds (up to _DIGITS digits), string lengths and
   numbers of items up to gbnf.MOST, required and optional properties in the schema's order,
   prefixItems, unions, references.
2. Held in part: a number's bounds hold its sign and its digits before the point; a pattern with
   lengths holds the pattern; of several allOf, properties are taken together, and of each other
   keyword the first; where anyOf stands beside a type, the type.
3. Not held: format, multipleOf, uniqueItems, contains, not, if, propertyNames, a pattern that
   from_regex.py does not read, lengths and numbers of items above gbnf.MOST.
4. Listed properties are all there are, unless the schema says otherwise; others follow them.
   A schema that has properties is an object, and one that has items an array.
5. A bound that contradicts another is dropped, the default of types.py before the user's own.
6. A number has at most 20 digits behind the point and 3 in the exponent: no float needs more.
7. Where a value cannot be (``false``), what needs it cannot be either; a schema nothing satisfies,
   or one that refers to itself before it reaches a value, is refused.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from nlpu.errors import ConstraintRejected
from nlpu.grammar.from_regex import pattern_body
from nlpu.grammar.gbnf import ALL, Rules, either, json_characters, json_literal, repeated
from nlpu.grammar.numbers import integer, number

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_OTHERS = {
    *("anyOf", "oneOf", "allOf", "if", "then", "else", "dependentSchemas", "patternProperties"),
}
_NOTES = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}

Seen = frozenset[str]  # references followed since the last token


class _Nothing(ConstraintRejected):
    """No value satisfies the schema."""


def schema_grammar(schema: Any) -> str:
    """Write the grammar of a JSON schema. Raises ConstraintRejected."""
    rules = Rules()
    return rules.text(_Schema(schema, rules).value(schema, frozenset()))


class _Schema:
    """Writes one schema into rules."""

    def __init__(self, root: Any, rules: Rules) -> None:
        self._root, self._rules, self._add = root, rules, rules.add
        self._named: dict[str, str] = {}

    def value(self, schema: Any, seen: Seen) -> str:
        """The body of what satisfies a schema."""
        if schema is False:
            raise _Nothing("no value satisfies the schema 'false'; leave it out")
        if not isinstance(schema, dict):
            return self._any()
        if "const" in schema:
            return json_literal(schema["const"])
        if isinstance(schema.get("enum"), list):
            return self._enum(schema["enum"])
        if "$ref" in schema or "allOf" in schema:
            return self._reference(schema, seen)
        types = _types(schema)
        if types:
            return self._union([{**schema, "type": kind} for kind in types], self._typed, seen)
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return self._union(schema[word], self.value, seen)
        return self._any()

    def _part(self, schema: Any) -> str:
        """The name of the rule for a value that stands behind a token."""
        return self._add("value", self.value(schema, frozenset()))

    def _enum(self, choices: list[Any]) -> str:
        if not choices:
            raise _Nothing("an enum has no choices; give it some")
        return either(map(json_literal, choices))

    def _union(self, options: list[Any], write: Any, seen: Seen) -> str:
        bodies = []
        refused: _Nothing | None = None
        for option in options:
            try:
                bodies.append(write(option, seen))
            except _Nothing as error:
                refused = error
        if not bodies:
            raise refused or _Nothing("a union has no options; give it some")
        return either(bodies)

    def _typed(self, schema: Any, seen: Seen) -> str:
        kind = schema["type"]
        if kind == "string":
            return self._string(schema)
        if kind == "integer":
            return self._add("integer", integer(self._rules, schema))
        if kind == "number":
            return self._add("number", number(self._rules, schema))
        if kind == "array":
            return self._array(schema)
        if kind == "object":
            return self._object(schema)
        return '"null"' if kind == "null" else '"true" | "false"'

    # -- references -------------------------------------------------------------------------

    def _reference(self, schema: dict[str, Any], seen: Seen) -> str:
        own = {word: part for word, part in schema.items() if word not in _NOTES}
        if own.keys() == {"$ref"}:
            return self._named_rule(str(own["$ref"]), seen)
        if own.keys() == {"allOf"} and len(own["allOf"]) == 1:
            return self.value(own["allOf"][0], seen)
        return self.value(self._together(own, seen), seen)

    def _named_rule(self, name: str, seen: Seen) -> str:
        if name in seen:
            raise ConstraintRejected(f"{name!r} refers to itself and to no value; give it one")
        if name not in self._named:
            self._named[name] = self._rules.reserve("ref")
            body = self.value(self._find(name), seen | {name})
            self._rules.define(self._named[name], body)
        return self._named[name]

    def _find(self, name: str) -> Any:
        """What a reference within the schema points at."""
        found, keys = self._root, unquote(name).split("/")
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

    def _together(self, schema: Any, seen: Seen) -> Any:
        """One schema for all that must hold at once (rule 2)."""
        if not isinstance(schema, dict):
            return schema
        whole = {word: part for word, part in schema.items() if word not in ("$ref", "allOf")}
        parts = list(schema.get("allOf", ()))
        if (name := schema.get("$ref")) is not None:
            if name in seen:
                raise ConstraintRejected(f"{name!r} refers to itself and to no value; give it one")
            seen, parts = seen | {name}, [self._find(str(name)), *parts]
        for part in parts:
            other = self._together(part, seen)
            if other is False:
                return False
            if isinstance(other, dict):
                both = {
                    "properties": {**other.get("properties", {}), **whole.get("properties", {})},
                    "required": [*whole.get("required", ()), *other.get("required", ())],
                }
                whole = {**other, **whole, **{word: both[word] for word in both if both[word]}}
        return whole

    # -- values -----------------------------------------------------------------------------

    def _any(self) -> str:
        if "any" not in self._named:
            self._named["any"] = self._rules.reserve("any")
            kinds = [
                self._typed({"type": kind, "items": {}}, frozenset())
                for kind in _TYPES
                if kind != "integer"
            ]
            self._rules.define(self._named["any"], either(kinds))
        return self._named["any"]

    def _character(self) -> str:
        return self._add("char", json_characters(ALL, ALL))

    def _string(self, schema: dict[str, Any]) -> str:
        if isinstance(schema.get("pattern"), str):
            try:
                inside = self._add("pattern", pattern_body(self._rules, schema["pattern"]))
                return f'"\\"" {inside} "\\""'
            except ConstraintRejected:
                pass  # validation keeps it (rule 3)
        low, high = _counts(schema, "minLength", "maxLength")
        return self._add("string", f'"\\"" {repeated(self._character(), low, high)} "\\""')

    def _array(self, schema: dict[str, Any]) -> str:
        low, high = _counts(schema, "minItems", "maxItems")
        first = schema.get("prefixItems", [])
        items, rest = schema.get("items", True), None
        if isinstance(items, list):  # as drafts before 2020-12 write it
            first, items = items, schema.get("additionalItems", True)
        try:
            rest = self._part(items) if high is None or high > len(first) else None
        except _Nothing:
            high = len(first)
        return self._add("array", f'"[" {self._items(first, rest, low, high)} "]"')

    def _items(self, first: list[Any], rest: str | None, low: int, high: int | None) -> str:
        """The items: those with schemas of their own, then the others."""
        first = first if high is None else first[:high]
        body, left = "", len(first)
        if rest is not None:
            more = self._add("item", f'"," {rest}')
            low, high = max(low - left, 0), None if high is None else high - left
            if first:
                body = _many(more, low, high)
            else:
                body = f"{rest} {_many(more, max(low - 1, 0), None if high is None else high - 1)}"
                body = body if low else f"({body})?"
            low += left
        for at in range(left - 1, -1, -1):
            comma = '"," ' if at else ""
            body = f"{comma}{self._part(first[at])} {body}"
            body = body if at < low else self._add("items", body) + "?"
        return body or '""'

    # -- objects ----------------------------------------------------------------------------

    def _object(self, schema: dict[str, Any]) -> str:
        named = schema.get("properties", {})
        needed = list(dict.fromkeys(schema.get("required", ())))
        more = self._others(schema)
        if not named:
            low, high = _counts(schema, "minProperties", "maxProperties")
            return self._add("object", f'"{{" {self._items([], more, low, high)} "}}"')
        others: Any = schema.get("additionalProperties", True)
        unlisted = {name: others for name in needed if name not in named}
        members = []
        for name, part in {**named, **unlisted}.items():
            try:
                written = f"{self._key(name)} {self._part(part)}"
                members.append((self._add("member", written), name in needed))
            except _Nothing:
                if name in needed:
                    raise
        return self._add("object", f'"{{" {self._members(members, more)} "}}"')

    def _key(self, name: str) -> str:
        body = json_literal(name, ":")
        return self._add("key", body) if " | " in body else body

    def _others(self, schema: dict[str, Any]) -> str | None:
        """The member that is not listed, if there may be one (rule 4)."""
        listed = "properties" in schema and not _OTHERS & schema.keys()
        options = [schema.get("additionalProperties", not listed)]
        options += schema.get("patternProperties", {}).values()
        try:
            value = self._add("value", self._union(options, self.value, frozenset()))
        except _Nothing:
            return None
        string = self._string({})
        return self._add("member", f'{string} ":" {value}')

    def _members(self, members: list[tuple[str, bool]], more: str | None) -> str:
        """All members in order, commas between those that are there.

        One rule holds what may follow each member, so the grammar grows with their number only.
        """
        tail = "" if more is None else self._add("more", f'"," {more}') + "*"
        options = [] if more is None else [f"{more} {tail}"]
        for at in range(len(members) - 1, -1, -1):
            member, needed = members[at]
            options = [f"{member} {tail}", *([] if needed else options)]
            body = f'"," {member}'
            tail = f"{body} {tail}" if needed else f"({body})? {tail}"
            tail = self._add("tail", tail.strip()) if at else ""
        required = any(needed for _, needed in members)
        return f"({either(options)})" + ("" if required else "?")


def _many(atom: str, low: int, high: int | None) -> str:
    body = repeated(atom, low, high)
    return "" if body == '""' else body


def _types(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [kind for kind in kinds if kind in _TYPES]
    if kinds in _TYPES:
        return [str(kinds)]
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def _counts(schema: dict[str, Any], least: str, most: str) -> tuple[int, int | None]:
    low, high = schema.get(least) or 0, schema.get(most)
    return (low, None) if high is not None and high < low else (low, high)
