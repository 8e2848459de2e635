"""The entries of a context window: texts that fit, or their beginnings with the way to the rest.

Rules
1. What an entry does not hold can be read at the address that it does.
2. ``store`` is called before the text leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nlpu.errors import DoesNotFit
from nlpu.label import USER, Label
from nlpu.printing import one_line, shown
from nlpu.text import chunks
from nlpu.value import in_sight

Count = Callable[[str], int]
Store = Callable[[str, Label], str]

JOINT = "\n\n"  # between entries
_SHORTEST_HEAD = 8  # tokens of a beginning worth keeping


@dataclass(frozen=True, slots=True)
class Entry:
    """One text in a region."""

    text: str
    label: Label = USER

    def __repr__(self) -> str:
        text = shown(self.text) if in_sight(self.label) else "not looked at"
        return f"Entry({one_line(str(self.label), 40)}: {text})"


def fitted(
    text: str, label: Label, limit: int, count: Count, store: Store, note: str = ""
) -> Entry:
    """An entry within the limit: the text and a note, or its beginning and its address too."""
    whole = noted(text, note)
    if count(whole) <= limit:
        return Entry(whole, label)
    note = noted(f"[this goes on at {store(text, label)}]", note)
    room = limit - count(note) - 2
    while room >= _SHORTEST_HEAD:
        head = noted(next(chunks(text, room, count)).rstrip(), note)
        if count(head) <= limit:
            return Entry(head, label)
        room //= 2
    if count(note) > limit:
        raise DoesNotFit(
            f"a link needs {count(note)} tokens and the region leaves {limit} for it: "
            "make the regions larger",
            count(note),
            limit,
        )
    return Entry(note, label)


def joined(entries: Sequence[Entry]) -> str:
    """The texts of entries, as they stand in the window."""
    return JOINT.join(entry.text for entry in entries)


def noted(text: str, note: str) -> str:
    """A text with a note below it; either may be empty."""
    return "\n".join(part for part in (text, note) if part)
