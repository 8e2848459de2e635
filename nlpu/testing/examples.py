"""A value that a JSON schema allows, made from dice.

Theory of operation
-------------------
The schema is walked from the top. What must hold at once (``$ref`` with its siblings, ``allOf``, an
option with what stands beside its union) is narrowed to one schema first; then its kind is made,
with the dice rolled at each choice, length and bound.

    examples.py             unions, references, objects, arrays
    narrowing.py    what must hold at once, what it costs to end
    numbers.py      bounds and multiples
    texts.py        formats and lengths           patterns.py    expressions, dice

Rules
1. Equal schema and dice, equal value.
2. It always ends: the deeper, the fewer items and optional members; from a second repetition of a
   reference on, or after ``_MANY_REFERENCES``, the option that ends soonest and nothing that may be
   left out. A type that cannot end is refused.
3. An option or optional member that cannot be made is left out; what remains decides.
4. Members that may be left out mostly are there, and lists have an item at least, where they may.
5. Keys of which the schema says nothing are numerals: those are keys of numbers, too.
6. Of a number that may be written as a text (a decimal), the number is made.
7. What cannot be met, and ``not``, ``if``, ``contains`` and the like, which are not read, is
   ConstraintRejected, in a sentence that names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

from nlpu.engines.grammar.keywords import NOTES, pointed, read, types_of
from nlpu.errors import ConstraintRejected
from nlpu.testing.narrowing import costs, narrowed, without_texts
from nlpu.testing.numbers import bounds_of, number
from nlpu.testing.patterns import MANY, Dice
from nlpu.testing.texts import MORE, Sorts, text

_UNREAD = {
    *("not", "if", "contains", "dependentRequired", "dependentSchemas", "dependencies"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
_TOLD_BY = {  # the kind of what names none
    "object": {"additionalProperties", "patternProperties", "propertyNames", "minProperties"},
    "array": {"minItems", "maxItems", "uniqueItems"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
_MANY_REFERENCES = 40
Path = tuple[str, ...]  # the references that a value stands in


def example(schema: Any, dice: Dice, sorts: Sorts = ()) -> Any:
    """Make a value that the schema allows. Raises ConstraintRejected.

    sorts: of what sort a text is of which nothing is said; words without them.
    """
    try:
        return _Maker(schema, dice, sorts).value(schema, ())
    except RecursionError as error:
        raise ConstraintRejected("this schema is nested too deeply; make it flatter") from error


class _Maker:
    """Makes the values of one schema."""

    def __init__(self, root: Any, dice: Dice, sorts: Sorts) -> None:
        self._root, self._dice, self._cost, self._sorts = root, dice, costs(root), sorts
        self._followed = 0  # references so far

    def _level(self, path: Path) -> int:
        """Tell how soon a value has to end: 0 at ease, 1 with little more, 2 at once (rule 2)."""
        if self._followed > _MANY_REFERENCES:
            return 2
        return min(2, max(len(path) - len({*path}), (len(path) - 2) // 2, 0))

    def value(self, schema: Any, path: Path) -> Any:
        """Make a value of a part of the schema."""
        schema, path = self._whole(schema, path)
        if unread := sorted(_UNREAD & schema.keys()):
            raise ConstraintRejected(f"{unread[0]!r} in a schema is not read; script the answer")
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list):
            return self._one_of(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return self._union(schema, word, path)
        kinds = types_of(schema) or [k for k, words in _TOLD_BY.items() if words & schema.keys()]
        return self._typed(self._one_of(kinds or ["string"]), schema, path)

    def _one_of(self, choices: list[Any]) -> Any:
        if not choices:
            raise ConstraintRejected("an enum or a type has no choices; give it some")
        return choices[self._dice.below(len(choices))]

    def _whole(self, schema: Any, path: Path) -> tuple[dict[str, Any], Path]:
        """Narrow references and what must hold with them to one schema."""
        if schema is False:
            raise ConstraintRejected("no value satisfies the schema 'false'; leave it out")
        if not isinstance(schema, dict):
            return {}, path
        whole = {word: part for word, part in schema.items() if word not in ("$ref", "allOf")}
        parts = read(schema, "allOf", list)
        if "$ref" in schema:
            name = str(schema["$ref"])
            if self._cost(schema) == inf:
                raise ConstraintRejected(f"every value of {name!r} has another in it; end it")
            self._followed += 1
            parts, path = [pointed(self._root, name), *parts], (*path, name)
        for part in parts:
            other, path = self._whole(part, path)
            whole = narrowed(whole, other)
        return whole, path

    def _typed(self, kind: str, schema: dict[str, Any], path: Path) -> Any:
        if kind == "object":
            return self._object(schema, path)
        if kind == "array":
            return self._array(schema, path)
        if kind == "string":
            return self._string(schema, path)
        if kind in ("integer", "number"):
            schema = narrowed(schema, bounds_of(schema))
            return number(schema, self._dice, whole=kind == "integer")
        return bool(self._dice.below(2)) if kind == "boolean" else None

    def _string(self, schema: dict[str, Any], path: Path) -> str:
        if "contentSchema" in schema:
            return json.dumps(self.value(schema["contentSchema"], path), separators=(",", ":"))
        low, high = _counts(schema, "minLength", "maxLength")
        patterns = schema.get("pattern", [])
        patterns = patterns if isinstance(patterns, list) else [patterns]
        form, more = str(schema.get("format", "")), read(schema, MORE, dict)
        return text(self._dice, form, patterns, low, high, more=more, sorts=self._sorts)

    # -- unions -----------------------------------------------------------------------------

    def _union(self, schema: dict[str, Any], word: str, path: Path) -> Any:
        """Make one of the options; from a certain depth on, the one that ends soonest (rule 2)."""
        rest = {name: part for name, part in schema.items() if name not in (word, *NOTES)}
        tag = read(rest, "discriminator", dict).get("propertyName")
        if tag is not None:  # a tag with a default is told apart by, so it must be there
            rest["required"] = [*read(rest, "required", list), tag]
        refused: ConstraintRejected | None = None
        for option in self._in_order(without_texts(schema[word]), path):
            try:
                return self.value({"allOf": [option, rest]} if rest else option, path)
            except ConstraintRejected as error:
                refused = error
        raise refused or ConstraintRejected("a union has no options; give it some")

    def _in_order(self, options: list[Any], path: Path) -> list[Any]:
        left, order = list(options), []
        while left:
            order.append(left.pop(self._dice.below(len(left))))
        return sorted(order, key=self._cost) if self._level(path) > 1 else order

    # -- arrays and objects -----------------------------------------------------------------

    def _number_of(self, low: int, high: int | None, path: Path) -> int:
        """Roll how many items there are: fewer, the deeper they stand (rules 2 and 4)."""
        level = self._level(path)
        most = low + (MANY if level == 0 else 2 if level == 1 else 0)
        n = self._dice.between(max(low, 1) if level == 0 else low, most)
        return n if high is None else min(n, high)

    def _array(self, schema: dict[str, Any], path: Path) -> list[Any]:
        low, high = _counts(schema, "minItems", "maxItems")
        first, rest = read(schema, "prefixItems", list), schema.get("items", True)
        if isinstance(rest, list):  # as drafts before 2020-12 write it
            first, rest = rest, schema.get("additionalItems", True)
        if first:
            n = max(low, len(first) if self._level(path) < 2 else 0)
            n = n if high is None else min(n, high)
        else:
            n = self._number_of(low, high, path) if self._cost(rest) < inf else low
        parts = [*first, *[rest] * (n - len(first))][:n]
        if not schema.get("uniqueItems"):
            return [self.value(part, path) for part in parts]
        return self._distinct(lambda: self.value(rest, path), low, n)

    def _distinct(self, make: Callable[[], Any], low: int, n: int) -> list[Any]:
        """Roll until there are n that differ; fewer will do, but not fewer than low."""
        found: dict[Any, Any] = {}
        for _ in range(20 * n + 100):
            if len(found) == n:
                break
            item = make()
            found.setdefault(item if _is_plain(item) else json.dumps(item, sort_keys=True), item)
        if len(found) < low:
            raise ConstraintRejected(f"{low} different items were not found; allow fewer")
        return list(found.values())

    def _object(self, schema: dict[str, Any], path: Path) -> dict[str, Any]:
        low, high = _counts(schema, "minProperties", "maxProperties")
        needed, others = read(schema, "required", list), schema.get("additionalProperties", True)
        named = {**dict.fromkeys(needed, others), **read(schema, "properties", dict)}
        made: dict[str, Any] = {}
        for name, part in named.items():
            if name in needed:
                made[name] = self.value(part, path)
            elif self._is_wanted(part, path) and (high is None or len(made) < high):
                with suppress(ConstraintRejected):  # rule 3
                    made[name] = self.value(part, path)
        n = max(low - len(made), 0)
        n = n if "properties" in schema else self._number_of(low, high, path)
        self._fill(made, n, schema, path)
        if len(made) < low:
            raise ConstraintRejected(f"{low} members were not found; allow fewer")
        return made

    def _is_wanted(self, part: Any, path: Path) -> bool:
        """Roll whether a member is there that may be left out (rules 2 and 4)."""
        odds = (4, 2, 1)[self._level(path)]
        return self._cost(part) < inf and self._dice.below(odds) > 0

    def _fill(self, made: dict[str, Any], n: int, schema: dict[str, Any], path: Path) -> None:
        """Add n members that are not listed, if there may be any."""
        kinds = [*read(schema, "patternProperties", dict).items()]
        others = schema.get("additionalProperties", True)
        kinds = kinds or ([("", others)] if others is not False else [])
        for _ in range(20 * n + 100 if kinds else 0):
            if n <= 0:
                return
            pattern, part = self._one_of(kinds)
            name = self._key(schema, pattern, len(made) + 1, path)
            if name not in made:
                made[name] = self.value(part, path)
                n -= 1

    def _key(self, schema: dict[str, Any], pattern: str, n: int, path: Path) -> str:
        if pattern:
            return text(self._dice, "", [pattern], 0, None)
        names = schema.get("propertyNames", read(schema, MORE, dict).get("keys"))
        return str(n) if names is None else str(self.value(names, path))


def _counts(schema: dict[str, Any], least: str, most: str) -> tuple[int, int | None]:
    low, high = (schema.get(word) for word in (least, most))
    low, high = int(low or 0), None if high is None else int(high)
    if high is not None and high < low:
        raise ConstraintRejected(f"{least} {low} is more than {most} {high}; mend the bounds")
    return low, high


def _is_plain(item: Any) -> bool:
    return isinstance(item, str | int | float)
