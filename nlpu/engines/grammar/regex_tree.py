"""The tree of a regular expression, and how it becomes the body of a rule.

Theory of operation
-------------------
An expression is a tree of five kinds of nodes. ``bordered`` takes the anchors away at one border,
where what has no anchor gets a padding: anything in a pattern, which is searched for, nothing in a
whole match. ``Writer`` writes the tree, either as the texts themselves or as they stand inside a
JSON string.

Rules
1. An anchor may stand first or last in an expression, in an option of one, and in a group that
   stands first or last.
2. What is repeated and may be empty is written without the empty text (gbnf.py's rule 5); the
   language stays the same.
3. In a JSON string a plain ASCII character stands for itself only; others as strings.py says.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple, TypeAlias

from nlpu.engines.grammar.gbnf import Ranges, Rules, common, either, joined, literal, one_of
from nlpu.engines.grammar.strings import characters
from nlpu.errors import ConstraintRejected


class Chars(NamedTuple):
    """One character of a set."""

    ranges: Ranges


class Seq(NamedTuple):
    """One part after the other."""

    parts: tuple[Node, ...]


class Alt(NamedTuple):
    """One of the options."""

    options: tuple[Node, ...]


class Repeat(NamedTuple):
    """A part a number of times."""

    part: Node
    low: int
    high: int | None


class Anchor(NamedTuple):
    """The beginning or the end of the text."""

    start: bool


Node: TypeAlias = Chars | Seq | Alt | Repeat | Anchor

_THEMSELVES: Ranges = ((0x20, 0x21), (0x23, 0x2E), (0x30, 0x5B), (0x5D, 0x7E))  # in JSON too


def has_anchor(node: Node) -> bool:
    """Tell whether an anchor is left in a node."""
    if isinstance(node, Repeat):
        return has_anchor(node.part)
    parts = node.parts if isinstance(node, Seq) else node.options if isinstance(node, Alt) else ()
    return isinstance(node, Anchor) or any(map(has_anchor, parts))


def bordered(node: Node, start: bool, padding: Node) -> Node:
    """Take the anchors away at one border; what has none there gets the padding."""
    if isinstance(node, Alt):
        return Alt(tuple(bordered(option, start, padding) for option in node.options))
    parts = node.parts if isinstance(node, Seq) else (node,)
    if parts:
        at = 0 if start else -1
        rest = parts[1:] if start else parts[:-1]
        edge = parts[at]
        if edge == Anchor(start):
            return bordered(Seq(rest), start, Seq(()))
        if isinstance(edge, Seq | Alt) and has_anchor(edge):
            inner = bordered(edge, start, padding)
            return Seq((inner, *rest) if start else (*rest, inner))
    return Seq((padding, *parts) if start else (*parts, padding))


def _may_be_empty(node: Node) -> bool:
    if isinstance(node, Repeat):
        return node.low == 0 or _may_be_empty(node.part)
    if isinstance(node, Alt):
        return any(map(_may_be_empty, node.options))
    return isinstance(node, Seq) and all(map(_may_be_empty, node.parts))


class Writer:
    """Writes a tree into rules."""

    def __init__(self, rules: Rules, quoted: bool) -> None:
        self._rules, self._quoted = rules, quoted
        self._known: dict[int, str] = {}  # by identity: the tree outlives the writer

    def body(self, node: Node) -> str:
        """Write the body of a node; nothing, if the node is the empty text only."""
        if isinstance(node, Alt):
            return either(self.body(option) for option in node.options)
        if isinstance(node, Chars):
            return self._characters(node.ranges)
        if isinstance(node, Repeat):
            return self._repeat(node, 0 if _may_be_empty(node.part) else node.low)
        assert isinstance(node, Seq)
        written: list[str] = []
        for plain, run in groupby(node.parts, lambda part: bool(self._plain(part))):
            if plain:
                written.append(literal("".join(map(self._plain, run))))
            else:
                written += [self._part(self.body(part)) for part in run]
        return joined(*written)

    def _filled(self, node: Node) -> str:
        """Write the body of a node without the empty text (rule 2), once."""
        if id(node) not in self._known:
            self._known[id(node)] = self._write_filled(node)
        return self._known[id(node)]

    def _write_filled(self, node: Node) -> str:
        if not _may_be_empty(node):
            return self.body(node)
        if isinstance(node, Repeat):
            return self._repeat(node, 1)
        if isinstance(node, Alt):
            options = [self._filled(option) for option in node.options]
        else:
            assert isinstance(node, Seq)
            written = [self._part(self.body(part)) for part in node.parts]
            filled = [self._part(self._filled(part)) for part in node.parts]
            options = [
                joined(first, *written[at + 1 :]) for at, first in enumerate(filled) if first
            ]
        return either(filter(None, options))

    def _plain(self, node: Node) -> str:
        """Give the character that this is, if it is one and stands for itself."""
        if not isinstance(node, Chars) or len(node.ranges) != 1:
            return ""
        ((low, high),) = node.ranges
        allowed = common(node.ranges, _THEMSELVES)
        return chr(low) if low == high and (allowed or not self._quoted) else ""

    def _part(self, body: str) -> str:
        return self._rules.add("part", body) if " | " in body else body

    def _repeat(self, node: Repeat, low: int) -> str:
        body = self._filled(node.part)
        if not body:
            return ""
        single = isinstance(node.part, Chars) and " " not in body
        atom = body if single else self._rules.add("part", body)
        return self._rules.many(atom, low, node.high)

    def _characters(self, ranges: Ranges) -> str:
        if self._quoted:
            return characters(ranges)
        ranges = common(ranges, ((1, 0x10FFFF),))
        if not ranges:
            raise ConstraintRejected("no model can write '\\0'; leave it out of the constraint")
        return one_of(ranges)
