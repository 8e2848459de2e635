"""The kernel: carries a growing graph through its processors, turn by turn.

Theory of operation
-------------------
Everything happens on one loop thread, in turns. A turn takes what has arrived, lets the graph
advance as far as it can, chooses the calls to send, writes all of it to the journal in one
transaction, and only then sends the calls and wakes the programs:

    drain      replies become results; nodes whose operands are there become ready
    advance    ready nodes are settled, grown or queued, and those that this makes ready
    schedule   queued calls are admitted by priority, within limits and budgets
    write      what the scheduler has said gets its rows, and is told to the graph
    commit     the journal holds everything above, or nothing of it happened
    send       admitted calls are sent
    wake       programs that waited go on and issue more

Rules
1. No program sees a result, and no call is sent, before its rows are committed.
2. It imports the mechanisms, and none of them imports it: they get each other as ports.
3. An error in the runtime itself stops the runs it touches with a typed error; it never hangs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from nlpu.errors import NlpuError
from nlpu.processor import Processor
from nlpu.runtime.calls import Calls, Listener
from nlpu.runtime.drivers import dispatch as _drivers  # noqa: F401  (their kind of work)
from nlpu.runtime.executor.outside import Outside
from nlpu.runtime.executor.programs import Programs
from nlpu.runtime.executor.raised import internal
from nlpu.runtime.graph import kinds as _kinds  # noqa: F401  (those of the core)
from nlpu.runtime.graph.graph import Graph
from nlpu.runtime.graph.node import Node
from nlpu.runtime.journal.commits import CommitGate
from nlpu.runtime.journal.store import JournalStore
from nlpu.runtime.observe.pulse import Progress
from nlpu.runtime.ports import Ports, Processors
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.queue import Attempt
from nlpu.runtime.scheduler.scheduler import Scheduler
from nlpu.value import CURRENT

_T = TypeVar("_T")


class Kernel:
    """Runs programs on processors, on one event loop. ``computer`` is its public face.

    seed: of the random waits between attempts; nothing that a program can see.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: JournalStore,
        seed: int = 0,
        *,
        person: Any = None,
        dry: bool = False,
    ) -> None:
        self.journal = journal
        self.commits = CommitGate[Node](
            loop.call_soon_threadsafe,
            lambda: self.outside.soon(),  # noqa: PLW0108  (it is made below)
        )
        self.graph = Graph(self.commits)
        self.programs = Programs(self.graph, loop)
        self.scheduler = Scheduler(Random(seed))
        self.calls = Calls(self.scheduler, loop)
        self.outside = Outside(loop, self.turn, self.graph, self.programs.stop, self.commits)
        self.ports = Ports(
            self.graph,
            self.calls,
            self.programs,
            self.outside,
            Processors(),
            person=person,
            dry=dry,
        )
        self.graph.ports = self.programs.ports = self.ports
        self.calls.connect(self.ports)
        self._progress = Progress()

    def turn(self) -> None:
        """Drain what arrived, advance the graph, schedule, write, commit, send, wake."""
        if self.commits.under_way:
            self.outside.due = False  # it comes again
            self.commits.put_off()
            return
        CURRENT.set(None)  # whoever asked for the turn: it is no program's
        self.outside.turn_s = self.outside.now_s()
        attempts: list[Attempt] = []
        try:
            self._drain()
            self.graph.advance()
            self.outside.due = False  # only now: what settling asks for is in this turn
            attempts = self.scheduler.schedule()
            self.calls.write()
            if self.journal.dirty:  # progress costs no commit of its own
                self._progress.beat(self.programs.runs, self.scheduler.nodes, self.outside.turn_s)
        except BaseException as error:  # what was not come to is the next turn's
            self.outside.due = False
            self._halt(internal(error))
        self.commits.commit(self.journal, self._durable, attempts)

    def _durable(self, attempts: list[Attempt], error: BaseException | None) -> None:
        """The last phase of a turn, when its rows are durable, or have failed to be."""
        if error is not None:  # none of the attempts is really sent
            self.scheduler.unsend(attempts)
            self._halt(error if isinstance(error, NlpuError) else internal(error))
        self._guarded(self.calls.send, attempts)
        self._wake()

    def _drain(self) -> None:
        inbox = self.outside.inbox
        while inbox:
            settle, facts = inbox.popleft()
            settle(*facts)

    def _wake(self) -> None:
        woken, steps = self.graph.released(), self.outside.steps
        if self.programs.work_aside is not None:
            self._guarded(self.programs.back)
        self.programs.woken.extend(woken)
        while self.programs.work_aside is None and (due := self.programs.woken or steps):
            self._guarded(due.popleft())
        if self.graph.pending or self.outside.inbox or self.journal.dirty:
            self.outside.soon()

    def _guarded(self, step: Callable[..., _T], *facts: Any) -> _T | None:
        """Rule 3 for what belongs to no one node: the runs end, and say why."""
        try:
            return step(*facts)
        except BaseException as error:
            self._halt(internal(error))
            return None

    def _halt(self, error: NlpuError) -> None:
        """Every run ends, resumable at its last commit."""
        for run in list(self.programs.runs.values()):
            try:
                self.programs.stop(run, error)
            except Exception as failure:  # a run that cannot be unwound ends all the same
                self.programs.end(run, None, internal(failure))

    # -- what is there ---------------------------------------------------------------------------

    def add(self, processor: Processor) -> None:
        """Take a processor that has been opened."""
        self.ports.processors.absent.pop(processor.name, None)
        self.ports.processors.opened[processor.name] = processor
        self.scheduler.add(processor)

    def prefer(self, name: str) -> None:
        """Have ops that name no processor run on that one."""
        self.ports.processors.default = self.scheduler.default = name

    def begin(self, run: RunState, gate: Gate | None, listener: Listener | None) -> None:
        """Take a run that begins, with its breakpoints, who hears its text, and its deadline."""
        self.programs.runs[run.number] = run
        self.calls.begin(run, gate, listener)
        if (seconds := run.ledger.budget.seconds) is not None:
            timer = self.outside.loop.call_later(seconds, self.calls.expire, run)
            run.timers.append(timer)
