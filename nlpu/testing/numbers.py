"""Numbers within bounds, on a grid.

Theory of operation
-------------------
Every number made here is a multiple of a step: of what ``multipleOf`` says, of 1 for integers, else
of a power of ten. The bounds become a least and a largest multiple, in fractions, and the dice are
rolled between them.

Rules
1. Without bounds a number is small: mostly up to 100, now and then up to 10,000.
2. Two bounds are rolled between as they stand; one has the other a small way off.
3. Other numbers than integers have two decimals, or as many as their bounds leave room for.
4. A number that is a decimal has as few digits as its bounds allow, since how many it may have is
   not in its JSON schema; but what its type says of them.
5. No number between the bounds is ConstraintRejected, which names them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, gcd, isfinite, lcm
from typing import Any

from nlpu.errors import ConstraintRejected
from nlpu.testing.patterns import Dice
from nlpu.testing.texts import MORE

_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_SAID = {**dict(zip(("ge", "gt", "le", "lt"), _BOUNDS, strict=True)), "multiple_of": "multipleOf"}
_MOST_PLACES = 340  # decimals of the smallest float, and some more
_FLOAT_DIGITS = 17  # of any float; more decimals between two of them change nothing
_LARGEST = Fraction(sys.float_info.max)


def number(schema: dict[str, Any], dice: Dice, *, whole: bool) -> int | float:
    """Make a number that the schema allows. Raises ConstraintRejected."""
    decimal = schema.get("format") == "decimal"
    for step, low, high in _grids(schema, dice, whole, decimal):
        for _ in range(8):  # what rounding took over a bound is rolled again
            exact = dice.between(low, high) * step
            made = int(exact) if whole or (decimal and exact.denominator == 1) else float(exact)
            if _within(schema, made):
                return made
    said = ", ".join(
        f"{word} {schema[word]}" for word in (*_BOUNDS, "multipleOf") if word in schema
    )
    kind = "whole number" if whole else "number"
    raise ConstraintRejected(f"no {kind} has {said}; mend the bounds")


def bounds_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Write as a schema what a number's type says beside its own (fuller.py)."""
    more = schema.get(MORE, {})
    found = {word: more[said] for said, word in _SAID.items() if _is_plain(more.get(said))}
    if "max_digits" in more:
        most = 10 ** (more["max_digits"] - more.get("decimal_places", 0))
        bare = not {*_BOUNDS} & (schema.keys() | found.keys())
        found["exclusiveMaximum"] = min(most, found.get("exclusiveMaximum", most))
        found["exclusiveMinimum"] = max(0 if bare else -most, found.get("exclusiveMinimum", -most))
    return found


def common_multiple(one: Any, other: Any) -> Fraction:
    """Give the smallest number that is a multiple of both."""
    left, right = Fraction(str(one)), Fraction(str(other))
    return Fraction(lcm(left.numerator, right.numerator), gcd(left.denominator, right.denominator))


def _grids(
    schema: dict[str, Any], dice: Dice, whole: bool, decimal: bool
) -> Iterator[tuple[Fraction, int, int]]:
    """Give each step that leaves room, with its least and largest multiple; the best one first."""
    given = schema.get("multipleOf") or None
    width, enough, places = (100, 100, 100, 10_000)[dice.below(4)], 20, range(2, _MOST_PLACES)
    if decimal:
        more = schema.get(MORE, {})
        width, enough, most = 9, 0 if more else 4, more.get("decimal_places", _MOST_PLACES)
        places = range(most if most == more.get("max_digits") else 0, most + 1)
    steps = (Fraction(1, 10**n) for n in places)
    if whole or given is not None:
        steps = (common_multiple(given or 1, 1 if whole else given) for _ in range(1))
    narrow = []
    for step in steps:
        low, high = _multiples(schema, step, width, whole)
        if high - low >= enough:
            yield step, low, high
            return
        if high >= low:
            narrow.append((step, low, high))
        if len(narrow) > _FLOAT_DIGITS:
            break
    yield from narrow


def _multiples(schema: dict[str, Any], step: Fraction, width: int, whole: bool) -> tuple[int, int]:
    least, above, most, below = (_bound(schema, word, step) for word in _BOUNDS)
    lows = [ceil(b) for b in (least,) if b is not None]
    lows += [floor(b) + 1 for b in (above,) if b is not None]
    highs = [floor(b) for b in (most,) if b is not None]
    highs += [ceil(b) - 1 for b in (below,) if b is not None]
    room = ceil(width / min(step, Fraction(1)))
    if lows and not highs and not whole:  # far from 0 the next float is far, too
        low = max(lows)
        return low, min(floor(_LARGEST / step), low + max(room, abs(low)))
    if not lows:
        high = min([*highs, room])
        if high <= 0 and not whole:
            room = min(max(room, abs(high)), high + floor(_LARGEST / step))
        return (0, high) if high > 0 else (high - room, high)
    return max(lows), min(highs, default=max(lows) + room)


def _bound(schema: dict[str, Any], word: str, step: Fraction) -> Any:
    bound: Any = schema.get(word)
    return Fraction(str(bound)) / step if _is_plain(bound) else None


def _is_plain(bound: Any) -> bool:
    return type(bound) in (int, float, Decimal) and isfinite(bound)


def _within(schema: dict[str, Any], made: float) -> bool:
    least, above, most, below = (_bound(schema, word, Fraction(1)) for word in _BOUNDS)
    exact = Fraction(str(made))
    return (
        (least is None or exact >= least)
        and (above is None or exact > above)
        and (most is None or exact <= most)
        and (below is None or exact < below)
    )
