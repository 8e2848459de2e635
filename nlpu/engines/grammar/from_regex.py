"""Regular expressions as grammars.

Theory of operation
-------------------
An expression is read into a tree of five kinds of nodes, and the tree is written as a grammar's
body: either of the texts themselves, or of the texts as they stand inside a JSON string. Anchors
are nodes too; they are taken away at the borders, where what has no anchor may be preceded or
followed by anything (in a pattern, which is searched for) or by nothing (in a whole match).

Rules
1. Read: literals, ``.``, classes with ranges and negation, ``\\d \\w \\s \\D \\W \\S``, ``\\n \\r
   \\t \\f \\v``, ``\\xHH \\uHHHH \\UHHHHHHHH``, escaped punctuation, groups (plain, ``(?:...)`` and
   named), ``|``, ``? * + {m} {m,} {,n} {m,n}`` with a lazy or possessive mark, which changes
   nothing, and anchors at the borders: ``^ \\A`` and ``$ \\Z \\z``.
2. All else is refused by name: look-around, back-references, ``\\b``, flags, ``\\p``, anchors in
   the middle, and what Python and Rust read differently (``[[a]]``, ``&&``, ``\\<``).
3. In a whole match ``\\d \\w \\s`` are ASCII, as constraining decoders take them.
4. In a pattern they are never narrower than pydantic's (Rust) engine takes them: ``\\d`` has the
   decimal digits of all scripts, ``\\s`` all blanks, ``\\w`` more than all letters (validation does
   the rest); ``\\D \\W \\S`` exclude only ASCII. See regex_sets.py.
5. In a pattern a plain ASCII character stands for itself only; others as strings.py's rule 1 says.
6. ``.`` is anything but a newline; ``$`` is the very end.
"""

from __future__ import annotations

from string import hexdigits

from nlpu.engines.grammar.gbnf import ALL, LAST, MOST, Ranges, Rules, common, merged, outside
from nlpu.engines.grammar.regex_sets import known_set
from nlpu.engines.grammar.regex_tree import (
    Alt,
    Anchor,
    Chars,
    Node,
    Repeat,
    Seq,
    Writer,
    bordered,
    has_anchor,
)
from nlpu.errors import ConstraintRejected

_LETTERS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11}
_HEX = {"x": 2, "u": 4, "U": 8}
_NEWLINE: Ranges = ((10, 10),)


