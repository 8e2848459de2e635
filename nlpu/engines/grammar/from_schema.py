"""JSON schemas as grammars.

Theory of operation
-------------------
Each piece of a schema becomes the body of a rule; a definition is a rule of its own, made when it
is first referred to, so a type may contain itself. The text is one JSON value with ``,`` and ``:``
between tokens, and behind ``:`` at most one space: models have read JSON with it, and a quote right
behind the colon is another token, after which one of them began each text with a comma. Where a
schema says more than a body holds cheaply, the body holds less, and validation does the rest.

Rules
1. Held exactly: const and enum, types, the bounds of integers (numerals.py), string lengths and
   numbers of items up to gbnf.MOST, required and optional properties in the schema's order,
   prefixItems, unions, references, the formats date, time, date-time and uuid as ISO writes them.
2. Held in part: the bounds of other numbers (numerals.py); of a pattern with lengths, the pattern;
   of what must hold together, what keywords.py makes of it; of anyOf beside a type, the type.
3. Not held: other formats, multipleOf, uniqueItems, contains, not, if, propertyNames, a pattern
   that from_regex.py does not read, lengths and numbers of items above gbnf.MOST.
4. Listed properties are all there are, unless the schema says otherwise; others follow them.
   A schema that has properties is an object, and one that has items an array.
5. Of two bounds that contradict each other the upper one is dropped.
6. Where a value cannot be (``false``), what needs it cannot be either; a schema nothing satisfies,
   or one that refers to itself before it reaches a value, is refused. One whose every value has
   another in it is not noticed: no text of it ends.
7. What is not of a keyword's kind is read as if it were not there.
"""

from __future__ import annotations

import json
from typing import Any

from nlpu.engines.grammar.from_regex import pattern_body
from nlpu.engines.grammar.gbnf import Rules, either, joined
from nlpu.engines.grammar.keywords import (
    NOTES,
    TYPES,
    Seen,
    counts,
    pointed,
    read,
    together,
    types_of,
)
from nlpu.engines.grammar.numerals import integer, number
from nlpu.engines.grammar.sequences import items, members
from nlpu.engines.grammar.strings import json_forms, string
from nlpu.errors import ConstraintRejected

_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = (
    r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
    "(Z|[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?"
)
_HEX = "[0-9a-fA-F]"
_FORMATS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}[T ]{_TIME}$",
    "uuid": f"^{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}$",
}
_SPACE = '" "?'
_OTHERS = {
    *("anyOf", "oneOf", "allOf", "if", "then", "else", "dependentSchemas", "patternProperties"),
}


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
        """Write the body of what satisfies a schema."""
        if schema is False:
            raise _Nothing("no value satisfies the schema 'false'; leave it out")
        if not isinstance(schema, dict):
            return self._any()
        if "const" in schema:
            return self._rules.choice(json_forms(schema["const"]))
        if isinstance(schema.get("enum"), list):
            return self._enum(schema["enum"])
        if "$ref" in schema or "allOf" in schema:
            return self._reference(schema, seen)
        types = types_of(schema)
        if types:
            return self._union([{**schema, "type": kind} for kind in types], self._typed, seen)
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return self._union(schema[word], self.value, seen)
        return self._any()

    def _part(self, schema: Any) -> str:
        """Name the rule for a value that stands behind a token."""
        return self._add("value", self.value(schema, frozenset()))

    def _enum(self, choices: list[Any]) -> str:
        if not choices:
            raise _Nothing("an enum has no choices; give it some")
        return self._rules.choice(form for one in choices for form in json_forms(one))

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
        """Name the rule of what a schema refers to, once: it may come again inside itself."""
        own = {word: part for word, part in schema.items() if word not in NOTES}
        alone = own.keys() == {"$ref"}
        key = str(own["$ref"]) if alone else json.dumps(own)
        if key in seen:
            raise ConstraintRejected(f"{key:.80} refers to itself and to no value; give it one")
        if key not in self._named:
            self._named[key] = self._rules.reserve("ref")
            target = pointed(self._root, key) if alone else together(self._root, own, seen)
            try:
                self._rules.define(self._named[key], self.value(target, seen | {key}))
            except _Nothing:
                del self._named[key]
                raise
        return self._named[key]

    # -- values -----------------------------------------------------------------------------

    def _any(self) -> str:
        kinds = [{"type": kind} for kind in TYPES if kind != "integer"]
        return self._rules.looped("any", lambda _: self._union(kinds, self._typed, frozenset()))

    def _string(self, schema: dict[str, Any]) -> str:
        pattern = schema.get("pattern", _FORMATS.get(str(schema.get("format"))))
        if isinstance(pattern, str):
            try:
                inside = self._add("pattern", pattern_body(self._rules, pattern))
                return self._add("string", joined('"\\""', inside, '"\\""'))
            except (ConstraintRejected, RecursionError):
                pass  # validation keeps it (rule 3)
        return self._add("string", string(self._rules, *counts(schema, "minLength", "maxLength")))

    def _array(self, schema: dict[str, Any]) -> str:
        low, high = counts(schema, "minItems", "maxItems")
        first, rest = read(schema, "prefixItems", list), schema.get("items", True)
        if isinstance(rest, list):  # as drafts before 2020-12 write it
            first, rest = rest, schema.get("additionalItems", True)
        found: list[str] = []
        other: str | None = None
        try:
            for part in first[:high]:
                found.append(self._part(part))
            other = self._part(rest) if high is None or high > len(found) else None
        except _Nothing:  # the array ends before what cannot be
            if len(found) < low:
                raise
        return self._add("array", joined('"["', items(self._rules, found, other, low, high), '"]"'))

    # -- objects ----------------------------------------------------------------------------

    def _object(self, schema: dict[str, Any]) -> str:
        more = self._others(schema)
        if read(schema, "properties", dict):
            body = members(self._rules, self._listed(schema), more)
        else:
            low, high = counts(schema, "minProperties", "maxProperties")
            body = items(self._rules, [], more, low, high)
        return self._add("object", joined('"{"', body, '"}"'))

    def _listed(self, schema: dict[str, Any]) -> list[tuple[str, bool]]:
        """Name the rule of each member that has a name, and whether it must be there."""
        others: Any = schema.get("additionalProperties", True)
        needed = [name for name in read(schema, "required", list) if isinstance(name, str)]
        named = read(schema, "properties", dict)
        unlisted = {name: others for name in needed if name not in named}
        found = []
        for name, part in {**named, **unlisted}.items():
            try:
                found.append((self._member(name, part), name in needed))
            except _Nothing:
                if name in needed:
                    raise
        return found

    def _member(self, name: str, part: Any) -> str:
        key = self._rules.choice(f"{form}:" for form in json_forms(name))
        return self._add("member", f"{key} {_SPACE} {self._part(part)}")

    def _others(self, schema: dict[str, Any]) -> str | None:
        """Name the rule of the members that are not listed, if there may be any (rule 4)."""
        listed = "properties" in schema and not _OTHERS & schema.keys()
        options = [schema.get("additionalProperties", not listed)]
        options += read(schema, "patternProperties", dict).values()
        try:
            value = self._add("value", self._union(options, self.value, frozenset()))
        except _Nothing:
            return None
        key = self._string({})
        return self._add("member", f'{key} ":" {_SPACE} {value}')
