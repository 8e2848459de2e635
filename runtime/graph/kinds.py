"""What each kind of work does when it is issued and when its operands are there.

Theory of operation
-------------------
    Call    waits for its operands; then it is queued for its processor
    Draws   grows into calls with sample numbers; then it is the list of their results
    Map     grows into a call for each item, as soon as the items are known
    Reduce  grows into a tree of calls, as soon as the items are known
    Gather  a structure of the operands
    Lift    a Python function on the operands
    First   the first of the operands that is there

Nested programs are in ``spawning``, drivers in ``drivers.dispatch``.

Rules
1. What grows out of a node is issued in a scope of its own under the node's position, whether the
   items were known at once or later: positions never depend on time.
2. How a ``Reduce`` groups its items depends on nothing that arrives (``groups``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from nlpu.errors import BadOperand
from nlpu.label import join
from nlpu.lifting import Gather, Leaf, Lift, check_text, rebuilt
from nlpu.ops.op import Call, Draws, Map, Op, Operand, Reduce
from nlpu.runtime.graph.groups import groups_of, room_for, unbounded
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.lifts import lift_issued, lift_ready
from nlpu.runtime.graph.node import Node, Scope, content_of
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.ports import GraphPort
from nlpu.value import Value, literal, own, peek_content, peek_error, peek_label

JOINT = "\n\n"  # between the texts of one reduction group
_AS_THEY_ARE = frozenset({Node, Value, str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class First:
    """The first operand that is there; which it was is journaled."""

    name: str = "first"


# -- calls ------------------------------------------------------------------------------------


def _call_issued(graph: GraphPort, node: Node) -> None:
    op: Op[Any] = node.node_work.op
    run = node.issue_scope.run
    run.counts.issued += 1
    if not _AS_THEY_ARE.issuperset(map(type, node.work_operands)):  # a record may change later
        node.work_operands = tuple(
            v if isinstance(v, Value) else own(v) for v in node.work_operands
        )
    if op.sampling.temperature > 0 and node.node_work.sample is None:
        node.draw_number = node.issue_scope.draws.get(op.digest, 0)
        node.issue_scope.draws[op.digest] = node.draw_number + 1
    graph.wait_for(node, node.work_operands)


def texts_of(node: Node) -> tuple[str, ...]:
    """The canonical texts of a call's operands. Raises BadOperand."""
    op: Op[Any] = node.node_work.op
    out = []
    for place, operand in zip(op.operands, node.work_operands, strict=True):
        content, is_text = operand, place.type.annotation is str
        if isinstance(operand, Value):
            content = peek_content(operand)
            if not is_text or type(content) is not str:
                content = _taken(operand, content, place, op)
        text = content if is_text and type(content) is str else place.type.render(content)
        out.append(text if text.isascii() else check_text(text, f"operand {place.name!r}"))
    return tuple(out)


def _taken(operand: Value[Any], content: Any, place: Operand, op: Op[Any]) -> Any:
    """A Value's content as an operand. What a call of that very type gave is so already."""
    work = operand.node_work if isinstance(operand, Node) else None
    where = f"operand {place.name!r} of {op.name}"
    if isinstance(work, Call | Reduce) and work.op.result.annotation == place.type.annotation:
        return content if work.op.reliability is None else place.keep(content, where)  # or Unsure
    return place.keep(content, where)


def _call_ready(graph: GraphPort, node: Node) -> None:
    node.operand_texts = texts_of(node)
    node.run_ports.calls.ready(node)


# -- growth -----------------------------------------------------------------------------------


def _items_of(operand: Any) -> list[Any] | None:
    """The elements of a list operand as far as they are known without waiting."""
    if isinstance(operand, list):
        return operand
    if isinstance(operand, Node) and operand.grown_values is not None:
        return operand.grown_values
    return None


