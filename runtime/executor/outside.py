"""The outside of a turn: what arrives from elsewhere, what runs beside it, and when turns are.

Theory of operation
-------------------
Attempts, blocking functions and drivers are tasks and threads that put their outcome in the inbox.
The first thing put there asks for a turn, which settles all of it. What must happen between
programs (to start one, to end one) is a step, done in a turn's last phase.

Rules
1. A turn awaits nothing; whatever waits is a task here, or a function on a thread.
2. A turn is one moment: its calls have the time at which it began.
3. What changes something outside (``lasting``) is given time to tell its outcome when a computer
   closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from nlpu.errors import NlpuError, ProgramError, described
from nlpu.runtime.executor.threads import Threads, outcome_of
from nlpu.runtime.graph.graph import Graph
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.journal.commits import CommitGate
from nlpu.runtime.run import RunState

_MOST_THREADS = 64  # blocking functions of programs at once


class Outside:
    """The loop, as a machine sees it. ``turn`` is called when there is something to do."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Callable[[], None],
        graph: Graph,
        stop: Callable[[RunState, BaseException], None],
        commits: CommitGate[Node],
    ) -> None:
        self.loop = loop
        self.turn_s = loop.time()
        self.now_s: Callable[[], float] = loop.time
        self.stop = stop
        self.inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.steps: deque[Callable[[], None]] = deque()
        self.due = False  # a turn has been asked for
        self._turn, self._graph, self._commits = turn, graph, commits
        self._threads = asyncio.Semaphore(_MOST_THREADS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._effects: set[asyncio.Task[None]] = set()

    def soon(self) -> None:
        """Have a turn at the next opportunity."""
        if not self.due:
            self.due = True
            self.loop.call_soon(self._turn)

    def post(self, settle: Callable[..., None], *facts: Any) -> None:
        """Settle what came from elsewhere in the next turn. On the loop's thread only."""
        self.inbox.append((settle, facts))
        if not self.due:
            self.due = True
            self.loop.call_soon(self._turn)

    def on_hub(self, step: Callable[[], None]) -> None:
        """Do something in the last phase of a turn, between programs."""
        if self._commits.under_way:  # what it follows from is of the next turn
            self.post(self.steps.append, step)
        else:
            self.steps.append(step)
            self.soon()

    def spawn_io(self, work: Coroutine[Any, Any, None], *, lasting: bool = False) -> None:
        """Run something that waits for elsewhere, and ends by posting its outcome (rule 3)."""
        task = self.loop.create_task(work)
        tasks = self._effects if lasting else self._tasks
        tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(tasks.discard)

    def run_blocking(
        self, node: Node, function: Callable[[], Any], then: Callable[[Node, Any], None]
    ) -> None:
        """Call a function on a thread, and post what it gave: ``then(node, content)``."""

        async def called() -> None:
            async with self._threads:
                if node.work_stage is Stage.SETTLED:
                    return
                try:
                    outcome = await self.loop.run_in_executor(Threads(), outcome_of, function)
                except RuntimeError as error:  # there are no more threads
                    outcome = None, error
                self.post(self._returned, node, then, *outcome)

        self.spawn_io(called())

    def _returned(
        self,
        node: Node,
        then: Callable[[Node, Any], None],
        content: Any,
        error: BaseException | None,
    ) -> None:
        if node.work_stage is Stage.SETTLED:
            return
        try:
            if error is not None:
                raise ProgramError(f"{node.work_name} raised {described(error)}") from error
            then(node, content)
        except NlpuError as failure:
            self._graph.failed(node, failure)

    async def outlast(self, seconds: float) -> None:
        """Wait for effects under way, and until what they gave is in the journal."""
        if self._effects:
            await asyncio.wait(tuple(self._effects), timeout=seconds)
            kept = self.loop.create_future()
            self._commits.after(lambda _: kept.set_result(None))
            self.soon()
            await asyncio.wait((kept,), timeout=seconds)
