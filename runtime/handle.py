"""A run as its caller holds it: status, result, receipt, streaming, stopping.

Theory of operation
-------------------
The state lives on the loop thread (``run.RunState``). A ``Run`` is the caller's end: it reads what
is safe to read from any thread, waits on a future, and sends steps to the loop.

Rules
1. Everything here may be called from any thread; ``await`` works in any event loop.
2. A run's error is raised by ``result`` and shown by ``error``; waiting never raises it. Why a run
   could not even begin (an edit that fits nothing) everything raises.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nlpu.checks import SECONDS, check, maybe
from nlpu.errors import HostError, Interrupted, ProgramError, described, root_of
from nlpu.label import Label, join
from nlpu.printing import MOST, counted, figure, first_line, one_line
from nlpu.runtime.calls import Listener
from nlpu.runtime.executor.forks import check_process
from nlpu.runtime.graph.usage import Counts
from nlpu.runtime.observe.pieces import Pieces, Stream
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.observe.receipt_sums import receipt_of
from nlpu.runtime.run import RunState, Status
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.value import in_sight, inside, see

if TYPE_CHECKING:  # slow to import, and few look at the graph
    import networkx as nx

# A Ctrl-C that comes between two looks of Python's, as it begins to wait, is seen at the next.
_LOOK_S = 0.5


class Run:
    """One execution of a program; awaitable in any loop, usable from any thread."""

    def __init__(
        self, name: str, call: Callable[[Callable[[], None]], None], *, stream: bool = False
    ) -> None:
        self.name = name
        self._call = call  # runs a step on the loop thread
        self._owner = os.getpid()
        self._state: RunState | None = None
        self._done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._done.set_running_or_notify_cancel()  # who awaits it may be cancelled; it is not
        self._pieces = Stream() if stream else None

    # -- printing ----------------------------------------------------------------------------

    def __repr__(self) -> str:
        return one_line("; ".join([self._head(), *self._outcome(80)]))

    def __str__(self) -> str:
        return "\n".join([self._head(), *self._outcome(2 * MOST), *self._resumption()])

    def _head(self) -> str:
        """What it is and took, on one line."""
        state = self._state
        if state is None:
            return f"run {self.name}: {'could not begin' if self._done.done() else 'not begun yet'}"
        counts, end_s = state.counts, state.end_s
        status = "needs a person" if state.status == "needs_person" else state.status
        reused = f" + {counts.reused:,} reused" if counts.reused else ""
        calls = counted(counts.calls, "call") + reused
        going = f", {counts.in_flight} in flight" if counts.in_flight else ""
        nlops = figure(counts.completion_tokens / TOKENS_PER_NLOP)
        seconds = (state.ports.outside.now_s() if end_s is None else end_s) - state.start_s
        return f"run {self.name}: {status}, {calls}{going}, {nlops} nlops, {figure(seconds)} s"

    def _outcome(self, width: int) -> Iterator[str]:
        """Its error or the beginning of its result, if nobody is lowered by seeing that."""
        error, state = self.error, self._state
        if state is not None and state.status != "running" and not in_sight(self.label):
            yield f"its outcome is not looked at ({one_line(str(self.label), 60)})"
        elif error is not None:
            root = root_of(error) or error  # its kind; where there is little room, it alone
            told = f"{type(root).__name__}: {error}" if width > MOST else described(root)
            yield one_line(told, width)
        elif state is not None and state.status == "done" and state.result is not None:
            yield first_line(state.result, width)

    def _resumption(self) -> Iterator[str]:
        """How to go on, where that is possible."""
        state = self._state
        if state is None or state.replay.only:
            return
        is_host = isinstance(root_of(state.error), HostError)
        if is_host or state.status in ("stopped", "needs_person"):
            kept = f"to go on: computer.resume({self.name!r}, program, ...)"
            yield kept if state.journal.keeps else "it was not journaled: nothing can go on with it"

    # -- outcome -----------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """How it stands: ``running``, ``done``, ``failed``, ``stopped`` or ``needs_person``."""
        if self._state is None:
            return "failed" if self._done.done() else "running"
        return self._state.status

    @property
    def result(self) -> Any:
        """The program's result with Values replaced by contents; waits, raises the run's error."""
        self.wait()
        see(self.label)
        state = state_of(self)
        if state.error is not None:
            raise state.error
        return state.result

    @property
    def label(self) -> Label:
        """The label of its result; ``Value(run.result, run.label)`` hands both on."""
        root = state_of(self).root
        return root.label if root.kept is None else join(root.label, root.kept.label)

    @property
    def error(self) -> BaseException | None:
        """Why the run ended without a result, or could not begin."""
        if self._state is None:
            return self._done.exception() if self._done.done() else None
        return self._state.error

    @property
    def receipt(self) -> Receipt:
        """What the run took, so far or in all."""
        return receipt_of(state_of(self))

    @property
    def counts(self) -> Counts:
        """Live totals, for progress displays."""
        return self._state.counts if self._state is not None else Counts()

    @property
    def divergence(self) -> str | None:
        """Where a resumed run left its journal, if it was told to go on."""
        return None if self._state is None else self._state.replay.divergence

    @property
    def graph(self) -> nx.DiGraph[str]:
        """The run as a networkx graph, built on demand (see ``runtime.observe.graph_view``)."""
        from nlpu.runtime.observe.graph_view import graph_of

        return graph_of(state_of(self))

    # -- waiting -----------------------------------------------------------------------------

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, and give it; the run's error is not raised.

        Raises TimeoutError, and ProgramError inside a program.

        Args:
            timeout_s: Longest wait, in seconds (None: no end).
        """
        check("wait", locals(), {"timeout_s": maybe(SECONDS)})
        error = self._ended(timeout_s)
        if error is not None:
            raise error
        return self

    def _ended(self, timeout_s: float | None = None) -> BaseException | None:
        """As ``wait``; gives why the run could not begin."""
        if inside() is not None and not self._done.done():
            raise ProgramError(
                "a program cannot block on a run: all programs share one thread, and it would wait "
                "for itself. Start nested programs with nlpu.runtime.spawn(program, ...)"
            )
        if not self._done.done():
            check_process(self._owner, f"the run {self.name}")
        while timeout_s is None:
            with suppress(TimeoutError):
                return self._done.exception(_LOOK_S)
        return self._done.exception(timeout_s)

    def __await__(self) -> Generator[Any, None, Run]:
        yield from asyncio.wrap_future(self._done).__await__()
        return self

    def stream(self) -> Stream:
        """Give the text of calls as it is generated, for ``for`` and ``async for``.

        A piece is a text that names its call: ``op``, ``position``. What a failed attempt gave
        is not given again: its next attempt goes on behind it, or where it says something else
        begins anew behind a mark. Raises ProgramError if the run was not started to stream.
        """
        if self._pieces is None:
            raise ProgramError("start the run with stream=True to stream its text")
        if not self._done.done():
            check_process(self._owner, f"the run {self.name}")
        return self._pieces

    def stop(self) -> None:
        """End the run now, resumable, and return when it has ended."""
        stop_all([self])

    def _stop(self) -> None:
        if self._state is not None and self._state.status == "running":
            error = Interrupted("the run was interrupted; it can be resumed")
            self._state.ports.outside.stop(self._state, error)


