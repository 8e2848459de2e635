"""The kernel: the loop that carries a growing graph through its processors.

Theory of operation
-------------------
Everything happens on one loop thread, in turns. A turn takes what has arrived, lets the graph
advance as far as it can, chooses the calls to send, writes all of it to the journal in one
transaction, and only then sends the calls and wakes the programs:

    settle     replies become results; nodes whose operands are there become ready
    schedule   ready calls are admitted by priority, within limits and budgets
    commit     the journal holds everything above, or nothing of it happened
    run        admitted calls are sent; programs that waited go on and issue more

Rules
1. No program sees a result, and no call is sent, before its rows are committed.
2. A turn awaits nothing. Attempts are tasks that put their outcome in ``inbox``; so are blocking
   functions, each on a thread.
3. A node fails alone: its error goes to the nodes that read it, and to nothing else.
4. What a kind of work does is in ``works.KINDS``; the kernel knows only nodes.
5. An error in the runtime itself stops the runs it touches with a typed error; it never hangs them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial, reduce
from random import Random
from threading import get_ident
from typing import Any, TypeVar

from nlpu.errors import (
    Cancelled,
    DeadlineExceeded,
    Diverged,
    NlpuError,
    ProgramError,
    UnknownProcessor,
    described,
    root_of,
)
from nlpu.label import Label, join
from nlpu.processor import Processor
from nlpu.runtime.executor.clock import Clock
from nlpu.runtime.executor.programs import Host
from nlpu.runtime.executor.raised import internal
from nlpu.runtime.executor.threads import Threads
from nlpu.runtime.graph.kinds import KINDS
from nlpu.runtime.graph.lifts import finish_lift
from nlpu.runtime.graph.node import Node, Scope, Stage
from nlpu.runtime.graph.upstream import upstream
from nlpu.runtime.journal.commits import CommitGate
from nlpu.runtime.journal.edits import label_of_text, rewritten
from nlpu.runtime.journal.store import JournalStore, NoJournal
from nlpu.runtime.observe.progress import Pulse
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.scheduler import CallDesk
from nlpu.value import CURRENT, Value

_T = TypeVar("_T")
_MOST_THREADS = 64  # blocking functions of programs at once


class Kernel:
    """Runs programs on processors, on one event loop. ``computer`` is its public face."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, seed: int = 0) -> None:
        self.loop = loop
        self.thread = get_ident()  # it is made on its loop's
        self.clock = clock
        self.random = Random(seed)  # for backoff only: nothing a program can see
        self.journal: JournalStore = NoJournal()
        self.commits = CommitGate[Node](loop.call_soon_threadsafe, self.soon)
        self.processors: dict[str, Processor] = {}
        self.absent: dict[str, NlpuError] = {}  # why those that could not be opened are not there
        self.default = ""
        self.runs: dict[int, RunState] = {}
        self.calls = CallDesk(self)
        self.host = Host(self)
        self._pulse = Pulse(self)
        self.inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()  # since last turn
        self.person: Any = None  # who may be asked (drivers' business)
        self.dry = False  # whether drivers with an effect are refused
        self._threads = asyncio.Semaphore(_MOST_THREADS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._effects: set[asyncio.Task[None]] = set()
        self._ready: deque[Node] = deque()
        self._wake: list[Node] = []
        self._woken: deque[Callable[[], None]] = deque()
        self._steps: deque[Callable[[], None]] = deque()
        self._seq = 0
        self._turn_due = False
        self.turn_s = loop.time()  # when this turn began: a turn is one moment to its calls

    # -- the turn ----------------------------------------------------------------------------

    def turn(self) -> None:
        """One round of settle, schedule, commit, run."""
        if self.commits.under_way:
            self._turn_due = False  # it comes again
            self.commits.put_off()
            return
        self.turn_s = self.loop.time()
        CURRENT.set(None)  # whoever asked for the turn: it is no program's
        self._guarded(self._settle_arrivals)
        self._turn_due = False  # only now: what settling asks for is in this turn
        batch = self._guarded(self.calls.admit) or []
        self._guarded(self._pulse.beat)
        self.commits.commit(self.journal, self._durable, batch)

    def _durable(self, batch: list[Any], error: BaseException | None) -> None:
        """The last phase of a turn, when its rows are durable, or have failed to be."""
        if self.commits.later:
            self._wake += self.commits.settled
            self.commits.settled.clear()
        if error is not None:  # nothing of the batch is really sent
            self.calls.unsend(batch)
            self._halt(error if isinstance(error, NlpuError) else internal(error))
        self._guarded(self.calls.send, batch)
        self._guarded(self._run_programs)

    def soon(self) -> None:
        """Have a turn at the next opportunity."""
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self.turn)

    def arrived(self, settle: Callable[..., None], *facts: Any) -> None:
        """Something came from outside: settle it in the next turn. Loop thread only."""
        self.inbox.append((settle, facts))
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self.turn)

    def _settle_arrivals(self) -> None:
        while self.inbox:
            settle, facts = self.inbox.popleft()
            self._guarded(settle, *facts)
        while self._ready:
            self._advance(self._ready.popleft())

    def _advance(self, node: Node) -> None:
        """A node whose operands are there: fail, grow, compute or queue it."""
        if node.stage is Stage.SETTLED:
            return
        kind = KINDS[type(node.work)]
        try:
            if not kind.takes_failures:
                self._check_operands(node)
            kind.ready(self, node)
        except BaseException as error:
            self.host.cancel_grown(node)  # it may have been refused halfway
            self._failed(node, error if isinstance(error, NlpuError) else internal(error))

    def _guarded(self, step: Callable[..., _T], *facts: Any) -> _T | None:
        """Rule 5 for what belongs to no one node: the runs end, and say why."""
        try:
            return step(*facts)
        except BaseException as error:
            self._halt(internal(error))
            return None

    def _failed(self, node: Node, error: NlpuError) -> None:
        """A failure is the node's own; a divergence stops the run, so no program can catch it."""
        if isinstance(error, Diverged):
            self.host.stop(node.scope.run, error)
        else:
            self.fail(node, error)

    def seen_failing(self, node: Node) -> None:
        """A program sees a failure: a divergence behind it is no failure to go on after."""
        error, run = root_of(node._error), node.scope.run
        if isinstance(error, Diverged) and run.doom is None:
            run.doom = error  # whatever the program does until it is stopped, from the hub
            self.arrived(self.host.stop, run, error)

    def on_hub(self, step: Callable[[], None]) -> None:
        """Do something in the last phase of a turn, between programs."""
        if self.commits.under_way:  # what it follows from is of the next turn
            self.arrived(self._steps.append, step)
        else:
            self._steps.append(step)
            self.soon()

    def _run_programs(self) -> None:
        nodes, self._wake = self._wake, []
        for node in nodes:
            wakers, node._wakers = node._wakers, None
            self._woken.extend(wakers or ())
        self._guarded(self.host.back)
        while self.host.work_aside is None and (steps := self._woken or self._steps):
            self._guarded(steps.popleft())
        if self._ready or self.inbox or self.journal.dirty:
            self.soon()

    def _halt(self, error: NlpuError) -> None:
        """Every run ends, resumable at its last commit."""
        for run in list(self.runs.values()):
            try:
                self.host.stop(run, error)
            except Exception as failure:  # a run that cannot be unwound ends all the same
                self.host.end(run, None, internal(failure))

    def issue(self, scope: Scope, work: Any, operands: tuple[Any, ...]) -> Node:
        """Put work on the graph."""
        node = Node(scope, work, operands)
        if scope.run.reworded:
            node.work = work = rewritten(work, scope.run.reworded)
            node._label = join(node._label, label_of_text(scope.run.ancestor, work))
        if scope.run.persona is not None:
            node.work = work = scope.run.persona.over(work)
        node.seq = self._seq = self._seq + 1
        scope.nodes.append(node)
        try:
            KINDS[type(work)].issued(self, node)
        except NlpuError:  # the program learns of what the node would have read
            self.host.cancel_grown(node)
            scope.nodes.pop()
            for value in node.read():
                if value.ready:
                    scope.see(value._label)
            raise
        self.calls.fresh.append(node)
        return node

    def wait_for(self, node: Node, values: Iterable[Any], needed: int | None = None) -> None:
        """Make the node ready when all (or ``needed``) of the values are settled."""
        waiting = 0
        for value in values:
            if isinstance(value, Node) and value.stage is not Stage.SETTLED:
                waiting += 1
                if value.users is None:
                    value.users = []
                value.users.append(node)
        node.waiting = waiting if needed is None else min(waiting, needed)
        if node.waiting == 0:
            self._ready.append(node)
            self.soon()

    def wait_for_growth(self, node: Node, source: Node) -> None:
        """Make the node ready when the source's items are known, though not yet there."""
        node.waiting = 1
        source.growers = [*(source.growers or ()), node]

    def grown(self, source: Node) -> None:
        """The source's items are known (or never will be)."""
        growers, source.growers = source.growers, None
        for node in growers or ():
            if node.stage is not Stage.SETTLED:
                node.waiting = 0
                self._ready.append(node)
                self.soon()

    def _check_operands(self, node: Node) -> None:
        for value in node.operands:
            if isinstance(value, Node) and value._error is not None:
                raise upstream(node, value)

    def settle(self, node: Node, content: Any, vouched: Label | None = None) -> None:
        """The node's content is there. Its label joins its operands' and its scope's.

        vouched: the label where the operands' do not count. Only an endorsement may say so.
        """
        label = node._label if vouched is None else vouched
        for value in node.operands if vouched is None else ():
            if isinstance(value, Value) and value._label is not label:
                label = join(label, value._label)
        self._close(node, content, None, label)

    def fail(self, node: Node, error: BaseException) -> None:
        """The node has no content; this is why."""
        if node.stage is not Stage.SETTLED:
            label = reduce(join, (value._label for value in node.read()), node._label)
            self._close(node, None, error, label)  # an error may tell of all that was read

    def _close(self, node: Node, content: Any, error: BaseException | None, label: Any) -> None:
        node.settled(content, error, label)
        if self.commits.later:
            self.commits.settled.append(node)
        elif node._wakers:
            self._wake.append(node)
        if node.growers:
            self.grown(node)
        users, node.users = node.users, None
        for user in users or ():
            user.waiting -= 1
            if user.waiting == 0 and user.stage is not Stage.SETTLED:
                self._ready.append(user)

    def cancel(self, node: Node) -> None:
        """Nothing needs the node any more. Idempotent."""
        if node.stage is Stage.SETTLED:
            return
        self.calls.drop(node)
        what = f"{node.name} at {node.position}"
        self.fail(node, Cancelled(f"{what} was cancelled: nothing needs its result"))
        self.host.cancel_grown(node)

    def cancel_losers(self, node: Node, winner: Any) -> None:
        """Cancel those operands of a choice that nothing else waits for."""
        for value in node.operands:
            if not isinstance(value, Node) or value is winner or value.ready:
                continue
            if not value.needed_by_others(node):
                self.cancel(value)

    def park(self, scope: Scope, node: Node) -> None:
        """Return when the node is settled; other programs run meanwhile."""
        self.host.park(scope, node)

    def await_node(self, scope: Scope, node: Node) -> Generator[Any, None, None]:
        """As ``park``, for async programs."""
        started = self.now_s()
        future = self.loop.create_future()

        def waker() -> None:
            if not future.done():
                future.set_result(None)

        node.waken(waker)
        try:
            yield from future.__await__()
        finally:
            if node._wakers and waker in node._wakers:  # it waits no more: it was cancelled
                node._wakers.remove(waker)
        self.host.note_wait(scope, self.now_s() - started)

    def on_thread(self, node: Node, function: Callable[[], Any]) -> None:
        """Run a blocking function on a thread and settle the node with what it gives."""

        def caught() -> tuple[Any, BaseException | None]:
            try:
                return function(), None
            except BaseException as error:  # a future cannot hold every kind
                return None, error

        async def lifted() -> None:
            async with self._threads:
                if node.stage is Stage.SETTLED:
                    return
                try:
                    outcome = await self.loop.run_in_executor(Threads(), caught)
                except RuntimeError as error:  # there are no more threads
                    outcome = None, error
                self.arrived(self._lifted, node, *outcome)

        self.carry(lifted())

    def _lifted(self, node: Node, content: Any, error: BaseException | None) -> None:
        if node.stage is Stage.SETTLED:
            return
        try:
            if error is not None:
                raise ProgramError(f"{node.name} raised {described(error)}") from error
            finish_lift(self, node, content)
        except NlpuError as failure:
            self._failed(node, failure)

    def carry(self, work: Coroutine[Any, Any, None], *, lasting: bool = False) -> None:
        """Run something that waits for the outside; it ends by putting its outcome in the inbox.

        lasting: it changes something, so a computer that closes gives it time to tell its outcome.
        """
        task = self.loop.create_task(work)
        tasks = self._effects if lasting else self._tasks
        tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(tasks.discard)

    async def outlast(self, seconds: float) -> None:
        """Wait for effects under way, and until what they gave is in the journal."""
        if self._effects:
            await asyncio.wait(tuple(self._effects), timeout=seconds)
            self.commits.after(partial((kept := self.loop.create_future()).set_result, None))
            self.soon()
            await asyncio.wait((kept,), timeout=seconds)

    def expire(self, run: RunState) -> None:
        """The run's seconds are over."""
        limit, fault = run.purse.budget.seconds, run.fault
        why = f"; its newest attempt failed: {fault}" if fault is not None else ""
        error = DeadlineExceeded(f"the run's {limit:g} seconds ran out; it can be resumed{why}")
        self.arrived(self.host.stop, run, error)

    def processor(self, name: str | None) -> Processor:
        """The processor of that name, or the default one.

        Raises UnknownProcessor, and why it could not be opened.
        """
        found = self.processors.get(name or self.default)
        if found is None:
            if (name or self.default) in self.absent:
                raise self.absent[name or self.default].with_traceback(None)
            have = ", ".join(self.processors) or "none"
            raise UnknownProcessor(f"no processor is called {name!r}; this computer has: {have}")
        return found

    def now_s(self) -> float:
        """Seconds on the loop's clock."""
        return self.loop.time()
