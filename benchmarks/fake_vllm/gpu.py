"""A GPU server's sense of time, without the GPU: slots, prefill, decode steps, memory, its cache.

Theory of operation
-------------------
Requests wait in order of (priority, arrival) for one of ``slots`` and for blocks of memory
(``blocks``) that hold their prompt. Time passes in steps. A step gives running requests the blocks
that their next token needs, admits who fits, takes the time to prefill the admitted prompts' tokens
that are not cached, and then 1/tokens_per_s during which every running request gets one token:
continuous batching, in which a token costs the same alone and in company.

Rules
1. A step never takes less time than it should, and the clock does not drift with the load.
2. A request that goes away frees its slot and its blocks at once.
3. The work per step is proportional to what happens in it, not to what is running.
4. As vLLM does: nobody overtakes who waits for blocks. Where a running request can have none, the
   last of those that run, by (priority, arrival), gives up all of its own, waits again and then
   computes all that it had anew, of which its prompt may still be cached; in that step nobody is
   admitted. Such a request is told the cached tokens of its first admission.
5. Left out of the model: prefill in chunks, and a limit of tokens in a step.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any

from benchmarks.fake_vllm.blocks import BLOCK, Blocks, Holding


@dataclass(eq=False, slots=True)
class Job:
    """One generation. ``on_token`` is called with each token's number if it is given."""

    prompt: Any
    prompt_tokens: int
    tokens: int
    priority: int = 0
    on_token: Callable[[int], None] | None = None
    cached: int = -1  # until it is admitted for the first time
    arrival: int = 0
    start: int = 0  # the step in which it was admitted
    said: int = 0  # tokens that it had before that
    holding: Holding | None = None  # while it runs
    gone: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def turn(self) -> tuple[int, int]:
        """Who is admitted first, and gives up its blocks last."""
        return self.priority, self.arrival


class Gpu:
    """Runs jobs at the speed of an imagined GPU server.

    blocks: how many of ``BLOCK`` tokens its memory holds; None: as many as are wanted.
    """

    def __init__(
        self, slots: int, tokens_per_s: float, prefill_per_s: float, blocks: int | None = None
    ) -> None:
        self._slots, self._step_s, self._prefill_per_s = slots, 1 / tokens_per_s, prefill_per_s
        self._blocks = Blocks(blocks)
        self._arrival = count()
        self._waiting: list[tuple[int, int, Job]] = []
        self._ending: list[tuple[int, int, int, Job]] = []
        self._growing: defaultdict[int, list[tuple[int, Job]]] = defaultdict(list)
        self._running: set[Job] = set()
        self._streaming: set[Job] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self.steps = self.generated = self.prompt_tokens = self.cached_tokens = 0
        self.preempted = 0
        self.lost_s = 0.0  # by which steps came late, since this machine had other work

    @property
    def window(self) -> float:
        """Most tokens that one request can have."""
        return inf if self._blocks.most is None else BLOCK * self._blocks.most

    @property
    def usage(self) -> float:
        """The share of memory that is in use."""
        return self._blocks.usage

    @property
    def running(self) -> int:
        """How many requests run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(not job.gone for *_, job in self._waiting)

    async def run(self, job: Job) -> None:
        """Wait until the job has all its tokens; leaving early frees what it has."""
        if job.prompt_tokens + job.tokens > self.window:
            raise ValueError(f"{job.prompt_tokens} + {job.tokens} tokens do not fit {self.window}")
        job.arrival = next(self._arrival)
        heapq.heappush(self._waiting, (*job.turn, job))
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.get_running_loop().create_task(self._steps())
        try:
            await job.done.wait()
        finally:
            job.gone = True
            self._stop(job)

    def forget(self) -> None:
        """What a restart does to the prefix cache."""
        self._blocks.forget()

    def _stop(self, job: Job) -> None:
        """Its slot and its blocks are free."""
        self._running.discard(job)
        self._streaming.discard(job)
        if job.holding is not None:
            self._blocks.release(job.holding)
            job.holding = None

    async def _steps(self) -> None:
        loop = asyncio.get_running_loop()
        clock = loop.time()
        while self._running or self.waiting:
            self.steps += 1
            late = max(0.0, loop.time() - self._step_s - clock)  # lost time is lost, not caught up
            clock, self.lost_s = clock + late, self.lost_s + late
            fresh = 0 if self._grow() else self._admit()
            clock += fresh / self._prefill_per_s + self._step_s
            await asyncio.sleep(clock - loop.time())
            self._tick()

    # -- memory --------------------------------------------------------------------------------

    def _grow(self) -> int:
        """A block for each whose next token needs one; how many had to give up theirs."""
        before = self.preempted
        for start, job in self._growing.pop(self.steps, ()):
            while job.start == start and job.holding is not None:
                if self._blocks.grow(job.holding):
                    self._growing[self.steps + BLOCK].append((start, job))
                    break
                self._preempt(max(self._running, key=lambda each: each.turn))
        return self.preempted - before

    def _preempt(self, job: Job) -> None:
        """It waits again, and has to compute what it had (rule 4)."""
        self.preempted += 1
        job.said += self.steps - job.start
        self._stop(job)
        heapq.heappush(self._waiting, (*job.turn, job))

    def _admit(self) -> int:
        """Start what fits; the number of tokens to prefill for it."""
        fresh = 0
        while self._waiting and len(self._running) < self._slots:
            job = self._waiting[0][2]
            if not job.gone:
                job.holding = self._blocks.take(job.prompt, job.prompt_tokens + job.said)
                if job.holding is None:
                    break
                fresh += self._started(job, job.holding)
            heapq.heappop(self._waiting)
        return fresh

    def _started(self, job: Job, holding: Holding) -> int:
        """Note when it will end, and need more; the number of tokens to prefill for it."""
        self._running.add(job)
        if job.on_token is not None:
            self._streaming.add(job)
        job.start = self.steps
        tokens = job.prompt_tokens + job.said
        if job.cached < 0:
            job.cached = holding.hits
            self.prompt_tokens += job.prompt_tokens
            self.cached_tokens += job.cached
        ends = self.steps + job.tokens - job.said - 1
        heapq.heappush(self._ending, (ends, next(self._arrival), job.start, job))
        if self._blocks.most is not None:
            self._growing[self.steps + -tokens % BLOCK + 1].append((job.start, job))
        return tokens - holding.hits

    # -- tokens --------------------------------------------------------------------------------

    def _tick(self) -> None:
        """One token for everyone who runs."""
        self.generated += len(self._running)
        for job in self._streaming:
            if job.on_token is not None:
                job.on_token(job.said + self.steps - job.start)
        while self._ending and self._ending[0][0] <= self.steps:
            *_, start, job = heapq.heappop(self._ending)
            if job.start == start and job.holding is not None:  # else it gave way meanwhile
                self._stop(job)
                job.done.set()
