"""Labels: who vouches for a text, and who may read it.

Theory of operation
-------------------
A label travels with every Value. Joining labels can only lower trust and narrow the readers, so
whatever an op makes of its operands is trusted no more than the least trusted of them.

Rules
1. Labels are interned: equal labels are one object, joining two is a dictionary look-up.
2. ``join`` is associative, commutative and idempotent (a semilattice); tests hold it to that.
3. A missing label means untrusted.
4. Nothing here decides what a label permits; that is the dispatcher's task. Nor which labels a
   result is joined of: that is its node's (``runtime.graph.node``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from nlpu.errors import BadOperand
from nlpu.printing import one_line, shown


class Integrity(IntEnum):
    """Who vouches for the text. Smaller is less trusted."""

    UNTRUSTED = 0
    SYSTEM = 1
    USER = 2


@dataclass(frozen=True, slots=True)
class Label:
    """Who vouches for a content, and who may read it. Raises BadOperand where it is no label.

    Attributes:
        integrity: ``nlpu.label.Integrity``: UNTRUSTED (nobody vouches), SYSTEM or USER.
        readers: The names of those who may read it (None: everyone).
    """

    integrity: Integrity = Integrity.UNTRUSTED
    readers: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.integrity, Integrity) or not isinstance(
            self.readers, frozenset | None
        ):
            raise BadOperand(
                "a label is a nlpu.label.Integrity and the readers (a frozenset of names; None: "
                f"everyone), not {shown((self.integrity, self.readers))}"
            )

    def __str__(self) -> str:
        who = "" if self.readers is None else f", readers {', '.join(sorted(self.readers)) or '-'}"
        return f"{self.integrity.name.lower()}{who}"

    def __repr__(self) -> str:
        return one_line(f"Label({self})")


@lru_cache(maxsize=4096)
def _interned(integrity: Integrity, readers: frozenset[str] | None) -> Label:
    return Label(integrity, readers)


def intern_label(integrity: Integrity, readers: frozenset[str] | None = None) -> Label:
    """The one Label object with these parts."""
    return _interned(integrity, readers)  # the cache tells f(x) from f(x, None)


USER = intern_label(Integrity.USER)
SYSTEM = intern_label(Integrity.SYSTEM)
UNTRUSTED = intern_label(Integrity.UNTRUSTED)


@lru_cache(maxsize=65536)
def _join(a: Label, b: Label) -> Label:
    if a.readers is None or b.readers is None:
        readers = a.readers if b.readers is None else b.readers
    else:
        readers = a.readers & b.readers
    return _interned(min(a.integrity, b.integrity), readers)


def join(a: Label, b: Label) -> Label:
    """Give the label of what is made from both: the lesser trust, and the readers they share."""
    return a if a is b else _join(a, b)


def label_text(label: Label) -> str:
    """Write a label as it is stored."""
    readers = None if label.readers is None else sorted(label.readers)
    return json.dumps([label.integrity.name, readers])


def label_of(stored: str | None) -> Label:
    """Read a stored label (rule 3)."""
    try:
        integrity, readers = json.loads(stored or "")
        who = None if readers is None else frozenset(map(str, readers))
        return intern_label(Integrity[integrity], who)
    except (ValueError, KeyError, TypeError):
        return UNTRUSTED
