"""What a scope has seen: of the graph (cells), and of what is labelled below it (sights).

Rules
1. Both are immutable. A cell is shared by all that is issued after it; it stands below nodes, which
   have one, so a node is ``Any`` here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nlpu.label import Label


class Cell:
    """What a scope had seen at some moment: a value, and what it had seen before."""

    __slots__ = ("depth", "node", "path_s", "path_tokens", "previous")

    path_tokens: int
    path_s: float
    depth: int

    def __init__(self, node: Any, previous: Cell | None) -> None:
        self.node = node
        self.previous = previous
        tokens, seconds, depth = node.path_tokens, node.path_s, node.path_depth
        if previous is not None:
            tokens = max(tokens, previous.path_tokens)
            seconds = max(seconds, previous.path_s)
            depth = max(depth, previous.depth)
        self.path_tokens, self.path_s, self.depth = tokens, seconds, depth

    def nodes(self) -> Iterator[Any]:
        """The values seen, newest first."""
        cell: Cell | None = self
        while cell is not None:
            yield cell.node
            cell = cell.previous


class Sight(NamedTuple):
    """Something that a scope has seen, with a label below its own: what it issues from ``issued``
    on depends on it. ``node``: None for what is not of the graph. ``line``: file:line."""

    issued: int
    node: Any
    label: Label
    line: str
