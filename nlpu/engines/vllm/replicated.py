"""Several vLLM servers of one model and a router before them, as one server.

Theory of operation
-------------------
On a CPU each replica is a server of its own (``server``). On GPUs vLLM has them in itself
(``--data-parallel-size``), and the router is told how many ranks stand behind the one server. The
router is vllm-router with program scheduling: the HTTP engine finds that out and tells it of the
program that a request belongs to (``nlpu.engines.http.hints``).

Rules
1. Ready means: every replica has generated a token, and then one through the router. If one does
   not come up, the others are taken down.
2. When a part ends by itself, all of it is taken down, and what that part said last is told.
3. The router listens on loopback only, and so do its figures.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.vllm.command import router_command, router_python, survey
from nlpu.engines.vllm.kv_room import BOUND, kv_tokens, scheduling
from nlpu.engines.vllm.port import claim
from nlpu.engines.vllm.server import READY_S, VllmServer
from nlpu.errors import Usage

_OURS = ("--port", "--api-key", "--host")  # of flags: each replica has its own


class Router(VllmServer):
    """The router as a process of ours, before servers that are up.

    policy, programs: see ``router_command``.
    """

    what = "vllm-router"

    def __init__(
        self,
        servers: Sequence[VllmServer],
        python: str,
        *,
        ranks: int = 1,
        policy: str = "cache_aware",
        programs: Mapping[str, Any] | None = BOUND,
        port: int = 0,
        ready_s: float = READY_S,
    ) -> None:
        first = servers[0]
        super().__init__(first.model, port=port, api_key=first.api_key, ready_s=ready_s)
        self.model = first.model
        self.seed, self.priority, self.traces = first.seed, first.priority, first.traces
        self._workers, self._router = [each.url for each in servers], python
        self._how: dict[str, Any] = {"ranks": ranks, "policy": policy, "programs": programs}

    async def _start(self) -> None:
        self.port = claim(self.port)
        line = router_command(self._router, self.port, claim(0), self._workers, **self._how)
        env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        await self._keep(line, env)


class ReplicatedServer:
    """``async with ReplicatedServer(model, 2) as server:`` as VllmServer, with that many replicas.

    replicas: how many; on GPUs each needs its own.
    router:   the Python that has vllm-router; else $NLPU_ROUTER_PYTHON, else vLLM's.
    options:  VllmServer's; ``port`` and ``api_key`` are the router's. Raises Usage.
    """

    def __init__(
        self,
        model: str,
        replicas: int,
        *,
        port: int = 0,
        flags: Sequence[str] = (),
        router: str | None = None,
        **options: Any,
    ) -> None:
        odd = [name for word in flags if (name := word.partition("=")[0]) in _OURS]
        if odd:
            raise Usage(f"{odd[0]} cannot be given to each of {replicas} replicas: leave it out")
        self.what = VllmServer.what
        self._source, self._replicas, self._flags = model, replicas, tuple(flags)
        self._port, self._python, self._options = port, router, options
        self._stack = AsyncExitStack()
        self.servers: list[VllmServer] = []
        self._router: VllmServer | None = None
        self._ended: VllmServer | None = None

    @property
    def url(self) -> str:
        return self._front.url

    @property
    def model(self) -> str:
        return self._front.model

    @property
    def api_key(self) -> str:
        return self._front.api_key

    @property
    def _front(self) -> VllmServer:
        assert self._router is not None, "it is not up"
        return self._router

    def engine(self, max_in_flight: int | None = None) -> HttpEngine:
        """An engine for the router, knowing what only its starter knows."""
        return self._front.engine(max_in_flight)

    async def __aenter__(self) -> ReplicatedServer:
        vllms = self._options.get("python")
        found = await asyncio.to_thread(survey, vllms)
        python = await asyncio.to_thread(router_python, self._python, vllms)
        many, ranks = (self._replicas, 1) if found.cpu else (1, self._replicas)
        flags = self._flags + (("--data-parallel-size", str(ranks)) if ranks > 1 else ())
        port = claim(self._port)
        first = VllmServer(self._source, flags=flags, **self._options)
        options = {**self._options, "api_key": first.api_key}
        more = [VllmServer(self._source, flags=flags, **options) for _ in range(many - 1)]
        self.servers = [first, *more]
        try:
            await self._all_up()
            programs = scheduling(await kv_tokens([each.url for each in self.servers]))
            router = Router(self.servers, python, ranks=ranks, programs=programs, port=port)
            self._router = await self._stack.enter_async_context(router)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _all_up(self) -> None:
        """Start all replicas at once (rule 1)."""
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers:
                    group.create_task(self._stack.enter_async_context(server))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Until a part ends by itself (rule 2)."""
        parts = [*self.servers, self._front]
        waiting = {asyncio.create_task(part.wait()): part for part in parts}
        try:
            ended, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            self._ended = waiting[ended.pop()]
            self.what = self._ended.what
        finally:
            for task in waiting:
                task.cancel()

    def tail(self) -> str:
        """The end of the router's log."""
        return self._front.tail()

    def why(self) -> str:
        """What the part that ended said last."""
        return (self._ended or self._front).why()
