"""The graph: nodes, scopes and control cells. State only; nothing here decides or awaits.

Theory of operation
-------------------
A node is a Value together with the work that will settle it, so one object is both an edge and
what is at its end. Nodes are made in the order a program issues them and know only who waits for
them; a node that waits costs no task and no thread.

A scope is one program (or nested program, or the calls of one map) within a run. It numbers what
it issues; scope path and number are the node's *position*. It remembers what the program last
forced as a *control cell*: whatever the program issues later may depend on what it saw. Where a
node is in its life is its *stage* (``work_stage``).

Rules
1. Positions depend on the order of issue alone, never on what has arrived.
2. ``path_*`` of a settled node are those of the longest path that ends in it, itself included,
   along data and control edges.
3. Seeing a value that was issued under the current control cell replaces that cell, since the
   value's own path already includes it.
4. A scope's label only sinks, and each step down is noted: what was seen, and where.
5. A node of a run that goes on is read by a program, on the loop's thread, or not at all: on
   another it could be read when it is there, and not before; a program would hang on time. In a
   forked process nothing of a scope is read: only a copy of it would be lowered (``forks``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from threading import Lock, get_ident
from typing import Any

from nlpu.errors import BadOperand, Diverged, NlpuError, root_of
from nlpu.label import USER, Label, join
from nlpu.ops.op import Map, Reduce
from nlpu.printing import one_line
from nlpu.reliability import Reliability
from nlpu.runtime.graph.frames import asking_line
from nlpu.runtime.graph.label_gaps import check_caches, read_apart
from nlpu.runtime.graph.seen import Cell, Sight
from nlpu.runtime.graph.stage import Stage, advance
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.ports import Ports
from nlpu.runtime.run import RunState
from nlpu.value import State, Value, inside, see

_FIELDS = (
    "call_cost call_key call_number call_rank call_reply control_cell draw_number "
    "estimated_tokens grown_values inner_scope issue_ordinal issue_scope issue_seq node_work "
    "operand_texts parked_wakers path_depth path_s path_tokens user_nodes waiting_growers "
    "waits_for work_operands work_stage"
)
_SINKING = Lock()  # of any scope: it is rare
ASTRAY = -1  # no thread has this number
_SETTLED, _PENDING = Stage.SETTLED, State.PENDING  # enum attributes are slow to look up


class Node(Value[Any]):
    """A Value of a run, and the work that settles it."""

    __slots__ = tuple(_FIELDS.split())

    def __init__(self, scope: Scope, work: Any, operands: tuple[Any, ...]) -> None:
        self._state = _PENDING
        self._content = None
        self._error = None
        self._label = scope.label
        self.parked_wakers: list[Callable[[], None]] | None = None
        self.issue_scope = scope
        self.node_work = work
        self.work_operands = operands
        self.issue_ordinal = scope.issued
        scope.issued += 1
        self.issue_seq = 0
        self.control_cell = scope.control
        self.work_stage = Stage.WAITING
        self.user_nodes: list[Node] | None = None
        self.waiting_growers: list[Node] | None = None  # those that wait for it to grow
        self.waits_for = 0
        self.grown_values: list[Any] | None = None
        self.estimated_tokens = 0
        self.call_rank = 0
        self.draw_number = 0
        self.call_number = 0  # the journal's number of the call
        self.inner_scope: Scope | None = None  # what it grew into
        self.call_key: bytes | None = None
        self.operand_texts: tuple[str, ...] | None = None
        self.call_reply = ""  # what is kept of it, for equal calls of another type
        self.call_cost: Cost | None = None
        self.path_depth: int = 0
        self.path_tokens: int = 0
        self.path_s: float = 0.0

    @property
    def run_ports(self) -> Ports:
        """The machine, as its run sees it."""
        return self.issue_scope.ports

    @property
    def issue_position(self) -> str:
        """Where in the program it was issued: scope path and number."""
        return f"{self.issue_scope.path}/{self.issue_ordinal}"

    @property
    def work_name(self) -> str:
        """What it does, for people."""
        op = getattr(self.node_work, "op", None)
        return op.name if op is not None else str(getattr(self.node_work, "name", "gather"))

    def _whence(self) -> str:
        if not self._in_sight(
            self.issue_scope.label
        ):  # what was issued there may depend on what it saw
            return ""
        form = {Map: ".map", Reduce: ".reduce"}.get(type(self.node_work), "")
        return one_line(f", {self.work_name}{form} at {self.issue_position}", 80)

    def _in_sight(self, label: Label) -> bool:
        here = inside()
        return not self.issue_scope.going if here is None else join(here.label, label) == here.label

    def _seen_apart(self) -> None:
        if self._state is _PENDING or self.issue_scope.going:
            raise read_apart(self.work_name, going=self.issue_scope.going)

    def each(self) -> list[Any]:
        """The elements as Values of their own, so that one that fails can be caught alone.

        Of a map over a list that is on its way, they are known once all of them are settled.
        """
        if self.grown_values is None and self._state is _PENDING:
            try:
                _ = self.value
            except NlpuError:
                if self.grown_values is None:
                    raise
        found = self.grown_items
        return super().each() if found is None else found

    @property
    def grown_items(self) -> list[Any] | None:
        """The elements of a map, reduction or draws; None where they are not known yet."""
        if self.grown_values is None or self.inner_scope is None:
            return None
        if inside() is None and self.issue_scope.going:
            raise read_apart(self.work_name, going=self.issue_scope.going)
        see(self.inner_scope.label)  # how many there are
        return list(self.grown_values)

    def data_edges(self) -> Iterator[Node]:
        """The nodes it reads; of a reduction that has not grown yet, those of its list."""
        for value in self.work_operands:
            if isinstance(value, Node):
                yield value
            elif type(value) is list:
                yield from (item for item in value if isinstance(item, Node))

    def values_read(self) -> Iterator[Value[Any]]:
        """The Values it reads, those in a list that it has not grown from yet included."""
        for operand in self.work_operands:
            values = operand if type(operand) is list else (operand,)
            yield from (value for value in values if isinstance(value, Value))

    def settled_outcome(self) -> tuple[Any, BaseException | None]:
        """Its content and its error, of which there is one once it is settled."""
        return self._content, self._error

    def label_read(self) -> Label:
        """The label of all that it reads."""
        return reduce(join, (value._label for value in self.values_read()), self._label)

    def label_given(self) -> Label:
        """The label of what it stands for, once its operands are there: its scope's and theirs."""
        label = self._label
        for value in self.work_operands:
            if isinstance(value, Value) and value._label is not label:
                label = join(label, value._label)
        return label

    def lower_label(self, label: Label) -> None:
        """Have its label be no higher than that one, too."""
        self._label = join(self._label, label)

    def needed_by_others(self, than: Node) -> bool:
        """Whether a node that is not settled, or a program, waits for this one."""
        users = (user for user in self.user_nodes or () if user is not than)
        return bool(self.parked_wakers) or any(user.work_stage is not _SETTLED for user in users)

    def waken_by(self, waker: Callable[[], None]) -> None:
        """Call ``waker`` once, when the node's result is released."""
        if self.parked_wakers is None:
            self.parked_wakers = []
        self.parked_wakers.append(waker)

    def sleep_on(self, waker: Callable[[], None]) -> None:
        """Do not call ``waker`` any more, if that was still to come."""
        if self.parked_wakers and waker in self.parked_wakers:
            self.parked_wakers.remove(waker)

    def take_outcome(self, content: Any, error: BaseException | None, label: Label) -> None:
        """Take the outcome, and extend the longest paths (rule 2)."""
        advance(self, _SETTLED)
        self._content, self._error, self._label = content, error, label
        self._state = State.DONE if error is None else State.FAILED
        self.operand_texts = None
        tokens, seconds, depth = 0, 0.0, 0
        control = self.control_cell
        if control is not None:
            tokens, seconds, depth = control.path_tokens, control.path_s, control.depth
        for value in self.work_operands:
            if isinstance(value, Node):  # comparisons: max() costs five times as much here
                if value.path_tokens > tokens:
                    tokens = value.path_tokens
                if value.path_s > seconds:
                    seconds = value.path_s
                if value.path_depth > depth:
                    depth = value.path_depth
        cost = self.call_cost
        if cost is not None:
            tokens += cost.completion_tokens
            seconds += cost.service_s
            depth += cost.how != "shared"  # it took no call of its own
        self.path_tokens, self.path_s, self.path_depth = tokens, seconds, depth


