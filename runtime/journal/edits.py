"""Editing: a new run that differs from an old one in one result or one op's text.

Theory of operation
-------------------
Nothing is patched. The program runs again from its start, as a new run, and meets the old run's
results by their keys (op, operand contents, processor, sampling), wherever nothing it read has
changed. A call whose operands come out different has another key and is made. So exactly what
depends on the edit, by data or by control, is made again, and it stops where a result comes out
as it was.

Rules
1. An edited result has a key of its own, made of its position and text: calls that are equal to
   the old one keep the old result.
2. What the program got from outside (time, chance, which came first) is the old run's, where it
   is asked for at the same position.
3. An edited result belongs to its op, too: where the edit makes the program call another op at
   that position, it is not used, and the run says so.
4. The new run's journal holds the edit and the link; resuming it finds the same ancestor.
5. A text that nobody vouches for is untrusted where it is a result, and so is what comes of an
   instruction that is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from nlpu.checks import NAMES, TABLE, check_fields
from nlpu.errors import Usage
from nlpu.label import UNTRUSTED, USER, Label
from nlpu.ops.op import Call, Draws, Map, Op, Reduce
from nlpu.printing import one_line
from nlpu.reliability import Reliably
from nlpu.runtime.journal.records import Outcome, Past
from nlpu.runtime.journal.store import RunLog

_MOST_NAMED = 5
_MOST_OPS = 512


@dataclass(frozen=True, slots=True)
class Edits:
    """What differs: texts of results by position, and instructions by name of their op.

    distrusted: the positions and names whose texts nobody vouches for.
    """

    results: Mapping[str, str] = field(default_factory=dict)
    ops: Mapping[str, str] = field(default_factory=dict)
    distrusted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_fields(self, {"results": TABLE, "ops": TABLE, "distrusted": NAMES})
        object.__setattr__(self, "distrusted", frozenset(self.distrusted))

    def label(self, what: str) -> Label:
        """The label of the text for a position or an op (rule 5)."""
        return UNTRUSTED if what in self.distrusted else USER

    def over(self, before: Edits) -> Edits:
        """These edits and those of an ancestor that they leave as they are."""
        kept = before.distrusted - {*self.results, *self.ops}
        results, ops = {**before.results, **self.results}, {**before.ops, **self.ops}
        return Edits(results, ops, kept | self.distrusted)

    def __repr__(self) -> str:
        return one_line(f"Edits({', '.join([*self.results, *self.ops]) or 'none'})")


class Ancestor:
    """The run that an edited one comes from, and the edits between them."""

    def __init__(self, past: Past, edits: Edits, log: RunLog) -> None:
        """``log``: the edited run's; the past's texts are known there."""
        self.past = past
        self.edits = edits
        self._edited = {at: _key_of(at, text) for at, text in edits.results.items()}
        self.unused = set(edits.results)  # positions where no call of the edited op has come to be
        for at, text in edits.results.items():
            number = log.text(text)
            log.texts[number] = text
            past.outcomes[self._edited[at].hex()] = Outcome(number, [])

    def key(self, position: str, op: Op[Any], key: bytes) -> bytes:
        """The key of the call there (rule 1); of another op than was edited, its own."""
        edited, before = self._edited.get(position), self.past.calls.get(position)
        if edited is None or (before and self.past.ops[before.op].name != op.name):
            return key
        self.unused.discard(position)
        return edited

    def outcome(self, key: bytes, label: Callable[[], Label]) -> Outcome | None:
        """What it holds for a call; ``label``: of all that was read for that."""
        return self.past.outcomes.get(key.hex())

    def was_edited(self, position: str) -> bool:
        """Whether the result at that position is a person's."""
        return position in self._edited and position not in self.unused


def rewritten(work: Any, texts: Mapping[str, str]) -> Any:
    """The work with its op's new text, if one of that name has one."""
    if not isinstance(work, Call | Draws | Map | Reduce | Reliably):
        return work
    text = texts.get(work.op.name)
    return work if text is None else replace(work, op=replace(work.op, text=text))


@dataclass(slots=True)
class Persona:
    """A run's system text: what every op of the run that says nothing of one is asked under."""

    text: str
    ops: dict[int, tuple[Op[Any], Op[Any]]] = field(default_factory=dict)

    def over(self, work: Any) -> Any:
        """The work with its op under the text; ``system=""`` is an op's own (none at all).

        Remembered by identity: equal ops may differ, in their processor or the class of a result.
        """
        if not isinstance(work, Call | Draws | Map | Reduce) or work.op.system is not None:
            return work
        op = work.op
        made = self.ops.get(id(op))
        if made is None:  # the op is kept, so that its id stays its own
            if len(self.ops) >= _MOST_OPS:  # a program may make its ops anew for every call
                self.ops.clear()
            made = self.ops[id(op)] = (op, replace(op, system=self.text))
        return replace(work, op=made[1])


def label_of_text(ancestor: Ancestor | None, work: Any) -> Label:
    """The label of an op's instruction (rule 5)."""
    edited = ancestor is not None and isinstance(work, Call | Draws | Map | Reduce)
    return ancestor.edits.label(work.op.name) if ancestor is not None and edited else USER


def _key_of(position: str, text: str) -> bytes:
    return blake2b(f"edited|{position}|{text}".encode(), digest_size=12).digest()


def check(past: Past, edits: Edits) -> None:
    """Raises Usage where an edit fits nothing in the old run."""
    for position in edits.results:
        if position not in past.calls:
            raise Usage(f"the run has no call at {position!r}; {_near(position, past)}")
    names = {op.name for op in past.ops.values()}
    for name in edits.ops:
        if name not in names:
            raise Usage(f"the run called no op {name!r}; it called: {', '.join(sorted(names))}")


def _near(position: str, past: Past) -> str:
    parent = position.rpartition("/")[0]
    near = [known for known in past.calls if known.rpartition("/")[0] == parent] or [*past.calls]
    return f"it has, for example, {', '.join(near[:_MOST_NAMED])} (all: nlpu show RUN --all)"
