"""What each kind of work does when it is issued and when its operands are there.

Theory of operation
-------------------
The scheduler knows nodes, not kinds. A kind of work is a pair of functions: ``issued`` says what
the node waits for (and may grow the graph at once), ``ready`` settles it, queues it, or grows the
graph further. A new ability is a new entry in ``KINDS``, not a branch in the scheduler.

    Call    waits for its operands; then it is queued for its processor
    Draws   grows into calls with sample numbers; then it is the list of their results
    Map     grows into a call for each item, as soon as the items are known
    Reduce  grows into a tree of calls, as soon as the items are known
    Gather  a structure of the operands
    Lift    a Python function on the operands
    First   the first of the operands that is there
    Spawn   a nested program (in ``hosting``)

Rules
1. What grows out of a node is issued in a scope of its own under the node's position, whether the
   items were known at once or later: positions never depend on time.
2. How a ``Reduce`` groups its items depends on nothing that arrives (``groups``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpu.errors import BadOperand
from nlpu.label import join
from nlpu.lifting import Gather, Leaf, Lift, check_text, rebuilt
from nlpu.ops.op import Call, Draws, Map, Op, Operand, Reduce
from nlpu.runtime.graph.groups import groups_of, room_for, unbounded
from nlpu.runtime.graph.lifts import lift_issued, lift_ready
from nlpu.runtime.graph.node import Node, Scope, Stage, content_of
from nlpu.value import Value, literal, own

if TYPE_CHECKING:  # the kernel calls this table; the functions get the kernel handed in
    from nlpu.runtime.kernel import Kernel

JOINT = "\n\n"  # between the texts of one reduction group
_AS_THEY_ARE = frozenset({Node, Value, str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class First:
    """The first operand that is there; which it was is journaled."""

    name: str = "first"


class Kind(NamedTuple):
    """How a kind of work behaves.

    takes_failures: it is ready even if an operand failed.
    lasting: it is done even if nobody reads its result; a program ends after it.
    """

    issued: Callable[[Kernel, Node], None]
    ready: Callable[[Kernel, Node], None]
    takes_failures: bool = False
    lasting: bool = False


# -- calls ------------------------------------------------------------------------------------


def _call_issued(kernel: Kernel, node: Node) -> None:
    op: Op[Any] = node.work.op
    run = node.scope.run
    run.counts.issued += 1
    if not _AS_THEY_ARE.issuperset(map(type, node.operands)):  # a record may change later
        node.operands = tuple(v if isinstance(v, Value) else own(v) for v in node.operands)
    node.estimate = node.rank = run.estimate(op)
    if node.scope.origin is not None:  # what waits for the nested program waits for its calls
        node.rank += node.scope.origin.rank
    if op.temperature > 0 and node.work.sample is None:
        node.draw = node.scope.draws.get(op.digest, 0)
        node.scope.draws[op.digest] = node.draw + 1
    kernel.wait_for(node, node.operands)


def texts_of(node: Node) -> tuple[str, ...]:
    """The canonical texts of a call's operands. Raises BadOperand."""
    op: Op[Any] = node.work.op
    out = []
    for place, operand in zip(op.operands, node.operands, strict=True):
        content = operand
        if isinstance(operand, Value):
            content = operand._content
            if place.type.annotation is not str or type(content) is not str:
                content = _taken(operand, content, place, op)
        is_text = type(content) is str and place.type.annotation is str
        text = content if is_text else place.type.render(content)
        out.append(text if text.isascii() else check_text(text, f"operand {place.name!r}"))
    return tuple(out)


def _taken(operand: Value[Any], content: Any, place: Operand, op: Op[Any]) -> Any:
    """A Value's content as an operand. What a call of that very type gave is so already."""
    work = operand.work if isinstance(operand, Node) else None
    if isinstance(work, Call | Reduce) and work.op.result.annotation == place.type.annotation:
        return content
    return place.keep(content, f"operand {place.name!r} of {op.name}")


def _call_ready(kernel: Kernel, node: Node) -> None:
    node.texts = texts_of(node)
    kernel.calls.ready(node)