class Joined:
    """In a Gather's shape: these parts as one text. A group of a reduction."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts


def _growing(
    grow: Callable[[GraphPort, Node, Scope, list[Any]], None],
    finish: Callable[[Node], Any],
    before: Callable[[list[Any]], list[Any]] = lambda items: [],
) -> Kind:
    """A kind that grows when the items of its first operand are known, then waits for the rest.

    ``before`` names the items and other operands that must be there before it can grow.
    """

    def issued(graph: GraphPort, node: Node) -> None:
        first, *rest = node.work_operands
        items = _items_of(first)
        if items is None and _will_grow(first):
            _wait_for_growth(node, first)  # no barrier: its items, not their contents
            return
        waits = [first, *before(rest)] if items is None else before([*items, *rest])
        if _pending(waits):
            graph.wait_for(node, waits)
        elif items is not None:
            grow_now(graph, node, items)
        else:
            graph.wait_for(node, ())

    def ready(graph: GraphPort, node: Node) -> None:
        if node.grown_values is not None:
            graph.settle(node, finish(node))
            return
        first, *rest = node.work_operands
        items = _items_of(first)
        if items is None:
            items = _listed(node, first)
        waits = before([*items, *rest])
        if _pending(waits):  # the items became known when their source grew
            graph.wait_for(node, waits)
        else:
            grow_now(graph, node, items)

    def grow_now(graph: GraphPort, node: Node, items: list[Any]) -> None:
        scope = _scope_of_growth(node)
        grow(graph, node, scope, items)
        node.work_operands = tuple(node.grown_values or ())
        graph.wait_for(node, node.work_operands)

    return Kind(issued, ready)


def _scope_of_growth(node: Node) -> Scope:
    """A scope for what grows, that has seen how many items there are."""
    source = node.work_operands[0]
    grown_from = source if isinstance(source, Node) and source.grown_values is None else None
    scope = node.issue_scope.child(node, type(node.node_work).__name__.lower(), grown_from)
    if isinstance(source, Node) and source.inner_scope is not None:
        scope.see(source.inner_scope.label, source)
    elif isinstance(source, Value):
        scope.see(peek_label(source))
    node.lower_label(scope.label)
    return scope


def _wait_for_growth(node: Node, source: Node) -> None:
    """Make the node ready when the source's items are known, though not yet there."""
    node.waits_for = 1
    source.waiting_growers = [*(source.waiting_growers or ()), node]


def _pending(values: list[Any]) -> bool:
    return any(
        isinstance(value, Node) and value.work_stage is not Stage.SETTLED for value in values
    )


def _listed(node: Node, source: Any) -> list[Any]:
    """The items of a list that is there, as Values with its label."""
    content = content_of(source)
    if not isinstance(content, list | tuple):
        raise BadOperand(f"{node.work_name}.map and .reduce take a list, not {content!r:.60}")
    return [literal(item, peek_label(source)) for item in content]


def _will_grow(operand: Any) -> bool:
    """Whether it is a map that does not know its items yet."""
    if not isinstance(operand, Node) or type(operand.node_work) is not Map:
        return False
    return operand.work_stage is not Stage.SETTLED


def _grow_map(graph: GraphPort, node: Node, scope: Scope, items: list[Any]) -> None:
    op: Op[Any] = node.node_work.op
    call, rest = op.plain, node.work_operands[1:]
    node.grown_values = [graph.issue(scope, call, (item, *rest)) for item in items]


def _grow_reduce(graph: GraphPort, node: Node, scope: Scope, items: list[Any]) -> None:
    op: Op[Any] = node.node_work.op
    rest = node.work_operands[1:]
    if not items:
        raise BadOperand(f"{op.name}.reduce needs at least one item")
    as_list = op.operands[0].type != op.result
    room = room_for(scope.run, op, rest)
    level = items
    while len(level) > 1:
        groups = groups_of(scope.run, op, level, room)
        level = [
            _fold(scope, op, group, rest, as_list) if len(group) > 1 else group[0]
            for group in groups
        ]
    node.grown_values = [
        level[0] if isinstance(level[0], Value) else literal(level[0], scope.label)
    ]


def _fold(scope: Scope, op: Op[Any], group: list[Any], rest: tuple[Any, ...], as_list: bool) -> Any:
    graph, leaves = scope.ports.graph, [Leaf(index) for index in range(len(group))]
    shape = leaves if as_list else Joined(tuple(leaves))
    whole = graph.issue(scope, Gather(shape), tuple(group))
    return graph.issue(scope, op.plain, (whole, *rest))


