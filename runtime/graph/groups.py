"""How the items of a reduction are grouped into calls that fit a processor's window.

Rules
1. Groups follow from bounds that are known when the reduction grows: exact counts of contents, and
   the most an op can generate of results on their way. Nothing that arrives changes them.
"""

from __future__ import annotations

from typing import Any

from nlpu.chat import Chat
from nlpu.errors import BadOperand
from nlpu.ops.op import Call, Op, Reduce
from nlpu.runtime.graph.node import Node, content_of
from nlpu.runtime.run import RunState

_MOST_GROUP = 8  # texts folded at once: wider groups make weak models forget the first ones
_RETOKENISED = 1.1  # generated text may take a few more tokens when it is read back


def room_for(run: RunState, op: Op[Any], rest: tuple[Any, ...]) -> int:
    """Tokens for one group: the window less all else, if at least two answers fit into it."""
    processor = run.processor(op.processor)
    used = sum(_bound(run, op, operand) for operand in rest)
    room: int = processor.room(op) - used
    if room < 2 * _bound_of_call(op):
        raise BadOperand(
            f"{op.name}.reduce cannot shrink: two answers of {op.max_tokens} tokens do not fit the "
            f"{max(room, 0)} tokens that the window of {processor.name} leaves; "
            f"{'show fewer examples, or ' if op.examples else ''}lower max_tokens"
        )
    return room


def _bound_of_call(op: Op[Any]) -> int:
    return int(op.max_tokens * _RETOKENISED) + 4


def _is_text_call(item: Any) -> bool:
    work = item.node_work if isinstance(item, Node) else None
    return isinstance(work, Call | Reduce) and work.op.result.kind == "text"


def unbounded(items: list[Any]) -> list[Any]:
    """Items whose size is known only when they are there."""
    return [item for item in items if isinstance(item, Node) and not _is_text_call(item)]


def _bound(run: RunState, reader: Op[Any], item: Any) -> int:
    """The most tokens an item can have when it is read (rule 1)."""
    if _is_text_call(item):
        return _bound_of_call(item.node_work.op)
    processor = run.ports.processors.find(reader.processor)
    content = content_of(item)
    if isinstance(content, Chat):
        return int(processor.codec.chat_tokens(content))
    text = reader.result.render(content)
    return int(processor.count(text)) + 4


def groups_of(run: RunState, op: Op[Any], items: list[Any], room: int) -> list[list[Any]]:
    """Items left to right in groups that fit; at least two each while that is possible."""
    groups: list[list[Any]] = [[]]
    used = 0
    for item in items:
        size = _bound(run, op, item)
        group = groups[-1]
        if group and (len(group) >= _MOST_GROUP or used + size > room):
            groups.append(group := [])
            used = 0
        group.append(item)
        used += size
    if len(groups) == len(items):
        largest = max(_bound(run, op, item) for item in items)
        raise BadOperand(
            f"{op.name}.reduce cannot put two items into one call: they have up to {largest} "
            f"tokens and {room} are left for operands; map {op.name} over them first"
        )
    return groups
