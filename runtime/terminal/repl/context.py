"""The context of a session: what the window holds, and what each text of it tells of.

Rules
1. A line and its answer are two turns of a chat (``actions``); a pinned value stays, in the first
   turn there is. Both are known by the value's name. Turns leave the window in pairs.
2. What leaves the window is a value: the link to it is its name, that of a list of links page_1.
3. A line gets what the window holds less the values that it names: those are its operands. It is
   made of the values themselves, so that the graph has an edge from each answer that is read.
"""

from __future__ import annotations

from typing import Any

from nlpu.chat import Chat
from nlpu.label import Label
from nlpu.memory.window.entries import JOINT, Count
from nlpu.memory.window.window import Window
from nlpu.processor import Processor
from nlpu.runtime.terminal.repl import actions as acts
from nlpu.runtime.terminal.repl.entries import Entry
from nlpu.runtime.terminal.repl.lines import Line
from nlpu.value import Value


class Context:
    """The window of a session. ``names``: its values, to which pages are added.

    told: by a text of the window, ("turn" | "pin", name of a value) or ("text", name or text).
    """

    def __init__(self, processor: Processor, names: dict[str, Entry]) -> None:
        self.told: dict[str, tuple[str, str]] = {}
        self._processor = processor
        self._names = names
        self._has_chats = acts.has_chats()
        self.clear()

    def clear(self) -> None:
        """Begin anew. Half of the window is for what a line names, the rest for the context."""
        processor = self._processor
        op = acts.said() if self._has_chats else acts.said_alone("?", "context")
        room = processor.room(op)
        count = _count_of(processor) if self._has_chats else processor.count
        self.window = Window(room, count, self._store, operand_tokens=room // 2)

    def add(self, entry: Entry) -> None:
        """An answer, as a turn."""
        text = acts.turn(entry.name, entry.asked, entry.content)
        self.told[text] = ("turn", entry.name)
        self.window = self.window.append(text, entry.label)

    def pin(self, entry: Entry) -> None:
        """Keep a value for good. Raises DoesNotFit."""
        text = acts.pinned(entry.name, entry.content)
        if any(part.text == text for part in self.window.pinned):
            return
        self.told[text] = ("pin", entry.name)
        self.window = self.window.pin(text, entry.label)

    def without(self, named: set[str]) -> tuple[Value[str] | None, tuple[tuple[str, str], ...]]:
        """The text for a line that names these values, and what its parts tell of (rule 3)."""
        held = [
            (self.told.get(part.text, ("text", part.text)), part)
            for part in (*self.window.pinned, *self.window.working)
        ]
        kept = [(told, part) for told, part in held if told[1] not in named]
        parts = [self._part(*told, part.label) for told, part in kept]
        return acts.context(*parts) if kept else None, tuple(told for told, _ in kept)

    def _part(self, kind: str, what: str, label: Label) -> Any:
        """A part as ``actions.context`` takes it."""
        if kind == "text":
            return Value(self._names[what].content if what in self._names else what, label)
        entry = self._names[what]
        return (what, entry.asked, entry.value) if kind == "turn" else (what, entry.value)

    def _store(self, text: str, label: Label) -> str:
        """The name of the value that a text of the window tells of; a new one for a list."""
        if text in self.told:
            return self.told[text][1]
        name = f"page_{1 + sum(entry.number == 0 for entry in self._names.values())}"
        self.told[text] = ("text", name)
        self._names[name] = Entry(0, Line(name, "", "text", (text,)), Value(text, label), text)
        return name


def _count_of(processor: Processor) -> Count:
    """Tokens of a text of the window, with what the frame writes around its turns, two an entry."""
    around = 2 * processor.codec.chat_tokens(Chat().user("?"))

    def count(text: str) -> int:
        return processor.count(text) + around * (1 + text.count(JOINT)) if text else 0

    return count