def _grow_draws(graph: GraphPort, node: Node) -> None:
    op: Op[Any] = node.node_work.op
    if op.sampling.temperature == 0 and node.node_work.count > 1:
        raise BadOperand(
            f"samples of {op.name} at temperature 0 are all the same; "
            f"draw from {op.name}.using(temperature=0.7)"
        )
    scope = node.issue_scope.child(node, "samples", None)
    scope.asked = None  # draws are draws: votes on one question would be one and the same
    node.grown_values = [
        graph.issue(scope, Call(op), node.work_operands) for _ in range(node.node_work.count)
    ]
    node.work_operands = tuple(node.grown_values)
    graph.wait_for(node, node.work_operands)


# -- plain Python -------------------------------------------------------------------------------


def _gathered(node: Node) -> Any:
    contents = [content_of(value) for value in node.work_operands]

    def fill(part: Any) -> Any:
        if isinstance(part, Leaf):
            return contents[part.index]
        if isinstance(part, Joined):
            return JOINT.join(str(fill(leaf)) for leaf in part.parts)
        if isinstance(part, dict):
            return {key: fill(sub) for key, sub in part.items()}
        if isinstance(part, list | tuple):
            return rebuilt(part, map(fill, part))
        return part

    return fill(node.node_work.shape)


def _picked(node: Node) -> tuple[int, ...]:
    """What a former life picked there, and what had failed; of another program, nothing."""
    picked = node.issue_scope.run.replay.picked(node.issue_position)
    return picked if all(index < len(node.work_operands) for index in picked) else ()


def _first_issued(graph: GraphPort, node: Node) -> None:
    picked = _picked(node)
    if picked:
        graph.wait_for(
            node, [node.work_operands[index] for index in picked]
        )  # failures: their labels
        return
    there = not all(_pending([value]) for value in node.work_operands)
    graph.wait_for(node, () if there else node.work_operands, needed=1)


def _first_ready(graph: GraphPort, node: Node) -> None:
    run = node.issue_scope.run
    picked = _picked(node)
    lost = picked and peek_error(node.work_operands[picked[0]]) is not None  # it has failed here
    if lost and run.replay.forget_pick(node.issue_position):
        graph.wait_for(node, node.work_operands, needed=1)  # the race is open again
        return
    if not picked:
        settled = [
            i for i, v in enumerate(node.work_operands) if not isinstance(v, Node) or v.ready
        ]
        failed = [i for i in settled if peek_error(node.work_operands[i]) is not None]
        if failed == settled and len(settled) < len(node.work_operands):
            node.waits_for = 1  # a failure does not win while another may come
            return
        good = [i for i in settled if i not in failed]
        picked = ((good or settled)[0], *failed)
    if node.issue_position not in run.replay.past.picks:
        run.history.pick(node.issue_position, picked)
    winner = node.work_operands[picked[0]]
    error = peek_error(winner)
    if error is not None:
        graph.fail(node, error)
    else:
        # Not all operands: who else has settled by now is chance, and another life's is another.
        seen = (node.work_operands[index] for index in picked)
        label = reduce(
            join, (peek_label(v) for v in seen if isinstance(v, Value)), peek_label(node)
        )
        graph.settle(node, content_of(winner), vouched=label)
    _cancel_losers(graph, node, winner)


def _cancel_losers(graph: GraphPort, node: Node, winner: Any) -> None:
    """Cancel those operands of a choice that nothing else waits for."""
    for value in node.work_operands:
        if not isinstance(value, Node) or value is winner or value.ready:
            continue
        if not value.needed_by_others(node):
            graph.cancel(value)


def _list(node: Node) -> list[Any]:
    return [content_of(value) for value in node.work_operands]


KINDS |= {
    Call: Kind(_call_issued, _call_ready),
    Draws: Kind(_grow_draws, lambda graph, node: graph.settle(node, _list(node))),
    Map: _growing(_grow_map, _list),
    Reduce: _growing(_grow_reduce, lambda node: content_of(node.work_operands[0]), unbounded),
    Gather: Kind(
        lambda graph, node: graph.wait_for(node, node.work_operands),
        lambda graph, node: graph.settle(node, _gathered(node)),
    ),
    Lift: Kind(lift_issued, lift_ready),
    First: Kind(_first_issued, _first_ready, takes_failures=True),
}
