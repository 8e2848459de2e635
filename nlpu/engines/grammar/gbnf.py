"""Grammars as text: rules, literals, character sets, repetition.

Theory of operation
-------------------
A reader hands bodies of rules to ``Rules`` and gets names back; equal bodies share one name, so a
string of at most 400 characters is one rule, however many fields have it. The text is written in
what llama.cpp's GBNF and xgrammar's EBNF both read, and both read it the same way.

Rules
1. A rule's name has letters, digits and hyphens only (llama.cpp knows no underscore).
2. A character that is neither a letter nor a digit is written as ``\\uXXXX`` or ``\\UXXXXXXXX``
   in a class: of ``\\-`` and ``\\^`` llama.cpp knows nothing.
3. Behind a control character, or one up to U+00FF, stands no hexadecimal digit: xgrammar's compiler
   writes such a character as ``\\x1f``, reads that again, and takes any number of digits for the
   code. So a class has its letters first, and a literal is broken in two.
4. What is repeated is one class, or one rule by its name: a group would be multiplied out.
5. No rule is repeated that may be empty, and none begins with itself: llama.cpp refuses both.
6. Sets are ranges of code points, sorted, apart, and without surrogates.
7. A repetition is at most DIRECT times the same; above, it is made of blocks. What is repeated by
   its name costs xgrammar (0.2.8; 49,152 tokens; processor time of one token's mask, measured with
   strings) 16 ms up to 128 times, 34 ms at 129, 870 ms at 400; in blocks, 25 ms.
8. Bounds above MOST are left to validation: llama.cpp refuses more than 2,000. Below, nothing is
   dear: its time to the first token (SmolLM2-135M, Q4_1, xllamacpp 2026.10; processor time) was 10
   to 12 ms for strings of 16 to 2,000 characters, of 30 different lengths about 2,000 too, and 13
   ms for 300 optional properties; 7 ms without a grammar. 64 tokens took 450 to 490 ms, and 447.
9. Texts of a choice that begin alike share their beginning: llama.cpp tries every alternative for
   each token. It took 0.52 s for 100 choices that begin alike, now 0.14; 11 s for 3,000, now 0.16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from os.path import commonprefix
from typing import Any

from nlpu.errors import ConstraintRejected

Ranges = tuple[tuple[int, int], ...]
Span = list[tuple[int, int]]  # for each digit, its least and largest value

DIRECT, MOST = 100, 2000  # repetitions (rules 7 and 8)
LAST = 0x10FFFF
ALL: Ranges = ((0, 0xD7FF), (0xE000, LAST))
_TERMINAL = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]')
_BREAK = re.compile(r"(?<=[\0-\x1f\x7f-\xff])(?=[0-9A-Fa-f])")
_NAME = re.compile(r"[a-z]+-\d+")


class Rules:
    """Collects the rules of a grammar that is being written."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._loops: dict[str, str] = {}

    def add(self, hint: str, body: str) -> str:
        """Name a body; a body that is known has its name already."""
        if body in self._bodies:
            return body
        if body not in self._names:
            self.define(self.reserve(hint), body)
        return self._names[body]

    def reserve(self, hint: str) -> str:
        """Make a name for a rule that will be defined later."""
        name = f"{hint}-{len(self._bodies)}"
        self._bodies[name] = ""
        return name

    def define(self, name: str, body: str) -> None:
        """Give a reserved name its body."""
        self._bodies[name] = body
        self._names.setdefault(body, name)

    def looped(self, hint: str, body: Callable[[str], str]) -> str:
        """Name a body that has its own name in it; there is one for each hint."""
        if hint not in self._loops:
            self._loops[hint] = self.reserve(hint)
            self.define(self._loops[hint], body(self._loops[hint]))
        return self._loops[hint]

    def many(self, atom: str, low: int, high: int | None) -> str:
        """Write a class or a name repeated from low to high times (rules 7 and 8)."""
        low, high = min(low, MOST), None if high is None or high > MOST else high
        if max(low, high or 0) <= DIRECT:
            return repeated(atom, low, high)
        size = DIRECT // 2
        block = self.add("block", repeated(atom, size, size))
        least = [repeated(block, low // size, low // size), repeated(atom, low % size, low % size)]
        if high is None:
            return joined(*least, repeated(atom, 0, None))
        blocks, left = divmod(high - low, size)
        more = repeated(atom, 0, left)
        for _ in range(blocks):
            more = self.add("some", either([repeated(atom, 0, size - 1), joined(block, more)]))
        return joined(*least, more)

    def choice(self, texts: Iterable[str]) -> str:
        """Write that one of the texts stands here; what some begin with alike, once (rule 9)."""
        groups: dict[str, list[str]] = {}
        for text in dict.fromkeys(texts):
            groups.setdefault(text[:1], []).append(text)
        options = []
        for group in groups.values():
            first = commonprefix(group)  # noqa: RUF071 (these are texts)
            rest = [text[len(first) :] for text in group]
            more = self.add("choice", self.choice(rest)) if len(group) > 1 else ""
            options.append(joined(literal(first) if first else "", more))
        return either(options)

    def text(self, root: str) -> str:
        """Write the grammar whose root has this body, with the rules that it needs."""
        bodies = {"root": root or '""', **self._bodies}
        needed, waiting = {"root"}, ["root"]
        while waiting:
            used = {*_NAME.findall(_TERMINAL.sub("", bodies[waiting.pop()]))} - needed
            needed |= used
            waiting += used
        return "".join(f"{name} ::= {bodies[name]}\n" for name in bodies if name in needed)


def literal(text: str) -> str:
    """Write a text that stands for itself. Raises ConstraintRejected."""
    pieces = ("".join(map(_literal_character, piece)) for piece in _BREAK.split(text))
    return " ".join(f'"{piece}"' for piece in pieces)


def _literal_character(character: str) -> str:
    if character == "\0" or 0xD800 <= ord(character) <= 0xDFFF:
        raise ConstraintRejected(
            f"no model can write {character!r}; leave it out of the constraint"
        )
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else _code(ord(character))


def _code(point: int) -> str:
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _class_character(point: int) -> str:
    return chr(point) if point < 0x80 and chr(point).isalnum() else _code(point)


def one_of(ranges: Ranges) -> str:
    """Write a class of characters."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1] and ranges[0][0]:
        return literal(chr(ranges[0][0]))
    parts = [
        _class_character(low) + ("-" + _class_character(high) if high > low else "")
        for low, high in ranges
    ]
    return "[" + "".join(sorted(parts, key=lambda part: part[0] == "\\")) + "]"  # rule 3


def either(options: Iterable[str]) -> str:
    """Write alternatives, each of them once."""
    return " | ".join(dict.fromkeys(option or '""' for option in options))


def joined(*parts: str) -> str:
    """Write parts one after the other; those that are nothing are left out."""
    return " ".join(filter(None, parts))


def repeated(atom: str, low: int, high: int | None) -> str:
    """Write a class or a name repeated, however often; ``Rules.many`` is for bounds of others."""
    if (low, high) in ((1, 1), (0, 1)):
        return atom if low else atom + "?"
    if high is None:
        return atom + ("*", "+")[low] if low < 2 else f"{atom}{{{low},}}"
    if high == 0:
        return ""
    return f"{atom}{{{low}}}" if low == high else f"{atom}{{{low},{high}}}"


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Bring ranges into order (rule 6)."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return tuple(out)


def outside(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Give all characters that are in none of the ranges."""
    out, at = [], 0
    for low, high in merged([*ranges, (0xD800, 0xDFFF)]):
        if low > at:
            out.append((at, low - 1))
        at = high + 1
    return (*out, (at, LAST)) if at <= LAST else tuple(out)


def common(left: Ranges, right: Ranges) -> Ranges:
    """Give the characters that are in both sets."""
    return outside(outside(left) + outside(right))


def spans(low: Sequence[int], high: Sequence[int], top: int) -> list[Span]:
    """Split the numbers from low to high, digits up to ``top``, into products of digit ranges."""
    if not low:
        return [[]]
    first, last, rest = low[0], high[0], len(low) - 1
    if first == last:
        return [[(first, first), *tail] for tail in spans(low[1:], high[1:], top)]
    below: list[Span] = []
    above: list[Span] = []
    if any(low[1:]):
        below = [[(first, first), *tail] for tail in spans(low[1:], [top] * rest, top)]
        first += 1
    if any(digit != top for digit in high[1:]):
        above = [[(last, last), *tail] for tail in spans([0] * rest, high[1:], top)]
        last -= 1
    middle = [[(first, last), *[(0, top)] * rest]] if first <= last else []
    return below + middle + above


def digits(span: Span, digit: Callable[[int, int], str]) -> str:
    """Write one product of digit ranges; equal ones that follow each other as a repetition."""
    out: list[list[Any]] = []
    for low, high in span:
        written = digit(low, high)
        if out and out[-1][0] == written:
            out[-1][1] += 1
        else:
            out.append([written, 1])
    return " ".join(repeated(written, times, times) for written, times in out)
