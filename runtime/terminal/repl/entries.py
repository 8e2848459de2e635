"""Entries: the lines of a session that give values, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nlpu.label import UNTRUSTED, Label
from nlpu.runtime.graph.node import Node
from nlpu.runtime.terminal.repl.lines import Line
from nlpu.value import Value

INTERRUPTED = "interrupted"  # the error of a line that was stopped
VALUED = ("say", "run", "text", "take")  # verbs whose lines give a value


class File(NamedTuple):
    """A file that a line read, and what it held then."""

    path: str
    text: str

    @property
    def value(self) -> Value[str]:
        """A person named it, but did not write it."""
        return Value(self.text, UNTRUSTED)


@dataclass(slots=True)
class Entry:
    """A line that gives a value, and what came of it.

    operands: by the name the op has for it (of a program: as it is typed), what the line read: a
              name may mean another value later.
    sent:     the line as it was said to the model, if it was.
    parts:    what the context was made of: ("turn" | "pin", name of a value) or ("text", text).
    """

    number: int
    line: Line
    value: Value[Any] | None = None
    content: Any = None
    error: str = ""
    sent: str = ""
    operands: dict[str, Entry | File] = field(default_factory=dict)
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What it is called without being bound."""
        return f"_{self.number}" if self.number else self.line.typed

    @property
    def asked(self) -> str:
        """What the context holds of the line."""
        return self.sent or self.line.typed

    @property
    def node(self) -> Node | None:
        """The call or program that gave the value, if one did."""
        return self.value if isinstance(self.value, Node) else None

    @property
    def label(self) -> Label:
        """The label of the value."""
        assert self.value is not None  # who asks has seen that there is one
        return self.value.label

    def calls(self) -> Iterator[Node]:
        """The calls that gave the value."""
        node = self.node
        if node is not None:
            below = node.inner_scope.subtree() if node.inner_scope is not None else ()
            yield from (call for call in (node, *below) if call.call_cost is not None)


def operand_name(reference: str, taken: dict[str, Any]) -> str:
    """A name for an operand: the value's own, or the file's."""
    if not reference.startswith("@"):
        return reference
    stem = "".join(c if c.isalnum() else "_" for c in Path(reference).stem.lstrip("@"))
    name = stem if stem[:1].isalpha() else f"file_{stem}"
    return name if name not in taken else f"{name}_{len(taken)}"