class _Reader:
    """Reads one expression; ``wide`` says how ``\\d`` and the like are taken (rules 3 and 4)."""

    def __init__(self, text: str, wide: bool) -> None:
        self._text, self._at, self._wide = text, 0, wide

    def read(self) -> Node:
        node = self._options()
        if self._at < len(self._text):
            raise self._refused("an unmatched ')'")
        return node

    def _refused(self, what: str) -> ConstraintRejected:
        shown = self._text if len(self._text) <= 60 else self._text[:57] + "..."
        return ConstraintRejected(
            f"the regular expression {shown!r} has {what} at {self._at}, "
            "which is not read here; write it another way"
        )

    def _peek(self, size: int = 1) -> str:
        return self._text[self._at : self._at + size]

    def _take(self, size: int = 1) -> str:
        taken = self._peek(size)
        if len(taken) < size:
            raise self._refused("a sudden end")
        self._at += size
        return taken

    def _eat(self, *wanted: str) -> str:
        for one in wanted:
            if self._text.startswith(one, self._at):
                self._at += len(one)
                return one
        return ""

    def _options(self) -> Node:
        options = [self._sequence()]
        while self._eat("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Alt(tuple(options))

    def _sequence(self) -> Node:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Seq(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        bounds = self._quantifier()
        if bounds is None:
            return part
        if isinstance(part, Anchor):
            raise self._refused("a repeated anchor")
        low, high = bounds
        if max(low, high or 0) > MOST or (high is not None and high < low):
            raise self._refused(f"a repetition that is empty or above {MOST}")
        self._eat("?", "+")
        if self._quantifier() is not None:
            raise self._refused("a repeated repetition")
        return Repeat(part, low, high)

    def _quantifier(self) -> tuple[int, int | None] | None:
        if sign := self._eat("?", "*", "+"):
            return {"?": (0, 1), "*": (0, None), "+": (1, None)}[sign]
        begun = self._at
        if not self._eat("{") or self._peek() == "}":
            self._at = begun
            return None
        low = high = self._number()
        if self._eat(","):
            high = self._number()
        if not self._eat("}"):
            self._at = begun  # a brace that begins no bounds is a brace
            return None
        return int(low or 0), int(high) if high else None

    def _number(self) -> str:
        begun = self._at
        while self._peek().isascii() and self._peek().isdigit():
            self._at += 1
        if self._at - begun > 9:
            raise self._refused(f"a repetition above {MOST}")
        return self._text[begun : self._at]

    def _atom(self) -> Node:
        if self._eat("("):
            return self._group()
        if self._peek() in ("?", "*", "+"):
            raise self._refused("nothing to repeat")
        if sign := self._eat("^", "\\A", "$", "\\Z", "\\z"):
            return Anchor(sign in ("^", "\\A"))
        if self._eat("."):
            return Chars(outside(_NEWLINE))
        if self._eat("["):
            return Chars(self._class())
        return Chars(self._escape(False) if self._eat("\\") else self._point(ord(self._take())))

    def _group(self) -> Node:
        if self._peek() == "?" and not self._eat("?:"):
            named = self._peek(3) not in ("?<=", "?<!") and self._eat("?P<", "?<")
            if not named:
                raise self._refused(f"the group '({self._peek(2)}'")
            while self._take() != ">":
                pass
        node = self._options()
        if not self._eat(")"):
            raise self._refused("a group without its end")
        return node

    def _class(self) -> Ranges:
        negated, first = bool(self._eat("^")), True
        found: list[tuple[int, int]] = []
        while first or not self._eat("]"):
            if self._peek(2) in ("&&", "--", "~~", "||") or self._peek() == "[":
                raise self._refused("a class inside a class")
            low = self._member(negated)
            if self._peek() == "-" and self._peek(2) != "-]":
                self._at += 1
                high = self._member(negated)
                if not low[0][0] == low[-1][1] <= high[0][0] == high[-1][1]:
                    raise self._refused("a range without order")
                low = ((low[0][0], high[0][0]),)
            found += low
            first = False
        ranges = outside(found) if negated else common(merged(found), ALL)
        if not ranges:
            raise self._refused("a class without members")
        return ranges

    def _member(self, negated: bool) -> Ranges:
        return self._escape(negated) if self._eat("\\") else self._point(ord(self._take()))

    def _escape(self, negated: bool) -> Ranges:
        """Read what is behind a backslash; in a negated class the narrow reading is the wider."""
        letter = self._take()
        if letter in "dwsDWS":
            return known_set(letter, not negated if self._wide else None)
        if letter in _LETTERS:
            return ((_LETTERS[letter],) * 2,)
        if letter in _HEX:
            code = self._take(_HEX[letter])
            if not set(code) <= set(hexdigits):
                raise self._refused(f"an unfinished \\{letter}")
            return self._point(int(code, 16))
        if letter in "<>" or (letter.isascii() and letter.isalnum()):
            self._at -= 2
            raise self._refused(f"\\{letter}")
        return self._point(ord(letter))

    def _point(self, code: int) -> Ranges:
        if 0xD800 <= code <= 0xDFFF or code > LAST:
            raise self._refused(f"the code {code:x}, of no character,")
        return ((code, code),)


def regex_grammar(expression: str) -> str:
    """Write the grammar of the texts that match as a whole. Raises ConstraintRejected."""
    rules = Rules()
    nothing = Seq(())
    body = Writer(rules, False).body(_unanchored(expression, nothing, wide=False))
    return rules.text(body)


def pattern_body(rules: Rules, pattern: str) -> str:
    """Write what may stand between the quotes of a JSON string in which the pattern is found.

    Raises ConstraintRejected.
    """
    anything = Repeat(Chars(ALL), 0, None)
    return Writer(rules, True).body(_unanchored(pattern, anything, wide=True))


def _unanchored(expression: str, padding: Node, *, wide: bool) -> Node:
    node = _Reader(expression, wide).read()
    node = bordered(bordered(node, True, padding), False, padding)
    if has_anchor(node):
        raise ConstraintRejected(
            f"the regular expression {expression:.60} has an anchor in its middle, "
            "which is not read here; write it another way"
        )
    return node
