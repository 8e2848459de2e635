"""A text of a grammar, for a server that has no model: what vLLM's ``grammar`` asks for.

Theory of operation
-------------------
The grammar is read into rules of alternatives, each a sequence of parts that come a number of
times. A text is made by walking from the root and letting dice choose, so the same prompt gives
the same text. How far each rule is from an end is worked out first; deep inside, the nearest end
is taken, so that types which contain themselves end as well.

Rules
1. Only what ``nlpu.engines.grammar`` writes is read; anything else is a ValueError.
2. Letters are chosen before other characters, and escapes only where nothing else stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_TOKEN = re.compile(
    r'\s*(?:(?P<name>[a-z]+(?:-\d+)?)(?P<defines>\s*::=)?|"(?P<text>(?:\\.|[^"\\])*)"'
    r"|\[(?P<set>(?:\\.|[^\]\\])*)\]|(?P<mark>[()|?*+])|\{(?P<low>\d+)(?P<comma>,)?(?P<high>\d*)\})"
)
_POINT = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})|\\(.)|(.)", re.DOTALL)
_DEEP = 24  # rules inside each other; below, the nearest end is taken
_MORE = 3  # most repetitions beyond those that must be
_PLAIN = [*range(97, 123), *range(65, 91), *range(48, 58), 32]
_FAR = 1 << 30


class Chance(Protocol):
    """What draws."""

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        ...


@dataclass(frozen=True, slots=True)
class _Part:
    """A text, a set of characters, a rule's name or a group, so many times."""

    what: str | tuple[tuple[int, int], ...] | _Group
    is_name: bool = False
    low: int = 1
    high: int | None = 1


@dataclass(frozen=True, slots=True)
class _Group:
    options: tuple[tuple[_Part, ...], ...]


def sample(grammar: str, dice: Chance) -> str:
    """Make a text of the grammar. Raises ValueError where it cannot be read."""
    rules, ends = _read(grammar)
    return _Walk(rules, ends, dice).name("root", 0)


class _Walk:
    """One way through the rules."""

    def __init__(self, rules: dict[str, _Group], ends: dict[str, int], dice: Chance) -> None:
        self._rules, self._ends, self._dice = rules, ends, dice

    def name(self, name: str, depth: int) -> str:
        return self._group(self._rules[name], depth + 1)

    def _group(self, group: _Group, depth: int) -> str:
        options = group.options
        if depth > _DEEP:
            options = (min(options, key=lambda option: _far(option, self._ends)),)
        plain = [option for option in options if not _escapes(option)] or options
        return "".join(self._part(part, depth) for part in plain[self._dice.below(len(plain))])

    def _part(self, part: _Part, depth: int) -> str:
        most = part.low + _MORE if part.high is None else min(part.high, part.low + _MORE)
        times = part.low
        if depth <= _DEEP and most > part.low:
            times += self._dice.below(most - part.low + 1)
        return "".join(self._once(part, depth) for _ in range(times))

    def _once(self, part: _Part, depth: int) -> str:
        if isinstance(part.what, str):
            return self.name(part.what, depth) if part.is_name else part.what
        if isinstance(part.what, _Group):
            return self._group(part.what, depth)
        plain = [point for point in _PLAIN if any(a <= point <= b for a, b in part.what)]
        low, high = part.what[0]
        points = plain or [*range(low, min(high, low + 64) + 1)]
        return chr(points[self._dice.below(len(points))])


def _escapes(option: tuple[_Part, ...]) -> bool:
    return bool(option) and option[0].what == "\\"


def _far(option: tuple[_Part, ...], ends: dict[str, int]) -> int:
    """How many rules inside each other an option needs at least."""
    return max((_need(part, ends) for part in option if part.low), default=0)


def _need(part: _Part, ends: dict[str, int]) -> int:
    if isinstance(part.what, _Group):
        return min(_far(option, ends) for option in part.what.options)
    return ends[str(part.what)] if part.is_name else 0


@lru_cache(maxsize=256)
def _read(grammar: str) -> tuple[dict[str, _Group], dict[str, int]]:
    rules = {name: _Reader(body).whole() for name, body in _bodies(grammar)}
    ends = dict.fromkeys(rules, _FAR)
    for _ in rules:
        found = {
            name: 1 + min(_far(option, ends) for option in group.options)
            for name, group in rules.items()
        }
        found = {name: min(far, _FAR) for name, far in found.items()}
        if found == ends:
            break
        ends = found
    return rules, ends


def _bodies(grammar: str) -> list[tuple[str, str]]:
    lines = (line.partition(" ::= ") for line in grammar.split("\n") if line)
    return [(name, body) for name, _, body in lines]


class _Reader:
    """Reads the body of a rule."""

    def __init__(self, body: str) -> None:
        self._tokens = [found for found in _tokens(body)]
        self._at = 0

    def whole(self) -> _Group:
        group = self._options()
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at][0]!r} ends nothing in this grammar")
        return group

    def _peek(self, mark: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at]["mark"] == mark:
            self._at += 1
            return True
        return False

    def _options(self) -> _Group:
        options = [self._sequence()]
        while self._peek("|"):
            options.append(self._sequence())
        return _Group(tuple(options))

    def _sequence(self) -> tuple[_Part, ...]:
        parts = []
        while self._at < len(self._tokens) and self._tokens[self._at]["mark"] not in ("|", ")"):
            parts.append(self._times(self._atom()))
        return tuple(parts)

    def _atom(self) -> _Part:
        if self._peek("("):
            group = self._options()
            if not self._peek(")"):
                raise ValueError("a group does not end in this grammar")
            return _Part(group)
        token = self._tokens[self._at]
        self._at += 1
        if token["name"] is not None:
            return _Part(token["name"], is_name=True)
        if token["text"] is not None:
            return _Part("".join(map(chr, _points(token["text"]))))
        if token["set"] is not None:
            return _Part(_ranges(token["set"]))
        raise ValueError(f"{token[0]!r} stands for nothing in this grammar")

    def _times(self, part: _Part) -> _Part:
        for mark, low, high in (("?", 0, 1), ("*", 0, None), ("+", 1, None)):
            if self._peek(mark):
                return _Part(part.what, part.is_name, low, high)
        if self._at < len(self._tokens) and self._tokens[self._at]["low"] is not None:
            found = self._tokens[self._at]
            self._at += 1
            least = int(found["low"])
            most = int(found["high"]) if found["high"] else None if found["comma"] else least
            return _Part(part.what, part.is_name, least, most)
        return part


def _tokens(body: str) -> list[re.Match[str]]:
    found, at = [], 0
    while body[at:].strip():
        token = _TOKEN.match(body, at)
        if token is None:
            raise ValueError(f"{body[at : at + 20]!r} is not read in a grammar")
        found.append(token)
        at = token.end()
    return found


def _points(text: str) -> list[int]:
    return [
        int(found[1] or found[2], 16) if found[1] or found[2] else ord(found[3] or found[4])
        for found in _POINT.finditer(text)
    ]


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges of a class; a hyphen between two characters makes one of them."""
    out: list[tuple[int, int]] = []
    found = [match[0] for match in _POINT.finditer(text)]
    at = 0
    while at < len(found):
        (low,) = _points(found[at])
        high = low
        if at + 2 < len(found) and found[at + 1] == "-":
            (high,) = _points(found[at + 2])
            at += 2
        out.append((low, high))
        at += 1
    return tuple(out)
