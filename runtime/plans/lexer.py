"""The words of a program as text, and a reader of one line of them.

Theory of operation
-------------------
A line is cut into tokens by one regular expression; a cursor walks over them and says, where
something else stands than what is expected, the line, the column and what was expected. Values in
the text are JSON's own.

Rules
1. Whatever the text, the only error is BadProgram.
2. What is read is bounded: nesting, digits, and numbers that are none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple, NoReturn

from nlpu.errors import BadOperand, BadProgram
from nlpu.lifting import check_text
from nlpu.runtime.plans.plan import Ref
from nlpu.types.json_text import Twice, once

RESERVED = frozenset(
    {
        "op",
        "driver",
        "function",
        "param",
        "return",
        "map",
        "reduce",
        "draw",
        "sample",
        "first",
        "split",
        "given",
        "failed",
        "true",
        "false",
        "null",
        "user",
        "system",
        "untrusted",
        "str",
        "bool",
        "int",
        "float",
        "judgement",
        "list",
        "json",
    }
)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_TOKEN = re.compile(
    r"[ \t]*(?:(?P<ref>%[0-9]{1,6})"
    r"|(?P<number>-?(?:0|[1-9][0-9]{0,307})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?)"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,59})"
    r"|(?P<mark>->|[][{}(),:=|]))"
)
_DEEPEST = 24  # levels of lists and records


class Token(NamedTuple):
    """A word and where it stands. kind: ref, number, string, name, mark or end."""

    kind: str
    text: str
    column: int


class Line:
    """A line that is being read."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self._tokens: list[Token] = list(self._cut(text))
        self._at = 0

    def _cut(self, text: str) -> Iterator[Token]:
        at, end = 0, len(text.rstrip(" \t"))
        while at < end:
            match = _TOKEN.match(text, at, end)
            if match is None:
                at += len(text[at:]) - len(text[at:].lstrip(" \t"))
                self.refuse(at + 1, f"{text[at]!a} begins no word of the language")
            kind = str(match.lastgroup)
            yield Token(kind, match[kind], match.start(kind) + 1)
            at = match.end()
        yield Token("end", "the end of the line", end + 1)

    def refuse(self, column: int, why: str) -> NoReturn:
        """Raises BadProgram for a place in the line."""
        raise BadProgram(f"line {self.number}, column {column}: {why}")

    def fail(self, expected: str) -> NoReturn:
        """Raises BadProgram: something else was expected next."""
        token = self.next
        self.refuse(token.column, f"expected {expected}, found {token.text[:40]}")

    @property
    def next(self) -> Token:
        """The token that has not been taken yet."""
        return self._tokens[self._at]

    def take(self, kind: str, expected: str) -> str:
        """The next token's text, which must be of that kind."""
        token = self.next
        if token.kind != kind:
            self.fail(expected)
        self._at += 1
        return token.text

    def given(self, *texts: str) -> str:
        """The next token's text if it is one of these marks or names, and then it is taken."""
        token = self.next
        if token.kind not in ("mark", "name") or token.text not in texts:
            return ""
        self._at += 1
        return token.text

    def expect(self, mark: str) -> None:
        """Take that mark."""
        if not self.given(mark):
            self.fail(repr(mark))

    def ref(self) -> Ref:
        """A value's number."""
        return Ref(int(self.take("ref", "a value such as %1")[1:]))

    def name(self, expected: str) -> str:
        """A name that is no word of the language."""
        if self.next.text in RESERVED:
            self.fail(f"{expected}, which cannot be a word of the language")
        return self.take("name", expected)

    def string(self, expected: str) -> str:
        """A JSON string."""
        column = self.next.column
        text = self.take("string", expected)
        try:
            return check_text(str(json.loads(text)), "the string")
        except (ValueError, BadOperand) as error:
            self.refuse(column, f"a string is written as in JSON: {error}")

    def json(self) -> Any:
        """A JSON value."""
        column, content = self.next.column, self.expression()
        if _has_ref(content):
            self.refuse(column, "expected JSON without values of the program")
        return content

    def expression(self, level: int = 0) -> Any:
        """JSON in which values may stand."""
        token = self.next
        if level > _DEEPEST:
            self.refuse(token.column, f"lists and records are at most {_DEEPEST} levels deep")
        if token.kind == "ref":
            return self.ref()
        if token.kind == "string":
            return self.string("a string")
        if token.kind == "number":
            return self._number()
        if self.given("["):
            return self._items("]", lambda: self.expression(level + 1))
        if self.given("{"):
            fields = self._items("}", lambda: self._field(level + 1))
            try:
                return once(fields)
            except Twice as error:
                self.refuse(token.column, str(error))
        word = self.given("true", "false", "null")
        return json.loads(word) if word else self.fail("a value or JSON")

    def _number(self) -> Any:
        column, text = self.next.column, self.take("number", "a number")
        number = json.loads(text)
        return number if isfinite(number) else self.refuse(column, f"{text} is out of bounds")

    def _field(self, level: int) -> tuple[str, Any]:
        key = self.string("a name in quotes")
        self.expect(":")
        return key, self.expression(level)

    def _items(self, close: str, item: Any) -> list[Any]:
        items: list[Any] = []
        while not self.given(close):
            if items:
                self.expect(",")
            items.append(item())
        return items

    def whole(self, least: int, most: int) -> int:
        """A whole number within bounds."""
        token = self.next
        number = self._number()
        if not isinstance(number, int) or not least <= number <= most:
            self.refuse(token.column, f"expected a whole number from {least} to {most}")
        return number

    def end(self) -> None:
        """Nothing more may stand in the line."""
        if self.next.kind != "end":
            self.fail("the end of the line")


def _has_ref(content: Any) -> bool:
    if isinstance(content, dict):
        return any(map(_has_ref, content.values()))
    return isinstance(content, Ref) or (isinstance(content, list) and any(map(_has_ref, content)))
