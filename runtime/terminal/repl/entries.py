"""Entries: the lines of a session that give values, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nlpu import Value
from nlpu.label import Label
from runtime.graph import Node
from runtime.terminal.repl.lines import Line

INTERRUPTED = "interrupted"  # the error of a line that was stopped
VALUED = ("say", "run", "text", "take")  # verbs whose lines give a value


@dataclass(slots=True)
class Entry:
    """A line that gives a value, and what came of it.

    operands: by the name the op has for it, the value's name or @FILE.
    parts:    what the context was made of: ("turn" | "pin", name of a value) or ("text", text).
    """

    number: int
    line: Line
    value: Value[Any] | None = None
    content: Any = None
    error: str = ""
    operands: dict[str, str] = field(default_factory=dict)
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What it is called without being bound."""
        return f"_{self.number}"

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
            below = node.inner.subtree() if node.inner is not None else ()
            yield from (call for call in (node, *below) if call.cost is not None)
