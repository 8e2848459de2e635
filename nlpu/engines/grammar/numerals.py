"""The digits of bounded numbers.

Theory of operation
-------------------
The integers from low to high are a union of products of digit ranges: those with as many digits as
low, those with as many as high, and between them all numbers of a width. 5 to 1234 is
``[5-9] | [1-9] [0-9]{1,2} | "1" [0-1] [0-9]{2} | "12" [0-2] [0-9] | "123" [0-4]``.

Rules
1. Integers are held exactly where both bounds have at most ``_DIGITS`` digits; beyond that, by sign
   and number of digits. An integer has no point and no exponent; ``-0`` is none.
2. Other numbers are held by sign and by the digits before the point; exclusive bounds are taken as
   if they were not. ``-0.0`` is at least 0.
3. A number has at most 23 digits behind the point and 3 in the exponent: so many has the smallest
   float that JavaScript writes without exponent; Rust writes at most 21, Python 20.
4. Of two bounds that contradict each other the upper one is dropped.
"""

from __future__ import annotations

from math import ceil, floor, isfinite
from typing import Any

from nlpu.engines.grammar.gbnf import Rules, digits, either, one_of, repeated, spans

_DIGITS = 40
_REST = '("." [0-9]{1,23})? ([eE] [+\\u002d]? [0-9]{1,3})?'


def integer(rules: Rules, schema: dict[str, Any]) -> str:
    """Write the body of an integer within the schema's bounds."""
    low, high = _whole_bounds(schema)
    if low is not None and high is not None and low == -high < 0:
        return f'"0" | "-"? {_naturals(rules, 1, high)}'
    options = []
    if high is None or high >= 0:
        options.append(_naturals(rules, max(low or 0, 0), high))
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        options.append(f'"-" {_naturals(rules, least, None if low is None else -low)}')
    return either(options)


def number(rules: Rules, schema: dict[str, Any]) -> str:
    """Write the body of a number of the schema's sign and size."""
    low, high = _bounds(schema)
    size: int | None = None
    if low is not None and high is not None:
        size = len(str(int(max(abs(low), abs(high)))))
    body = rules.add("number", f'("0" | {_digits(1, size)}) {_REST}')
    if low is not None and low >= 0:
        return f'{body} | "-0.0"' if low == 0 else body
    return f'"-" {body}' if high is not None and high < 0 else f'"-"? {body}'


def _digits(least: int, most: int | None) -> str:
    """Write a number without a leading zero, by how many digits it has."""
    most = None if most is None or most > _DIGITS else most - 1
    more = repeated("[0-9]", least - 1, most)
    return "[1-9]" if most == 0 else f"[1-9] {more}"


def _naturals(rules: Rules, low: int, high: int | None) -> str:
    """Name the rule of the digits of the numbers from low to high; low is not negative."""
    options = []
    if low == 0 and (high is None or high > 9):
        options, low = ['"0"'], 1
    width, most = len(str(low)), None if high is None else len(str(high))
    if max(width, most or 0) > _DIGITS:
        return rules.add("digits", either([*options, _digits(width, most)]))
    last: list[str] = []
    if high is not None and most is not None and high != 10**most - 1:
        least = low if width == most else 10 ** (most - 1)
        last = _same_width(least, high)
        most -= 1
    if low not in (1, 10 ** (width - 1)) and (most is None or width <= most):
        options += _same_width(low, 10**width - 1)
        width += 1
    if most is None or width <= most:
        options.append(_digits(width, most) if low else "[0-9]")
    return rules.add("digits", either(options + last))


def _same_width(low: int, high: int) -> list[str]:
    found = spans([*map(int, str(low))], [*map(int, str(high))], 9)
    return [digits(span, lambda least, most: one_of(((48 + least, 48 + most),))) for span in found]


def _bounds(schema: dict[str, Any]) -> tuple[Any, Any]:
    lows = [_bound(schema, word) for word in ("minimum", "exclusiveMinimum")]
    highs = [_bound(schema, word) for word in ("maximum", "exclusiveMaximum")]
    low = max((bound for bound in lows if bound is not None), default=None)
    high = min((bound for bound in highs if bound is not None), default=None)
    return _agreeing(low, high)


def _whole_bounds(schema: dict[str, Any]) -> tuple[int | None, int | None]:
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    low, high = None if low is None else ceil(low), None if high is None else floor(high)
    above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    if above is not None:
        least = floor(above) + 1
        low = least if low is None else max(low, least)
    if below is not None:
        most = ceil(below) - 1
        high = most if high is None else min(high, most)
    return _agreeing(low, high)


def _bound(schema: dict[str, Any], word: str) -> Any:
    bound: Any = schema.get(word)
    counts = type(bound) is int or (type(bound) is float and isfinite(bound))
    return bound if counts else None


def _agreeing(low: Any, high: Any) -> tuple[Any, Any]:
    if low is None or high is None or low <= high:
        return low, high
    return low, None
