"""Nested programs, as a kind of work on the graph.

Rules
1. It is a scope of its own under its node's position, and begins on the hub.
2. It waits for none of the Values that it is given; they are needed as long as it may read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nlpu.checks import FUNCTION, check
from nlpu.errors import BadOperand
from nlpu.runtime.executor.raised import as_typed
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.label_gaps import check_given, given
from nlpu.runtime.graph.node import Node, Scope
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.ports import GraphPort
from nlpu.value import Value, current

Program = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Spawn:
    """A nested program: a scope of its own under this node's position.

    as_is: its calls are as they are, however reliable those of the run must be.
    """

    program: Program
    name: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    as_is: bool = False


def spawn_ready(graph: GraphPort, node: Node) -> None:
    """Start the program on the hub, and settle the node with what it gives."""
    work: Spawn = node.node_work
    run, ports = node.issue_scope.run, node.run_ports
    check_given(node.work_name, run.given.pop(node.issue_seq, None), lowered=run.lowered)
    scope = node.issue_scope.child(node, work.name, None)
    scope.origin = node
    scope.asked = None if work.as_is else scope.asked

    def done(result: Any, error: BaseException | None) -> None:
        if node.work_stage is Stage.SETTLED:  # cancelled while an effect inside it was under way
            return
        node.work_operands = () if scope.kept is None else (scope.kept,)
        node.control_cell = scope.control
        node.lower_label(scope.label)
        if error is None:
            graph.settle(node, result)
        else:
            graph.fail(node, as_typed(work.name, error))
        ports.outside.soon()

    def ended(outcome: Any, error: BaseException | None) -> None:
        ports.programs.finish(scope, outcome, error, done)

    def start() -> None:
        ports.programs.start(scope, work.program, work.args, dict(work.kwargs), ended)

    ports.outside.on_hub(start)


def spawn_issued(graph: GraphPort, node: Node) -> None:
    """Wait for nothing (rule 2)."""
    taken = given((*node.node_work.args, *dict(node.node_work.kwargs).values()))
    if taken is not None:
        node.issue_scope.run.given[node.issue_seq] = taken
    for value in _given(node):
        if value.work_stage is not Stage.SETTLED:
            value.user_nodes = value.user_nodes or []
            value.user_nodes.append(node)  # it does not wait for them, but they are needed
    graph.wait_for(node, ())


def _given(node: Node) -> Iterator[Node]:
    """The Values among a nested program's arguments."""
    stack: list[Any] = [node.node_work.args, node.node_work.kwargs]
    seen: set[int] = set()  # a list may contain itself
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            yield item
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            stack += item.values() if isinstance(item, dict) else item


def may_read(node: Node, living: dict[str, Scope]) -> Iterator[Node]:
    """What a nested program needs: while it lives, all it was given and all it has issued."""
    yield from node.data_edges()
    yield from _given(node)
    scope = living.get(node.issue_position)
    if scope is not None:
        yield from scope.subtree()


KINDS[Spawn] = Kind(spawn_issued, spawn_ready, takes_failures=True)


def spawn(program: Program, /, *args: Any, **kwargs: Any) -> Value[Any]:
    """Start a nested program beside this one and return the Value of its result.

    It is a scope of its own: it has its own positions, and its labels do not lower the caller's.
    Raises BadOperand, NotInRun; what the program raises fails its Value.

    Args:
        program: A function, plain or async.
        *args: Its arguments; Values are passed on as Values.
        **kwargs: The same by name.
    """
    check("spawn", {"program": program}, {"program": FUNCTION}, BadOperand)
    name = getattr(program, "__name__", "program")
    return current().issue(Spawn(program, name, args, tuple(kwargs.items())), ())
