"""Endorsement: how a program vouches for a choice that was made from untrusted text.

Theory of operation
-------------------
A text that somebody else wrote can say anything, so what it becomes cannot decide what a driver
does. A choice can: when the program itself has named everything that may come out, the most that a
hostile text can do is to choose another of these. The program says where it accepts that::

    which = pick(message, choices)                    # an op: it can call nothing
    pay(endorse(which, into=["rent", "electricity"]), amount)

    closed                              open: refused
    bool, Literal, Enum                 str, float, lists, models
    an integer bounded on both sides    an integer without bounds
    one of a set of texts

Rules
1. Nothing is endorsed but where the program says so, and into a closed type alone.
2. The result is vouched for by the system, joined with the labels of the set and of the scope: in
   a program that has acted on untrusted content nothing becomes trusted. Readers stay.
3. A content that is not a member fails this node alone, and nothing is repaired.
4. Endorsing looks at nothing: it is a node, and the program does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import PydanticUserError

from nlpu.errors import BadOp, BadOperand, Malformed, NlpuError
from nlpu.label import Integrity, intern_label, join
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.node import Node, content_of
from nlpu.runtime.ports import GraphPort
from nlpu.types.result import ResultType, adapter, result_type
from nlpu.value import Value, current, peek_label

_SETS = (list, tuple, set, frozenset)
_CLOSED = frozenset({"bool", "choice"})
_BOUNDS = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})


@dataclass(frozen=True, slots=True)
class Endorse:
    """The work of a node that endorses its first operand; without ``into``, by the second one."""

    into: Any = None
    name: str = "endorse"


def endorse(value: Any, into: Any) -> Value[Any]:
    """Vouch for a value that is one of a closed set.

    A text is taken as what it says: "yes" for a bool, digits for an integer, a choice's name.
    The Value fails with Malformed where the content is none of them. Raises BadOperand, NotInRun.

    Args:
        value: A Value or a content.
        into: ``bool``, a Literal, an Enum, an integer with bounds, a set of texts, or a Value of
            one.
    """
    if isinstance(into, Value):
        return current().issue(Endorse(), (value, into))
    return current().issue(Endorse(_closed(into)), (value,))


def _closed(into: Any) -> Any:
    """The type, if nothing can come out of it that the program has not named (rule 1)."""
    if isinstance(into, _SETS):
        return _texts(into)
    try:
        closed = _is_bounded(into) or result_type(into).kind in _CLOSED
    except (PydanticUserError, BadOp):  # no type, or none that an op can give
        closed = False
    if closed:
        return into
    raise BadOperand(
        f"endorse(into={into!r}): what can come out must be closed: bool, a Literal, an Enum, "
        "an integer with ge= and le=, or a set of texts"
    )


def _is_bounded(into: Any) -> bool:
    """Whether it is an integer with both bounds."""
    schema = adapter(into).json_schema()
    return schema.get("type") == "integer" and all(bounds & schema.keys() for bounds in _BOUNDS)


def _texts(members: Any) -> Any:
    texts = tuple(members) if isinstance(members, _SETS) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadOperand(f"endorse(into={members!r:.80}): a set of texts holds texts, at least one")
    closed: Any = Literal[texts]
    try:
        result_type(closed)
    except BadOp as error:  # a blank or padded text would fail all the others as well
        raise BadOperand(f"endorse(into={members!r:.80}): {error}") from error
    return closed


def _ready(graph: GraphPort, node: Node) -> None:
    first, *members = node.work_operands
    label = peek_label(node)
    for value in members:
        label = join(label, peek_label(value))
    readers = peek_label(first).readers if isinstance(first, Value) else None
    content = content_of(first)
    into = _texts(content_of(members[0])) if members else node.node_work.into
    label = join(label, intern_label(Integrity.SYSTEM, readers))
    graph.settle(node, _member(content, into), label)


def _member(content: Any, into: Any) -> Any:
    """The member that the content is (rule 3). Raises Malformed."""
    try:
        if _is_bounded(into):
            number = int(content) if isinstance(content, str) else content
            return adapter(into).validate_python(number, strict=True)
        kind: ResultType = result_type(into)
        return kind.parse(content) if isinstance(content, str) else kind.check(content, "it")
    except (ValueError, NlpuError) as error:
        raise Malformed(f"{content!r:.80} is none of what was to be endorsed") from error


KINDS[Endorse] = Kind(lambda graph, node: graph.wait_for(node, node.work_operands), _ready)