def state_of(run: Run) -> RunState:
    """Give a run's state on the loop's thread, with its nodes. Raises why it never began."""
    if run._state is None:
        raise run.error or ProgramError("the run has not begun yet: wait for it first")
    return run._state


def begins(run: Run, state: RunState) -> Listener | None:
    """Note that a run is there: from now on it can be looked at. Gives what listens to its text."""
    run._state = state
    if run._pieces is None:
        return None
    pieces = Pieces(run._pieces.put)
    state.on_end.append(pieces.end)
    return pieces.take


def stop_all(runs: Iterable[Run]) -> None:
    """End runs now, and return when they have: in one turn, as each may be long in coming."""
    live = [run for run in runs if not run._done.done()]  # of others the computer may be closed
    for run in live:
        run._call(run._stop)
    for run in live:
        run._ended()


def when_ended(run: Run, tell: Callable[[Run], None]) -> None:
    """Have it told when the run has ended, on whatever thread that is."""
    run._done.add_done_callback(lambda _: tell(run))


def releases(run: Run, error: BaseException | None = None) -> None:
    """Let a run's waiters go. ``error``: why it could not begin."""
    if run._pieces is not None:
        run._pieces.put(None)
    if error is None:
        run._done.set_result(None)
    else:
        run._done.set_exception(error)