class Scope:
    """One program, nested program or group of calls within a run. Implements nlpu's Issuer."""

    def __init__(self, run: RunState, path: str, parent: Scope | None, name: str) -> None:
        self.run = run
        self.ports = run.ports
        self.path = path
        self.parent = parent
        self.name = name
        self.issued = 0
        self.control: Cell | None = parent.control if parent is not None else None
        self.label: Label = parent.label if parent is not None else USER
        self.sights: list[Sight] = []  # rule 4
        self.origin: Node | None = parent.origin if parent is not None else None  # its Spawn
        self.asked: Reliability | None = (
            run.reliability if parent is None else parent.asked
        )  # of its plain calls
        self.grown_of: Node | None = None  # what it grew out of
        self.is_async = False
        self.ended = False
        self.refused = 0  # how often it was told since then
        # Who may read its Values (rule 5); 0 when it has ended, ASTRAY in a forked process.
        self.reader = run.ports.programs.thread
        self.kept: Node | None = None  # the node that holds the result, once the program ended
        self.given: tuple[Any, ...] = ()  # the operands of the node it grew from, before it grew
        self.nodes: list[Node] = []
        self.children: list[Scope] = []
        self.draws: dict[bytes, int] = {}
        self.touched: list[Node] = []  # the last effect of a driver, and the looks since then

    # -- the Issuer protocol -----------------------------------------------------------------

    def issue(self, work: Any, operands: tuple[Any, ...]) -> Value[Any]:
        if self.ended:
            if self.ports.programs.strands(self):
                return Node(self, work, operands)  # nobody will settle it
            raise BadOperand(f"the program {self.name!r} has ended; it cannot issue any more")
        node: Node = self.ports.graph.issue(self, work, operands)
        return node

    @property
    def going(self) -> bool:
        return self.run.status == "running"

    def force(self, value: Value[Any]) -> None:
        if get_ident() != self.reader:
            _ = self.ended and self.ports.programs.strands(self)
            self._seen_astray(value)
            return
        if self.is_async:
            raise BadOperand("in an async program a Value is not asked directly: write await v")
        if isinstance(value, Node):
            if value._state is _PENDING:
                self._same_run(value)
                self.ports.programs.park(self, value)
            self.saw(value)
        else:
            self.see(value._label)

    def wait(self, value: Value[Any]) -> Any:
        if get_ident() != self.reader:
            if self.ended and self.ports.programs.strands(self):
                yield from self.ports.programs.wait(self, None)
            self._seen_astray(value)
            return
        if isinstance(value, Node):
            if value._state is _PENDING:
                self._same_run(value)
                yield from self.ports.programs.wait(self, value)
            self.saw(value)
        else:
            self.see(value._label)

    def see(self, label: Label, node: Node | None = None) -> None:
        if self.reader == ASTRAY:
            raise read_apart("a Value", going=True)
        if join(label, self.label) is self.label:
            return
        line = asking_line()
        with _SINKING:  # another thread may have seen something else meanwhile
            self.sights.append(Sight(self.issued, node, label, line))
            self.label = join(self.label, label)
        self.run.lowered = True
        check_caches()

    def end(self) -> None:
        """Its program is over: it issues and reads no more."""
        self.ended, self.reader = True, min(self.reader, 0)

    def _seen_astray(self, value: Value[Any]) -> None:
        """Something of the program reads when it has ended, or on another thread (rule 5)."""
        if isinstance(value, Node):
            value._seen_apart()
        self.see(value._label)

    def processor(self, name: str | None) -> Any:
        return self.run.processor(name)

    def remember(
        self, make: Callable[[], Any], what: str = "what was found", changes: str = ""
    ) -> Any:
        position = f"{self.path}/{self.issued}"
        self.issued += 1
        content = self.run.replay.heard(position, what)
        if content is None:
            if changes:
                self.run.replay.check_change(position, what, changes)
            content = make()
            self.run.note(position, what, content)
        return content

    def aside(self, work: Callable[[], Any]) -> Any:
        mine = get_ident() == self.reader  # else nobody is there to wake it
        return self.ports.programs.aside(self, work) if mine else work()

    def _same_run(self, node: Node) -> None:
        if node.issue_scope.run is not self.run:
            raise BadOperand("this Value belongs to another run; pass its content: run.result")

    def saw(self, node: Node) -> None:
        """Remember that the program has seen a settled node (rule 3)."""
        if node._error is not None:
            self._saw_failing(node)
        control = self.control
        if control is not None and control.node is node:
            return
        self.control = Cell(node, None if node.control_cell is control else control)
        self.see(node.label, node)

    def _saw_failing(self, node: Node) -> None:
        """A divergence behind a failure is none to go on after: it stops the run."""
        error, run = root_of(node._error), node.issue_scope.run
        if isinstance(error, Diverged) and run.doom is None:
            run.doom = error  # whatever the program does until it is stopped, from the hub
            outside = self.ports.outside
            outside.post(outside.stop, run, error)

    def child(self, node: Node, name: str, grown_from: Node | None) -> Scope:
        """A scope for what a node of this one grows into.

        ``grown_from`` is the node whose content decided how it grows: a control edge.
        """
        scope = Scope(self.run, node.issue_position, self, name)
        scope.grown_of = node
        scope.control = node.control_cell
        scope.label = node._label
        scope.given = node.work_operands
        if grown_from is not None:
            scope.saw(grown_from)
        self.children.append(scope)
        node.inner_scope = scope
        return scope

    def subtree(self) -> Iterator[Node]:
        """All nodes issued in this scope and in those that grew from it."""
        scopes = [self]
        while scopes:
            scope = scopes.pop()
            yield from scope.nodes
            scopes += scope.children


def current_scope() -> Scope | None:
    """The scope this code runs inside of, if it is one of ours."""
    return scope if isinstance(scope := inside(), Scope) else None


def content_of(value: Any) -> Any:
    """An operand's content."""
    return value._content if isinstance(value, Value) else value
