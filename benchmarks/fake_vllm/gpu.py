"""A GPU server's sense of time, without the GPU: slots, prefill, decode steps, a prefix cache.

Theory of operation
-------------------
Requests wait in order of (priority, arrival) for one of ``slots``. Time passes in steps. A step
admits what fits, takes the time to prefill the admitted prompts' uncached tokens, and then
1/tokens_per_s during which every running request gets one token: continuous batching, in which a
token costs the same alone and in company. Blocks of prompts, each with all before it, stay cached.

Rules
1. A step never takes less time than it should, and the clock does not drift with the load.
2. A request that goes away frees its slot at once.
3. The work per step is proportional to what happens in it, not to what is running.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

BLOCK = 16


@dataclass(eq=False, slots=True)
class Job:
    """One generation. ``on_token`` is called with each token's number if it is given."""

    prompt: Any
    prompt_tokens: int
    tokens: int
    priority: int = 0
    on_token: Callable[[int], None] | None = None
    cached: int = 0
    start: int = 0
    gone: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Gpu:
    """Runs jobs at the speed of an imagined GPU server."""

    def __init__(
        self, slots: int, tokens_per_s: float, prefill_per_s: float, cache: bool = True
    ) -> None:
        self._slots, self._step_s, self._prefill_per_s = slots, 1 / tokens_per_s, prefill_per_s
        self._cache: set[int] | None = set() if cache else None
        self._arrival = count()
        self._waiting: list[tuple[int, int, Job]] = []
        self._ending: list[tuple[int, int, Job]] = []
        self._streaming: set[Job] = set()
        self._running = 0
        self._loop_task: asyncio.Task[None] | None = None
        self.steps = self.generated = self.prompt_tokens = self.cached_tokens = 0

    async def run(self, job: Job) -> None:
        """Wait until the job has all its tokens; leaving early frees its slot."""
        heapq.heappush(self._waiting, (job.priority, next(self._arrival), job))
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.get_running_loop().create_task(self._steps())
        try:
            await job.done.wait()
        finally:
            self._leave(job)

    def forget(self) -> None:
        """What a restart does to the prefix cache."""
        if self._cache is not None:
            self._cache.clear()

    def _leave(self, job: Job) -> None:
        if job.gone:
            return
        job.gone = True
        self._streaming.discard(job)
        if job.start:
            self._running -= 1

    async def _steps(self) -> None:
        loop = asyncio.get_running_loop()
        clock = loop.time()
        while self._running or any(not job.gone for *_, job in self._waiting):
            self.steps += 1
            clock = max(clock, loop.time() - self._step_s)  # lost time is lost, not caught up
            clock += self._admit() / self._prefill_per_s + self._step_s
            await asyncio.sleep(clock - loop.time())
            self._tick()

    def _admit(self) -> int:
        """Start what fits; the number of tokens to prefill for it."""
        fresh = 0
        while self._waiting and self._running < self._slots:
            job = heapq.heappop(self._waiting)[2]
            if job.gone:
                continue
            self._running += 1
            job.start = self.steps
            job.cached = self._hits(job)
            fresh += job.prompt_tokens - job.cached
            self.prompt_tokens += job.prompt_tokens
            self.cached_tokens += job.cached
            heapq.heappush(self._ending, (self.steps + job.tokens - 1, next(self._arrival), job))
            if job.on_token is not None:
                self._streaming.add(job)
        return fresh

    def _hits(self, job: Job) -> int:
        """Cached tokens of the prompt's longest known prefix; the prompt is cached from now on."""
        if self._cache is None or not isinstance(job.prompt, list):
            return 0
        hits, chain, missed = 0, 0, False
        for end in range(BLOCK, len(job.prompt), BLOCK):
            chain = hash((chain, str(job.prompt[end - BLOCK : end])))
            missed = missed or chain not in self._cache
            hits += 0 if missed else BLOCK
            self._cache.add(chain)
        return hits

    def _tick(self) -> None:
        """One token for everyone who runs."""
        self.generated += self._running
        for job in list(self._streaming):
            if job.on_token is not None:
                job.on_token(self.steps - job.start)
        while self._ending and self._ending[0][0] <= self.steps:
            job = heapq.heappop(self._ending)[2]
            self._leave(job)
            job.done.set()
