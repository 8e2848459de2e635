"""Programs: how they run, wait and end.

Theory of operation
-------------------
A plain program is a greenlet on the loop's thread. When it asks for a Value that is not there,
its greenlet is parked and the loop goes on; when the result is released it is switched back in. An
async program is a task of the same loop. Either way a waiting program costs no thread, and only one
program runs at any moment, so the order in which programs issue follows from the order of results.

    a program ends    its result's Values are gathered; what the result does not need is cancelled;
                      the Value of a nested program, or the run, gets the outcome

Rules
1. Greenlets are switched to only from the hub (the loop's own greenlet), never from each other.
2. What a program raises fails its scope: the nested program's Value, or the run.
3. A stopped run unwinds its programs (GreenletExit, task cancel) and leaves its journal resumable.
4. A greenlet that a program makes is inside of the program's scope. It reads what is there; only
   the program itself can be parked (``greenlets``).
5. A literal that a program is given is its own: what reads it elsewhere lowers this program.
6. A program that catches what unwinds it, and goes on, waits for ever from its next asking on.
7. While a program has something done aside, calls go on, and no other program does: nothing comes
   between its looking and its acting. If it is stopped, its work is done whole all the same. Async
   programs, and greenlets that programs make, cannot be parked: they do it themselves.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from threading import get_ident
from typing import Any

from greenlet import GreenletExit, enable_optional_cleanup, getcurrent, greenlet

from nlpu.errors import NeedsPerson, ProgramError, Stopped
from nlpu.lifting import contains_value, gather
from nlpu.runtime.executor.greenlets import Switch
from nlpu.runtime.executor.raised import as_typed
from nlpu.runtime.executor.threads import Threads, outcome_of
from nlpu.runtime.graph.frames import asking_line
from nlpu.runtime.graph.graph import Graph
from nlpu.runtime.graph.kind import KINDS
from nlpu.runtime.graph.label_gaps import check_caches
from nlpu.runtime.graph.node import Node, Scope, content_of
from nlpu.runtime.graph.spawning import Program, Spawn, may_read
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.ports import Ports
from nlpu.runtime.run import RunState, Status
from nlpu.value import CURRENT, adopted

_REFUSALS = 100  # of what a program asks when it has ended
_LOOKS = 16  # at what waits on a line, for caches: many waits on it cost no more


class Programs:
    """Starts, parks, resumes and ends programs. ``runs``: those that go on, by number."""

    def __init__(self, graph: Graph, loop: asyncio.AbstractEventLoop) -> None:
        # When a thread ends, greenlet looks for leaks of its hub (gc.get_referrers); with errors
        # about that still hold frames of programs, that search crashes the process (3.5.6).
        enable_optional_cleanup(False)
        self.ports: Ports  # of the machine that it is made a part of
        self.thread = get_ident()  # it is made on its loop's
        self.runs: dict[int, RunState] = {}
        self._graph, self._loop = graph, loop
        self.switch = Switch()
        self.work_aside: asyncio.Future[Any] | None = None  # what the program that runs waits for
        self.woken: deque[Callable[[], None]] = deque()  # those that go on in this turn
        self._wake: Callable[[], None] | None = None  # that program, from the hub
        self._living: dict[Scope, greenlet | asyncio.Task[Any]] = {}
        self.stranded: dict[str, greenlet] = {}  # by the program's name (rule 6)
        # Tasks that were ended and may catch it. A loop does not hold them: collected, one that
        # goes on from that, too, would do so for ever, on any thread.
        self._leaving: set[asyncio.Task[Any]] = set()

    # -- starting ----------------------------------------------------------------------------

    def start(
        self,
        scope: Scope,
        program: Program,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        ended: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Run a program in a scope; ``ended`` gets its result (which may hold Values) or error."""
        if scope.ended:  # stopped before it started
            return
        context = copy_context()
        context.run(CURRENT.set, scope)
        args, kwargs = adopted(args, scope), adopted(kwargs, scope)  # rule 5
        if inspect.iscoroutinefunction(program):
            self._start_async(scope, lambda: program(*args, **kwargs), context, ended)
            return

        def body() -> None:
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = program(*args, **kwargs)
            except BaseException as failure:  # rule 2, and the loop must not end with a program
                if scope.ended:  # killed
                    return
                error = failure
            self.ports.outside.on_hub(
                lambda: ended(outcome, error)
            )  # rule 1: not from this greenlet

        living = greenlet(body)
        living.program_scope = scope
        living.gr_context = context
        self._living[scope] = living
        self.switch.to(living)

    def _start_async(
        self,
        scope: Scope,
        work: Callable[[], Awaitable[Any]],
        context: Any,
        ended: Callable[[Any, BaseException | None], None],
    ) -> None:
        scope.is_async = True

        async def body() -> None:
            try:
                outcome, error = await work(), None
            except BaseException as failure:
                if scope.ended:  # killed
                    return
                outcome, error = None, failure
            self.ports.outside.on_hub(lambda: ended(outcome, error))

        self._living[scope] = self._loop.create_task(body(), context=context, name=scope.path)

    # -- waiting -----------------------------------------------------------------------------

    def park(self, scope: Scope, node: Node) -> None:
        """Switch to the hub until the node is released."""
        living = self._living.get(scope)
        if not isinstance(living, greenlet) or living is not getcurrent():
            raise ProgramError(
                "a Value can be forced only by the program it belongs to, on its own thread; "
                "pass contents, not Values, to other threads, and to a greenlet of your own Values "
                "that are there already"
            )
        started = self._loop.time()
        self.switch.park(living, node.waken_by)
        self._note_wait(scope, self._loop.time() - started)

    def wait(self, scope: Scope, node: Node | None) -> Generator[Any, None, None]:
        """As ``park``, for async programs. ``node``: None for what never comes."""
        started, future = self._loop.time(), self._loop.create_future()

        def waker() -> None:
            if not future.done():
                future.set_result(None)

        if node is None:
            yield from future.__await__()
            return
        node.waken_by(waker)
        try:
            yield from future.__await__()
        finally:
            node.sleep_on(waker)
        self._note_wait(scope, self._loop.time() - started)

    def aside(self, scope: Scope, work: Callable[[], Any]) -> Any:
        """What work gives that is done on a thread; the loop goes on, programs wait (rule 6)."""
        living = self._living.get(scope)
        if not isinstance(living, greenlet) or living is not getcurrent():
            return work()

        def parked(wake: Callable[[], None]) -> None:
            self._wake = wake

        try:
            done = self._loop.run_in_executor(Threads(), outcome_of, work)
        except RuntimeError:  # there are no more threads
            return work()
        done.add_done_callback(lambda _: self.ports.outside.soon())
        self.work_aside = done
        try:
            self.switch.park(living, parked)
        finally:  # it goes on, or has been stopped
            self.work_aside = None
            self.ports.outside.soon()
        content, error = done.result()
        if error is not None:
            raise error
        return content

    def back(self) -> None:
        """The program that had something done aside goes on, when that is done. From the hub."""
        if self.work_aside is not None and self.work_aside.done() and self._wake is not None:
            wake, self._wake = self._wake, None
            wake()

    def _note_wait(self, scope: Scope, seconds: float) -> None:
        """Remember where the program waited."""
        entry = scope.run.forced.setdefault(asking_line(), [0, 0.0])
        entry[0] += 1
        entry[1] += seconds
        if entry[0] <= _LOOKS:
            check_caches()

    # -- ending ------------------------------------------------------------------------------

    def finish(
        self,
        scope: Scope,
        outcome: Any,
        error: BaseException | None,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        """A program returned or raised: gather its result, cancel what that does not need."""
        if scope.ended:  # stopped while it was ending
            return
        self._living.pop(scope, None)
        whole: Any = outcome
        if error is None:
            try:
                whole = _gathered(scope, outcome)
            except RecursionError:
                error = ProgramError("the program's result contains itself, or is nested too deep")
            except Exception as failure:
                error = as_typed(scope.name, failure)
        kept = whole if error is None and isinstance(whole, Node) else None
        outcome = content_of(whole)
        scope.kept = kept
        scope.end()
        mine = [node for node in scope.subtree() if node.work_stage is not Stage.SETTLED]
        lasting = [node for node in mine if KINDS[type(node.node_work)].lasting]
        if mine:
            self._cancel_unneeded(scope, kept, mine, lasting)
        waiting = lasting if kept is None or kept.ready else [kept, *lasting]
        left = len(waiting)

        def released() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                done(*((outcome, error) if kept is None else kept.settled_outcome()))

        for node in waiting:
            node.waken_by(released)
        if not waiting:
            released()

    def _cancel_unneeded(
        self, scope: Scope, kept: Node | None, mine: list[Node], lasting: list[Node]
    ) -> None:
        """Cancel the scope's nodes that neither its result nor another living scope needs."""
        left = {node.issue_seq: node for node in mine}
        spawns = any(type(node.node_work) is Spawn for node in mine)
        living = {s.path: s for s in self._living if s.run is scope.run} if spawns else {}
        stack = [*lasting, kept] if kept is not None else [*lasting]
        for node in lasting:  # and the nested programs that they are in
            origin = node.issue_scope.origin
            while origin is not None and origin is not scope.origin:
                stack.append(origin)
                origin = origin.issue_scope.origin
        stack += [n for n in mine if n.parked_wakers]
        if scope.parent is not None:  # else nobody is outside
            stack += [n for n in mine if any(u.issue_seq not in left for u in n.user_nodes or ())]
        for node in stack:
            left.pop(node.issue_seq, None)
        while stack:
            node = stack.pop()
            reads = (
                node.data_edges() if type(node.node_work) is not Spawn else may_read(node, living)
            )
            stack += [left.pop(value.issue_seq) for value in reads if value.issue_seq in left]
        for node in left.values():
            self._graph.cancel(node)

    def kill(self, scope: Scope) -> None:
        """Unwind a program that is still running."""
        scope.end()
        living = self._living.pop(scope, None)
        if isinstance(living, greenlet):
            if living is not getcurrent():
                living.throw(GreenletExit)
        elif living is not None:
            living.cancel()
            self._leaving.add(living)
            living.add_done_callback(self._leaving.discard)

    def strands(self, scope: Scope) -> bool:
        """Tell whether a program that has ended, and asks all the same, waits for ever (rule 6).

        A plain one does not come back from here. At first it is told, which may be enough.
        """
        if get_ident() != self.thread or scope.refused < _REFUSALS:
            scope.refused += 1
            return False
        living = getcurrent()
        if getattr(living, "program_scope", None) is scope:
            self.stranded[scope.path] = living
            self.switch.strand(living)
        return scope.is_async

    def forget(self) -> None:
        """The thread is about to end: let go of its hub."""
        self.switch = Switch()
        self._living.clear()

    def stop(self, run: RunState, error: BaseException) -> None:
        """End a run before its programs do (rule 3)."""
        if run.status != "running":
            return
        for scope in [scope for scope in self._living if scope.run is run]:
            self.kill(scope)
        for node in run.root.subtree():
            self._graph.cancel(node)
        self.end(run, None, error)

    def end(self, run: RunState, result: Any, error: BaseException | None) -> None:
        """The run is over. Its last row is written when the journal can still be written."""
        if run.status != "running":
            return
        if run.doom is not None:
            result, error = None, run.doom
        run.result, run.error = result, error
        kinds: dict[type[BaseException], Status] = {
            NeedsPerson: "needs_person",
            Stopped: "stopped",
            BaseException: "failed",
        }
        run.status = next((s for kind, s in kinds.items() if isinstance(error, kind)), "done")
        run.end_s = self._loop.time()
        run.root.end()
        for timer in run.timers:
            timer.cancel()
        for callback in run.on_end:
            callback()
        self.runs.pop(run.number, None)
        self.ports.calls.end(run)
        self.ports.outside.soon()


def _gathered(scope: Scope, outcome: Any) -> Any:
    """A program's result; one Value of it if it holds any. Raises BadOperand."""
    if isinstance(outcome, Node) or not contains_value(outcome):
        return outcome
    token = CURRENT.set(scope)
    try:
        return gather(outcome)
    finally:
        CURRENT.reset(token)
