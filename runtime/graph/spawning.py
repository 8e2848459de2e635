"""Nested programs, as a kind of work on the graph.

Rules
1. It is a scope of its own under its node's position, and begins on the hub (``hosting``).
2. It waits for none of the Values that it is given; they are needed as long as it may read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlpu.checks import FUNCTION, check
from nlpu.errors import BadOperand
from nlpu.label import join
from nlpu.ops.op import Check
from nlpu.runtime.executor.raised import as_typed
from nlpu.runtime.graph.kinds import KINDS, Kind
from nlpu.runtime.graph.label_gaps import check_given, given
from nlpu.runtime.graph.node import Node, Scope
from nlpu.runtime.graph.stage import Stage
from nlpu.value import Value, current

if TYPE_CHECKING:  # the kernel owns the host
    from nlpu.runtime.kernel import Kernel

Program = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Spawn:
    """A nested program: a scope of its own under this node's position."""

    program: Program
    name: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()


def _spawn_ready(kernel: Kernel, node: Node) -> None:
    work: Spawn = node.work
    check_given(node, node.scope.run.given.pop(node.seq, None))
    scope = node.scope.child(node, work.name, None)
    scope.origin = node

    def done(result: Any, error: BaseException | None) -> None:
        if node.stage is Stage.SETTLED:  # cancelled while an effect inside it was under way
            return
        node.operands = () if scope.kept is None else (scope.kept,)
        node.control = scope.control
        node._label = join(node._label, scope.label)
        if error is None:
            kernel.settle(node, result)
        else:
            kernel.fail(node, as_typed(work.name, error))
        kernel.soon()

    def ended(outcome: Any, error: BaseException | None) -> None:
        kernel.host.finish_scope(scope, outcome, error, done)

    def start() -> None:
        kernel.host.start(scope, work.program, work.args, dict(work.kwargs), ended)

    kernel.on_hub(start)


def _spawn_issued(kernel: Kernel, node: Node) -> None:
    taken = given((*node.work.args, *dict(node.work.kwargs).values()))
    if taken is not None:
        node.scope.run.given[node.seq] = taken
    for value in _given(node):
        if value.stage is not Stage.SETTLED:
            value.users = value.users or []
            value.users.append(node)  # it does not wait for them, but they are needed
    kernel.wait_for(node, ())


def _given(node: Node) -> Iterator[Node]:
    """The Values among a nested program's arguments."""
    stack: list[Any] = [node.work.args, node.work.kwargs]
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
    scope = living.get(node.position)
    if scope is not None:
        yield from scope.subtree()


def _check_issued(kernel: Kernel, node: Node) -> None:
    from nlpu.runtime.eval.evaluation import checking  # few programs check their ops

    node.work = checking(node.work)
    _spawn_issued(kernel, node)


KINDS[Spawn] = Kind(_spawn_issued, _spawn_ready, takes_failures=True)
KINDS[Check] = Kind(_check_issued, _spawn_ready, takes_failures=True)  # becomes a Spawn


def spawn(program: Program, /, *args: Any, **kwargs: Any) -> Value[Any]:
    """Start a nested program beside this one and return the Value of its result.

    It is a scope of its own: it has its own positions, and its labels do not lower the caller's.
    Values given as arguments are passed on as Values.
    """
    check("spawn", {"program": program}, {"program": FUNCTION}, BadOperand)
    name = getattr(program, "__name__", "program")
    return current().issue(Spawn(program, name, args, tuple(kwargs.items())), ())
