"""What is said of a node that could not run: which call behind it failed, on what, and why.

Whoever reads an error has only its sentence: a program that catches it, a line of the console, a
journal. So the sentence is whole where it is made, and is handed on along the edges as it is.

Rules
1. The call that failed is named, not those between it and the reader; of a map, which item it was.
2. It tells the beginning of what the call was given. Whoever sees the error is lowered by that, as
   by its reason.
"""

from __future__ import annotations

from nlpu.errors import UpstreamFailed
from nlpu.ops.op import Draws, Map
from nlpu.printing import one_line, shown
from nlpu.runtime.graph.node import Node, content_of
from nlpu.value import peek_error

_BEGINNING = 60  # characters of what it was given
_PARTS = {Map: "item", Draws: "draw"}


def upstream(node: Node, culprit: Node) -> UpstreamFailed:
    """Make the error of a node that cannot run because of one that it reads."""
    cause = peek_error(culprit)
    told = cause.told if isinstance(cause, UpstreamFailed) else ""
    if not told:
        told = f"{_called(culprit)} failed{_others(node)}: {str(cause) or type(cause).__name__}"
    error = UpstreamFailed(f"{node.work_name} at {node.issue_position} could not run: {told}", told)
    error.__cause__ = cause
    return error


def _called(node: Node) -> str:
    """A call as a person finds it again (rules 1 and 2)."""
    grown = node.issue_scope.grown_of
    part = None if grown is None else _PARTS.get(type(grown.node_work))
    which = f"{part} {node.issue_ordinal + 1} of {len(node.issue_scope.nodes)} of " if part else ""
    content = content_of(node.work_operands[0]) if node.work_operands else None
    if content is None:
        return f"{which}{node.work_name} at {node.issue_position}"
    begins = one_line(content, _BEGINNING) if isinstance(content, str) else shown(content)
    return f'{which}{node.work_name} at {node.issue_position} ("{begins}")'


def _others(node: Node) -> str:
    """How many more items failed, where this is the map itself."""
    more = sum(isinstance(v, Node) and peek_error(v) is not None for v in node.work_operands) - 1
    return f", as did {more} more" if type(node.node_work) is Map and more else ""
