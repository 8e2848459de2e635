"""From a finished run to a plan: what it did, without the Python that did it.

Theory of operation
-------------------
Nodes know what they read, and what their program had looked at before it issued them. The result's
node, effects, and all that these need become steps, in an order in which each can be issued. Nested
programs are written where they stand: their scopes were only ever labels and conditions.

    in the run                          in the text
    a program looked at a content       a condition of the steps it issued afterwards
    it passed a text on, whole          the value, or the parameter, that the text is
    it made another text of it          that text, as it was; so are numbers that it was given
    it cut an argument with split()     split, if the chunks went into one map or reduction
    an untrusted literal                the condition ``untrusted`` of the step that read it

Rules
1. No label is lost: a step or result that had a lower label than its text explains gets that label
   as a condition.
2. What cannot be written is refused by name: endorsements (a person who vouches writes a program),
   what follows a nested program that failed, and contents without JSON. Drivers and lifted
   functions are written by name alone.
3. Calls that nothing reads are not written, unless a program looked at them and went on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from typing import Any

from nlpu.errors import BadProgram
from nlpu.label import USER, join
from nlpu.lifting import Gather, Lift
from nlpu.ops.op import Call, Draws, Map, Op, Reduce
from nlpu.runtime.drivers.driver import Drive
from nlpu.runtime.graph.kinds import First
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.spawning import Spawn
from nlpu.runtime.plans import run_nodes as graph
from nlpu.runtime.plans.lexer import NAME, RESERVED
from nlpu.runtime.plans.plan import (
    Condition,
    How,
    Outside,
    Param,
    Plan,
    Ref,
    Seen,
    Step,
    as_json,
    decided,
    refs,
)
from nlpu.runtime.run import RunState
from nlpu.text import split
from nlpu.types.result import result_type
from nlpu.value import CURRENT, Value, peek_content, peek_error, peek_label

_HOW: dict[type, How] = {
    Map: "map",
    Reduce: "reduce",
    Draws: "draw",
    First: "first",
    Gather: "value",
}
_LONG = 60  # characters of a literal that has a line of its own


def plan_of(run: RunState, arguments: Mapping[str, Any]) -> Plan:
    """The plan that a finished run followed; its arguments by name, the very objects.

    Raises BadProgram.
    """
    if run.status != "done":
        raise BadProgram(f"the run is {run.status}: only one that is done can be written out")
    return _Tracer(run, arguments).plan()


@dataclass(slots=True)
class _Tracer:
    """What has been written so far."""

    run: RunState
    arguments: Mapping[str, Any]
    uses: dict[str, Op[Any] | Outside] = field(default_factory=dict)
    params: list[Param] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # by seq of a node
    made: dict[int, list[Node]] = field(default_factory=dict)  # texts by identity: who gave them
    given: dict[int, Ref] = field(default_factory=dict)  # arguments by identity
    literals: dict[Any, Ref] = field(default_factory=dict)
    functions: dict[str, list[Any]] = field(default_factory=dict)
    handed: set[int] = field(default_factory=set)  # items that were used on their own

    def plan(self) -> Plan:
        for name, content in self.arguments.items():
            if isinstance(content, str):
                self.params.append(Param(len(self.params) + 1, name, result_type(str)))
                self.given[id(content)] = Ref(len(self.params))
        nodes = [*graph.written(self.run.root)]
        for node in nodes:
            for each in (node, *(node.grown_values or ())):
                if isinstance(each, Node) and isinstance(peek_content(each), str):
                    self.made.setdefault(id(peek_content(each)), []).append(each)
            used = [*graph.values_of(node), *graph.seen_by(node)]
            self.handed |= {value.issue_seq for value in used if isinstance(value, Node)}
        kept = self.run.root.kept
        result = self.run.result if kept is None else kept
        effects = [
            node for node in nodes if type(node.node_work) is Drive and peek_error(node) is None
        ]
        for node in self._in_order([*effects, *self._nodes(result, None)]):
            self._step(node)
        returned = self._returned(result)
        read = {number for step in self.steps for number in step.reads()} | {*refs(returned)}
        params = tuple(param for param in self.params if param.number in read)
        return Plan(self.uses, params, tuple(self.steps), returned)

    def _returned(self, result: Any) -> Any:
        """The result, with the label of what the program had seen when it gave it (rule 1)."""
        returned, label = self._expression(result, None), self.run.root.label
        if isinstance(result, Value):
            label = join(label, peek_label(result))
        explained = reduce(join, (peek_label(node) for node in self._nodes(result, None)), USER)
        if join(explained, label) is explained:
            return returned
        return self._add(Step(0, "value", operands=(("", returned),), given=(label,)))

    def _in_order(self, ends: list[Node]) -> Iterator[Node]:
        """All that the ends need, each after what it needs, else as it was issued."""
        needs: dict[int, set[int]] = {}
        known: dict[int, Node] = {}
        stack = list(ends)
        while stack:
            node = stack.pop()
            if node.issue_seq in needs:
                continue
            known[node.issue_seq] = node
            reads = [found for value in graph.values_of(node) for found in self._nodes(value, node)]
            reads += [found for seen in graph.seen_by(node) for found in self._nodes(seen, node)]
            needs[node.issue_seq] = {each.issue_seq for each in reads}
            stack += reads
        order = TopologicalSorter(needs)
        try:
            order.prepare()
        except CycleError:
            raise BadProgram(
                "the run cannot be written: equal texts hide what came first"
            ) from None
        while order.is_active():
            for seq in sorted(order.get_ready()):
                yield known[seq]
                order.done(seq)

    # -- what stands for what ----------------------------------------------------------------

    def _nodes(self, value: Any, reader: Node | None) -> list[Node]:
        """The nodes whose steps an operand will refer to."""
        value = self._stands_for(value, reader)
        if isinstance(value, Node):
            return (
                [] if type(value.node_work) is Spawn else [value]
            )  # one that failed: nobody reads it
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list | tuple):
            return [node for part in parts for node in self._nodes(part, reader)]
        return []

    def _stands_for(self, value: Any, reader: Node | None) -> Any:
        """A nested program's result for the program, items for what was used by item, and the
        node that gave a text for the text."""
        inner: Node | None = None
        while (
            isinstance(value, Node) and type(value.node_work) is Spawn and peek_error(value) is None
        ):
            inner, value = value, graph.kept_by(value)
        items = list(value.grown_values or ()) if isinstance(value, Node) else []
        if any(item.issue_seq in self.handed for item in items if isinstance(item, Node)):
            return items
        if type(value) is Value:
            value = peek_content(value)
        if not isinstance(value, str) or id(value) in self.given or len(value) < 2:
            return value  # shorter texts are one object wherever they come from
        makers = [
            node for node in self.made.get(id(value), ()) if type(node.node_work) is not Spawn
        ]
        inside = f"{inner.issue_position}/" if inner is not None else "-"
        own = [node for node in makers if node.issue_position.startswith(inside)]
        before = [node for node in makers if reader is None or node.issue_seq < reader.issue_seq]
        return (own or before or [value])[-1]  # type: ignore[list-item]

    def _expression(self, value: Any, reader: Node | None) -> Any:
        value = self._stands_for(value, reader)
        if isinstance(value, Node):
            return Ref(self.numbers[value.issue_seq])
        if id(value) in self.given:
            return self.given[id(value)]
        if isinstance(value, dict):
            return {str(key): self._expression(part, reader) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._expression(part, reader) for part in value]
        return self._literal(value, reader)

    def _literal(self, content: Any, reader: Node | None) -> Any:
        try:
            written = as_json(content)
        except ValueError as error:
            where = f"at {reader.issue_position}" if reader is not None else "as its result"
            raise BadProgram(f"{where} the run has a content without JSON: {error}") from error
        if not isinstance(written, str) or len(written) <= _LONG:
            return written
        return self._line(written, Step(0, "value", operands=(("", written),)))

    def _line(self, key: Any, step: Step) -> Ref:
        """A line of its own for what may be used several times."""
        if key not in self.literals:
            self.literals[key] = self._add(step)
        return self.literals[key]

    def _add(self, step: Step) -> Ref:
        number = len(self.params) + len(self.steps) + 1
        self.steps.append(replace(step, number=number))
        return Ref(number)

    # -- steps -------------------------------------------------------------------------------

    def _step(self, node: Node) -> None:
        work, operands = node.node_work, graph.operands_of(node)
        how: How = _HOW.get(type(work), "call")
        name, count = "", getattr(work, "count", 0)
        named: tuple[str, ...] = getattr(work, "names", getattr(work, "named", ()))
        named = ("",) * (len(operands) - len(named)) + named
        if type(work) is Call and work.sample is not None:
            how, count = "sample", work.sample
        if how not in ("first", "value"):
            name = self._name(node)
        if how in ("map", "reduce"):
            operands[0] = self._cut_of(operands[0])
        expressions = [
            part if isinstance(part, Ref) else self._expression(part, node) for part in operands
        ]
        step = Step(0, how, name, count, tuple(zip(named, expressions, strict=True)))
        step = replace(step, given=self._conditions(node, set(step.reads())))
        self.numbers[node.issue_seq] = self._add(step).number

    def _name(self, node: Node) -> str:
        """A name of its own for what the node uses."""
        work = node.node_work
        if isinstance(work, Drive):
            thing: Any = Outside("driver", work.driver.name, work.driver.digest.hex())
        elif isinstance(work, Lift):
            same = self.functions.setdefault(work.name, [])  # closures share their names
            if all(each is not work.function for each in same):
                same.append(work.function)
            number = next(n for n, each in enumerate(same, 1) if each is work.function)
            thing = Outside("function", work.name if number == 1 else f"{work.name}_{number}")
        elif isinstance(work, Call | Map | Reduce | Draws):
            thing = work.op
        else:
            raise BadProgram(
                f"{node.work_name} at {node.issue_position} cannot be written: what a program "
                "vouches for stays in its Python"
            )
        base = re.sub(r"[^A-Za-z0-9_]", "_", thing.name)[:40]
        base = base if NAME.fullmatch(base) and base not in RESERVED else f"_{base}"
        tries = (base if n == 1 else f"{base}_{n}" for n in range(1, len(self.uses) + 2))
        name = next(each for each in tries if self.uses.get(each, thing) == thing)
        self.uses[name] = thing
        return name

    def _cut_of(self, items: Any) -> Any:
        """A list of chunks as the split that it came from."""
        size = getattr(items[0], "limit", 0) if isinstance(items, list) and items else 0
        texts = [each for each in self.arguments.values() if isinstance(each, str)]
        token = CURRENT.set(self.run.root)  # its processor counts the tokens of chunks
        try:
            for content in texts if size else ():
                if "".join(items) == content and split(content, size) == items:
                    source = self.given[id(content)]
                    step = Step(0, "split", count=size, operands=(("", source),))
                    return self._line((source, size), step)
        finally:
            CURRENT.reset(token)
        return items

    def _conditions(self, node: Node, reads: set[int]) -> tuple[Condition, ...]:
        found: list[Condition] = []
        explained = graph.brought_by(node)
        for value in graph.values_of(node):
            explained = join(explained, graph.label_of(self._stands_for(value, node)))
        for seen in graph.seen_by(node):
            stands = self._stands_for(seen, node)
            if not isinstance(stands, Node):
                continue
            if type(stands.node_work) is Spawn:
                raise BadProgram(
                    f"{node.work_name} at {node.issue_position} cannot be written: it followed "
                    f"{stands.work_name} at {stands.issue_position}, a nested program that failed; "
                    "why it did stays in its Python"
                )
            number = self.numbers[stands.issue_seq]
            explained = join(explained, peek_label(stands))
            if peek_error(stands) is not None:
                found.append(Seen(number, failed=True))
            elif graph.is_closed(stands):
                found.append(Seen(number, exactly=(decided(peek_content(stands)),)))
            elif number not in reads:
                found.append(Seen(number))
        if join(explained, peek_label(node)) is not explained:
            found.append(peek_label(node))
        return tuple(found)
