"""What a run's nodes were given, had been led by, and brought: the graph as ``trace`` reads it.

Rules
1. Nothing here changes a node.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from nlpu.judgement import Judgement
from nlpu.label import USER, Label, join
from nlpu.lifting import Gather, Leaf
from nlpu.ops.op import Call, Draws, Map, Reduce
from nlpu.runtime.drivers.driver import Drive
from nlpu.runtime.graph.node import Node
from nlpu.value import peek_content, peek_error, peek_label

GROWS = (Map, Reduce, Draws)


def written(scope: Any) -> Iterator[Node]:
    """The nodes of a scope and of its nested programs, without what maps and reductions grew."""
    for node in scope.nodes:
        yield node
        if node.inner_scope is not None and type(node.node_work) not in GROWS:
            yield from written(node.inner_scope)


def operands_of(node: Node) -> list[Any]:
    """What the node was given, before it grew; of a Gather, its structure."""
    if type(node.node_work) is Gather:
        return [_filled(node.node_work.shape, node.work_operands)]
    grew = node.inner_scope is not None and type(node.node_work) in GROWS
    return list(
        node.inner_scope.given if grew and node.inner_scope is not None else node.work_operands
    )


def _filled(shape: Any, operands: tuple[Any, ...]) -> Any:
    if isinstance(shape, Leaf):
        return operands[shape.index]
    if isinstance(shape, dict):
        return {key: _filled(part, operands) for key, part in shape.items()}
    return [_filled(part, operands) for part in shape] if isinstance(shape, list | tuple) else shape


def values_of(node: Node) -> list[Any]:
    """All that the node was given, taken out of its structures."""
    found, stack = [], operands_of(node)
    while stack:
        part = stack.pop()
        if isinstance(part, dict | list | tuple):
            stack += part.values() if isinstance(part, dict) else part
        else:
            found.append(part)
    return found


def seen_by(node: Node) -> list[Node]:
    """What its program had looked at, oldest first."""
    return [] if node.control_cell is None else [*node.control_cell.nodes()][::-1]


def kept_by(spawned: Node) -> Any:
    """The result of a nested program: its node, or its content."""
    inner = spawned.inner_scope
    return peek_content(spawned) if inner is None or inner.kept is None else inner.kept


def is_closed(node: Node) -> bool:
    op = getattr(node.node_work, "op", None)
    choice = type(node.node_work) is Call and op is not None and op.result.kind == "choice"
    return choice or isinstance(peek_content(node), bool | int | float | Judgement)


def brought_by(node: Node) -> Label:
    """The label that a driver gives to what it brings."""
    if not isinstance(node.node_work, Drive):
        return USER
    driver = node.node_work.driver
    if driver.label_of is None or peek_error(node) is not None:  # a failure has no content to label
        return driver.brings
    return join(driver.brings, driver.label_of(peek_content(node)))


def label_of(value: Any) -> Label:
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return reduce(join, map(label_of, parts), USER)
    return peek_label(value) if isinstance(value, Node) else USER
