"""Dice, and texts that a regular expression matches.

Theory of operation
-------------------
``Dice`` is an endless stream of numbers drawn from a hash. An expression is walked as Python parses
it, and the dice are rolled at each branch, repetition and class.

Rules
1. Equal dice give equal texts; nothing else counts.
2. Look-arounds and anchors are left out of the walk. What comes out is kept if the expression takes
   it, else the dice are rolled again, with other numbers of repetitions.
3. Letters are ASCII, and plain ones where the expression lets one choose.
4. What is not read, or not met in ``_TRIES`` rolls, is ConstraintRejected, which names it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import cycle, islice
from math import isinf
from typing import Any

from nlpu.errors import ConstraintRejected

_TEXT = (
    "the a one old red small quiet bright river house garden letter captain rabbit window morning "
    "found saw kept gave took under near before after with without slowly again never almost"
)
WORDS = tuple(_TEXT.split())
MANY = 3  # repetitions rolled where nothing sets an upper bound
_TRIES = 200


class Dice:
    """An endless stream of numbers drawn from ``key``."""

    def __init__(self, key: str) -> None:
        self._key, self._n = key, 0

    def below(self, n: int) -> int:
        """Roll a number from 0 to n - 1."""
        self._n += 1
        seed = f"{self._key}/{self._n}".encode()
        if n < 1 << 48:
            return int.from_bytes(hashlib.sha256(seed).digest()[:7], "big") % n
        return int.from_bytes(hashlib.shake_256(seed).digest(n.bit_length() // 8 + 8), "big") % n

    def between(self, low: int, high: int) -> int:
        """Roll a number from low to high; low, if there is none between."""
        return low + self.below(max(1, high - low + 1))

    def words(self, n: int) -> str:
        """Roll n words."""
        return " ".join(WORDS[self.below(len(WORDS))] for _ in range(n))


def match(pattern: str, dice: Dice) -> str:
    """Make a text that the whole expression matches; of numbers, one that can be counted with.

    Raises ConstraintRejected.
    """
    last = None
    for found in rolls(pattern, dice, 0, 16):
        if re.fullmatch(_pythonic(pattern), found) is not None:
            if not _is_far(found):
                return found
            last = found
    if last is not None:
        return last
    raise ConstraintRejected(f"no text was found for the expression {pattern:.60}; script it")


def _is_far(text: str) -> bool:
    """Tell whether it looks like a number and is beyond all of them (1e999)."""
    try:
        return isinf(float(text))
    except ValueError:
        return False


def holds(pattern: str, found: str) -> bool:
    """Tell whether a pattern is found in a text."""
    return re.search(_pythonic(pattern), found) is not None


def rolls(pattern: str, dice: Dice, low: int, high: int) -> Iterator[str]:
    """Roll texts of an expression, of which some may have low to high characters (rule 2).

    Raises ConstraintRejected.
    """
    try:
        tree = import_module("re._parser").parse(_pythonic(pattern))
    except (re.error, RecursionError) as error:
        raise ConstraintRejected(f"the expression {pattern:.60} is not read: {error}") from error
    sizes = (MANY, 0, 1, low, min(high, 2 * low + 8), max(low, 8))
    for many in islice(cycle(sizes), _TRIES):
        yield "".join(_walk(tree, dice, many))


def _pythonic(pattern: str) -> str:
    """Write an expression of pydantic's engine as Python reads it."""
    return re.sub(r"\(\?<(?![=!])", "(?P<", pattern.replace(r"\z", r"\Z"))


def _walk(tree: Any, dice: Dice, many: int) -> Iterator[str]:
    for op, arg in tree:
        yield _node(str(op), arg, dice, many)


def _node(op: str, arg: Any, dice: Dice, many: int) -> str:
    if op == "LITERAL":
        return chr(arg)
    if op == "BRANCH":
        return "".join(_walk(arg[1][dice.below(len(arg[1]))], dice, many))
    if op in {"SUBPATTERN", "ATOMIC_GROUP"}:
        return "".join(_walk(arg[3] if op == "SUBPATTERN" else arg, dice, many))
    if op in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        low, high, inner = arg
        n = dice.between(low, min(high, low + many))
        return "".join("".join(_walk(inner, dice, many)) for _ in range(n))
    if op in {"IN", "ANY", "NOT_LITERAL", "CATEGORY"}:
        return _letter(op, arg, dice)
    if op in {"AT", "ASSERT", "ASSERT_NOT"}:
        return ""
    raise ConstraintRejected(f"{op.lower()} in an expression is not read; script the answer")


def _letter(op: str, arg: Any, dice: Dice) -> str:
    parts = {"IN": arg, "ANY": [("NEGATE", None)], "NOT_LITERAL": [("NEGATE", 0), ("LITERAL", arg)]}
    spec = parts.get(op, [(op, arg)])
    allowed = [c for c in map(chr, range(32, 127)) if _in_class(c, spec)]
    if not allowed:  # only letters beyond ASCII, or control characters
        allowed = [c for c in map(chr, range(0xFFFF)) if _in_class(c, spec)][:100]
    plain = [c for c in allowed if c.isalnum()] or allowed
    if not plain:
        raise ConstraintRejected("an expression has a class without members")
    return plain[dice.below(len(plain))]


def _in_class(char: str, parts: Any) -> bool:
    negated = any(str(op) == "NEGATE" for op, _ in parts)
    return negated != any(_is(char, str(op), arg) for op, arg in parts)


def _is(char: str, op: str, arg: Any) -> bool:
    if op == "LITERAL":
        return ord(char) == int(arg)
    if op == "RANGE":
        return int(arg[0]) <= ord(char) <= int(arg[1])
    name = str(arg).removeprefix("CATEGORY_")
    inside = {
        "DIGIT": char.isdigit(),
        "SPACE": char.isspace(),
        "WORD": char.isalnum() or char == "_",
    }
    known = inside.get(name.removeprefix("NOT_"))
    return op == "CATEGORY" and known is not None and name.startswith("NOT_") != known
