"""The strings of JSON: how a character may stand in one, and strings by their length.

Theory of operation
-------------------
A string's end is written into the rules of its characters: what may follow is the closing quote, or
one more character and what may follow then. So an engine knows for each state which tokens fit, and
need not look at what lies around the string. A bounded string counts its characters in blocks of
_BLOCK; all bounded strings share these rules, whatever their bounds.

Rules
1. A character may stand for itself, as ``\\n`` and the like, and as ``\\uXXXX`` with digits of
   either case; beyond U+FFFF that is a surrogate pair. In any form it is one character. Half a
   pair is none.
2. Bounds hold exactly up to gbnf.MOST.
3. _BLOCK weighs what compiling costs xgrammar (0.2.8; 49,152 tokens; at most 400 characters; all
   processor time) against a token's mask: 183 ms and 7.6 ms with 16, 477 and 3.3 with 32, 1,060 and
   1.1 with 64; without blocks 3,585 ms and 0. ``char{0,400}`` takes 2 ms and 470, xgrammar's own
   ``maxLength`` (no escapes) 1,492 and 0.1. A string without bounds takes 1 ms and 0.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from nlpu.engines.grammar.gbnf import (
    ALL,
    MOST,
    Ranges,
    Rules,
    common,
    digits,
    either,
    joined,
    merged,
    one_of,
    repeated,
    spans,
)

RAW: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, 0x10FFFF))  # stand as such
CODED: Ranges = ((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0xD7FF), (0xE000, 0x10FFFF))
_SHORT = {0x22: '"', 0x5C: "\\", 0x2F: "/", 8: "b", 12: "f", 10: "n", 13: "r", 9: "t"}
_HEX = "0123456789abcdef"
_BLOCK = 32
_QUOTE = '"\\""'
_PLAIN = one_of(RAW)


def string(rules: Rules, low: int, high: int | None) -> str:
    """Write a string of low to high characters (rule 2)."""
    low, high = min(low, MOST), None if high is None or high > MOST else high
    rest = _unbounded(rules) if high is None else _up_to(rules, high - low)
    return joined(_QUOTE, _exactly(rules, low), rest)


def _more(rules: Rules, then: str) -> list[str]:
    """Write one more character, and what follows it."""
    escape = rules.add("escape", _escapes(ALL, ALL))
    return [joined(_PLAIN, then), joined('"\\\\"', escape, then)]


def _unbounded(rules: Rules) -> str:
    return rules.looped("rest", lambda name: either([_QUOTE, *_more(rules, name)]))


def _exactly(rules: Rules, count: int) -> str:
    """Write so many characters, as a sequence of names."""
    blocks, left = divmod(count, _BLOCK)
    block = repeated(_block(rules, _BLOCK), blocks, blocks) if blocks else ""
    return joined(block, _block(rules, left) if left else "")


def _block(rules: Rules, count: int) -> str:
    name = ""
    for _ in range(count):
        name = rules.add("some", either(_more(rules, name)))
    return name


def _up_to(rules: Rules, count: int) -> str:
    """Write at most so many characters, and the closing quote."""
    blocks, left = divmod(count, _BLOCK)
    name = _end(rules, left)
    for _ in range(blocks):
        block = joined(_block(rules, _BLOCK), name)
        name = rules.add("rest", either([_end(rules, _BLOCK - 1), block]))
    return name


def _end(rules: Rules, count: int) -> str:
    name = _QUOTE
    for _ in range(count):
        name = rules.add("end", either([_QUOTE, *_more(rules, name)]))
    return name


def _hex_digit(low: int, high: int) -> str:
    points = [ord(_HEX[n]) for n in range(low, high + 1)]
    points += [ord(_HEX[n].upper()) for n in range(max(low, 10), high + 1)]
    return one_of(merged((point, point) for point in points))


def _hex(low: int, high: int) -> list[str]:
    """Write the four digits of the numbers from low to high, as alternatives."""
    first, last = ([int(digit, 16) for digit in f"{end:04x}"] for end in (low, high))
    return [digits(span, _hex_digit) for span in spans(first, last, 15)]


def _pairs(low: int, high: int) -> list[str]:
    """Write the digits of the surrogate pairs of the characters from low to high."""
    start, end = divmod(low - 0x10000, 0x400), divmod(high - 0x10000, 0x400)
    return [
        f'{first} "\\\\u" {second}'
        for leads, trails in spans(start, end, 0x3FF)
        for first in _hex(0xD800 + leads[0], 0xD800 + leads[1])
        for second in _hex(0xDC00 + trails[0], 0xDC00 + trails[1])
    ]


@lru_cache(maxsize=256)
def _escapes(ranges: Ranges, coded: Ranges) -> str:
    """Write what may stand behind the backslash, as alternatives."""
    short = merged((ord(s), ord(s)) for p, s in _SHORT.items() if common(ranges, ((p, p),)))
    forms: list[str] = []
    for low, high in common(ranges, coded):
        forms += _hex(low, min(high, 0xFFFF)) if low <= 0xFFFF else []
        forms += _pairs(max(low, 0x10000), high) if high > 0xFFFF else []
    options = [one_of(short)] if short else []
    return " | ".join([*options, f'"u" ({either(forms)})'] if forms else options)


def characters(ranges: Ranges) -> str:
    """Write how the characters may stand in a JSON string, as alternatives (rule 1).

    A plain ASCII character stands for itself only.
    """
    raw, escaped = common(ranges, RAW), _escapes(ranges, CODED)
    options = [one_of(raw)] if raw else []
    return either([*options, f'"\\\\" ({escaped})'] if escaped else options)


def json_forms(value: Any) -> list[str]:
    """Write a JSON value as json.dumps and pydantic do (1e-07, 1e-7); no grammar yet."""
    forms = [
        json.dumps(value, ensure_ascii=ascii, separators=(",", ":")) for ascii in (False, True)
    ]
    if isinstance(value, float):
        forms.append(to_json(value).decode())
    if any(0xD800 <= ord(character) <= 0xDFFF for character in forms[0]):
        forms = forms[1:]  # half a pair has no other form
    return forms