# -- growth -----------------------------------------------------------------------------------


def _items_of(operand: Any) -> list[Any] | None:
    """The elements of a list operand as far as they are known without waiting."""
    if isinstance(operand, list):
        return operand
    if isinstance(operand, Node) and operand._items is not None:
        return operand._items
    return None


class Joined:
    """In a Gather's shape: these parts as one text. A group of a reduction."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts


def _nothing(items: list[Any]) -> list[Any]:
    return []


def _growing(
    grow: Callable[[Kernel, Node, Scope, list[Any]], None],
    finish: Callable[[Node], Any],
    before: Callable[[list[Any]], list[Any]] = _nothing,
) -> Kind:
    """A kind that grows when the items of its first operand are known, then waits for the rest.

    ``before`` names the items and other operands that must be there before it can grow.
    """

    def issued(kernel: Kernel, node: Node) -> None:
        first, *rest = node.operands
        items = _items_of(first)
        if items is None and _will_grow(first):
            kernel.wait_for_growth(node, first)  # no barrier: its items, not their contents
            return
        waits = [first, *before(rest)] if items is None else before([*items, *rest])
        if _pending(waits):
            kernel.wait_for(node, waits)
        elif items is not None:
            grow_now(kernel, node, items)
        else:
            kernel.wait_for(node, ())

    def ready(kernel: Kernel, node: Node) -> None:
        if node._items is not None:
            kernel.settle(node, finish(node))
            return
        first, *rest = node.operands
        items = _items_of(first)
        if items is None:
            items = _listed(node, first)
        waits = before([*items, *rest])
        if _pending(waits):  # the items became known when their source grew
            kernel.wait_for(node, waits)
        else:
            grow_now(kernel, node, items)

    def grow_now(kernel: Kernel, node: Node, items: list[Any]) -> None:
        scope = _scope_of_growth(node)
        grow(kernel, node, scope, items)
        node.operands = tuple(node._items or ())
        kernel.grown(node)
        kernel.wait_for(node, node.operands)

    return Kind(issued, ready)


def _scope_of_growth(node: Node) -> Scope:
    """A scope for what grows, that has seen how many items there are."""
    source = node.operands[0]
    grown_from = source if isinstance(source, Node) and source._items is None else None
    scope = node.scope.child(node, type(node.work).__name__.lower(), grown_from)
    if isinstance(source, Node) and source.inner is not None:
        scope.see(source.inner.label, source)
    elif isinstance(source, Value):
        scope.see(source._label)
    node._label = join(node._label, scope.label)
    return scope


def _pending(values: list[Any]) -> bool:
    return any(isinstance(value, Node) and value.stage is not Stage.SETTLED for value in values)


def _listed(node: Node, source: Any) -> list[Any]:
    """The items of a list that is there, as Values with its label."""
    content = content_of(source)
    if not isinstance(content, list | tuple):
        raise BadOperand(f"{node.name}.map and .reduce take a list, not {content!r:.60}")
    return [literal(item, source._label) for item in content]


def _will_grow(operand: Any) -> bool:
    """Whether it is a map that does not know its items yet."""
    if not isinstance(operand, Node) or type(operand.work) is not Map:
        return False
    return operand.stage is not Stage.SETTLED


def _child_call(scope: Scope, work: Call, operands: tuple[Any, ...]) -> Any:
    return scope.run.kernel.issue(scope, work, operands)


def _grow_map(kernel: Kernel, node: Node, scope: Scope, items: list[Any]) -> None:
    op: Op[Any] = node.work.op
    call, rest = Call(op), node.operands[1:]
    node._items = [_child_call(scope, call, (item, *rest)) for item in items]


def _grow_reduce(kernel: Kernel, node: Node, scope: Scope, items: list[Any]) -> None:
    op: Op[Any] = node.work.op
    rest = node.operands[1:]
    if not items:
        raise BadOperand(f"{op.name}.reduce needs at least one item")
    as_list = op.operands[0].type != op.result
    room = room_for(scope.run, op, rest)
    level = items
    while len(level) > 1:
        groups = groups_of(kernel, op, level, room)
        level = [
            _fold(scope, op, group, rest, as_list) if len(group) > 1 else group[0]
            for group in groups
        ]
    node._items = [level[0] if isinstance(level[0], Value) else literal(level[0], scope.label)]


def _fold(scope: Scope, op: Op[Any], group: list[Any], rest: tuple[Any, ...], as_list: bool) -> Any:
    kernel = scope.run.kernel
    if as_list:
        outline = [Leaf(index) for index in range(len(group))]
        whole = kernel.issue(scope, Gather(outline), tuple(group))
    else:
        whole = kernel.issue(
            scope, Gather(Joined(tuple(map(Leaf, range(len(group)))))), tuple(group)
        )
    return kernel.issue(scope, Call(op), (whole, *rest))


def _grow_draws(kernel: Kernel, node: Node) -> None:
    op: Op[Any] = node.work.op
    if op.temperature == 0 and node.work.count > 1:
        raise BadOperand(
            f"samples of {op.name} at temperature 0 are all the same; "
            f"draw from {op.name}.using(temperature=0.7)"
        )
    scope = node.scope.child(node, "samples", None)
    node._items = [_child_call(scope, Call(op), node.operands) for _ in range(node.work.count)]
    node.operands = tuple(node._items)
    kernel.wait_for(node, node.operands)


# -- plain Python -------------------------------------------------------------------------------


def _gathered(node: Node) -> Any:
    contents = [content_of(value) for value in node.operands]

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

    return fill(node.work.shape)


def _picked(node: Node) -> tuple[int, ...]:
    """What a former life picked there, and what had failed; of another program, nothing."""
    picked = node.scope.run.picked(node.position)
    return picked if all(index < len(node.operands) for index in picked) else ()


def _first_issued(kernel: Kernel, node: Node) -> None:
    picked = _picked(node)
    if picked:
        kernel.wait_for(node, [node.operands[index] for index in picked])  # failures: their labels
        return
    there = [value for value in node.operands if not isinstance(value, Node) or value.ready]
    kernel.wait_for(node, () if there else node.operands, needed=1)


def _first_ready(kernel: Kernel, node: Node) -> None:
    run = node.scope.run
    picked = _picked(node)
    if picked and run.forget_pick(node, picked[0]):
        kernel.wait_for(node, node.operands, needed=1)  # the race is open again
        return
    if not picked:
        settled = [i for i, v in enumerate(node.operands) if not isinstance(v, Node) or v.ready]
        failed = [i for i in settled if node.operands[i]._error is not None]
        if failed == settled and len(settled) < len(node.operands):
            node.waiting = 1  # a failure does not win while another may come
            return
        good = [i for i in settled if i not in failed]
        picked = ((good or settled)[0], *failed)
    if node.position not in run.past.picks:
        run.history.pick(node.position, picked)
    winner = node.operands[picked[0]]
    error = winner._error if isinstance(winner, Node) else None
    if error is not None:
        kernel.fail(node, error)
    else:
        # Not all operands: who else has settled by now is chance, and another life's is another.
        seen = (node.operands[index] for index in picked)
        label = reduce(join, (v._label for v in seen if isinstance(v, Value)), node._label)
        kernel.settle(node, content_of(winner), vouched=label)
    kernel.cancel_losers(node, winner)


def _list(node: Node) -> list[Any]:
    return [content_of(value) for value in node.operands]


KINDS: dict[type, Kind] = {
    Call: Kind(_call_issued, _call_ready),
    Draws: Kind(_grow_draws, lambda kernel, node: kernel.settle(node, _list(node))),
    Map: _growing(_grow_map, _list),
    Reduce: _growing(_grow_reduce, lambda node: content_of(node.operands[0]), unbounded),
    Gather: Kind(
        lambda kernel, node: kernel.wait_for(node, node.operands),
        lambda kernel, node: kernel.settle(node, _gathered(node)),
    ),
    Lift: Kind(lift_issued, lift_ready),
    First: Kind(_first_issued, _first_ready, takes_failures=True),
}
