"""What stands around an operand in a prompt: its label and its fence. Pure.

Rules
1. A fence is one backtick longer than the longest run of backticks in its text, and at least three:
   no operand can close its own, and equal operands give equal ids. A text without a line break may
   stand in its line without one: it cannot begin another.
2. Labels of one op differ. Where two names are the same in words (``text`` and ``Text``), the names
   themselves are its labels; a document is not called as another operand is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nlpu.ops.op import Op
from nlpu.prompt.convention import Convention

# A line break of any kind (``str.splitlines``)
_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BACKTICKS = re.compile(r"`{3,}")


class Around(str):
    """A piece of a turn that stands around an operand."""

    __slots__ = ()


class Shown(str):
    """A piece of a turn that is examples, or one part of them."""

    __slots__ = ()


def fence_for(text: str) -> str:
    """A run of backticks longer than any inside the text, at least three."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=2) if "```" in text else 2
    return "`" * (longest + 1)


def fences_of(convention: Convention, contents: Sequence[str]) -> tuple[str, ...]:
    """A fence for each text, or none where the convention writes it as a line."""
    if convention.line:
        return tuple([fence_for(text) if _BREAK.search(text) else "" for text in contents])
    return tuple(fence_for(text) if "```" in text else "```" for text in contents)


def fences_for(convention: Convention, op: Op[Any], contents: Sequence[str]) -> tuple[str, ...]:
    """The fences of a call's operands; a chat, should it be written as text, always has one."""
    fences = fences_of(convention, contents)
    if op.chat < 0:
        return fences
    return (*fences[: op.chat], fence_for(contents[op.chat]), *fences[op.chat + 1 :])


def label_of(name: str) -> str:
    """A name as words: ``first_draft`` is "First draft". Short ones, ``x`` and ``_1``, stay."""
    words = " ".join(name.split("_"))
    return name if name[0] == "_" or len(name) < 3 else words[:1].upper() + words[1:]


def labels_of(op: Op[Any]) -> list[str]:
    """A label for each operand (rule 2)."""
    labels = [label_of(place.name) for place in op.operands]
    if len(set(labels)) == len(labels):
        return labels
    return [place.name for place in op.operands]


def document_label(convention: Convention, labels: Sequence[str], place: int) -> str:
    """The label of an operand that goes first: the same in all ops, if no other here has it."""
    others = (label for other, label in enumerate(labels) if other != place)
    return labels[place] if convention.document in others else convention.document


def around(convention: Convention, name: str, label: str, fence: str) -> tuple[Around, Around]:
    """What is written before and behind an operand; one without a fence is a line."""
    template = convention.operand if fence else convention.line
    named = template.replace("{name}", name).replace("{label}", label).replace("{fence}", fence)
    head, _, tail = named.partition("{text}")
    return Around(head), Around(tail)
