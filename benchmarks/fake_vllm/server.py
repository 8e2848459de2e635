"""A scripted OpenAI-compatible server on loopback that fails as real ones do: a test tool.

Theory of operation
-------------------
It speaks vLLM's dialect (or, with ``vllm=False``, only what every such server has) without a model:
``answers`` makes texts that depend on the prompt only and obey its constraint. Each
generation request is first recorded, then asked of the plan (``faults``), then answered or
failed. In a test it runs in the test's own loop; ``python -m benchmarks.fake_vllm.server`` runs it
in a process of its own and prints its URL on the first line. From there it takes orders at
POST /_fault: {"script": ["429:1", ""]}, {"restart": 0.5}, {"dead": true}, {"html": true}.

Rules
1. A request is written to the log, with one ``write`` to a file opened for appending, before
   anything is answered: what was sent can be counted after any death of anyone.
2. Usage is honest: it counts the tokens that were sent and said, as this server cuts them.
3. Where vLLM has an error text, the fault uses it word for word.
4. Time is waited for only where a fault or ``gpu`` asks for it.
5. It listens on loopback only.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.fake_vllm import answers
from benchmarks.fake_vllm.asked import asked, error_body, json_response
from benchmarks.fake_vllm.exchange import Talk
from benchmarks.fake_vllm.faults import Fault, Plan, Seen, fault
from benchmarks.fake_vllm.gpu import Gpu

Answer = Callable[[Seen], str | None]

_PAGE = "<!doctype html><html><body><h1>It works!</h1></body></html>"
_POSTS = {"/v1/completions", "/v1/chat/completions"}


class FaultServer:
    """``async with FaultServer(plan=...) as server: server.url``; every argument is optional.

    plan:      what goes wrong with which request.
    answer:    the text for a request; None leaves it to ``answers``.
    models:    names it serves; the first is the one with the window.
    tokenizer: directory told as the model's root; with it, /tokenize works.
    log:       file that gets one JSON line for each generation request.
    gpu:       makes time pass as on a GPU server.
    offers:    fields that it describes, and then takes as vLLM does.
    programs:  it answers as a vllm-router that schedules programs.
    waited_ms: what it tells that each request waited; None: it tells nothing of that.
    """

    def __init__(
        self,
        *,
        plan: Plan | None = None,
        answer: Answer | None = None,
        models: tuple[str, ...] = ("fault-1",),
        window: int = 4096,
        api_key: str | None = None,
        vllm: bool = True,
        tokenizer: str | None = None,
        log: str | Path | None = None,
        gpu: Gpu | None = None,
        port: int = 0,
        offers: frozenset[str] = frozenset(),
        programs: bool = False,
        waited_ms: float | None = None,
    ) -> None:
        if gpu is not None and window > gpu.window:  # as vLLM refuses it at its start
            raise ValueError(f"the memory holds {gpu.window} tokens, and the window is {window}")
        self.plan, self.answer, self.models, self.window = plan, answer, models, window
        self.vllm, self.tokenizer, self.gpu = vllm, tokenizer, gpu
        self.offers, self.programs, self.waited_ms = offers, programs, waited_ms
        self.dead = self.html = False
        self.seen: list[Seen] = []
        self.in_flight = 0
        self._key, self._port, self._log_path = api_key, port, log
        self._log = -1
        self._occurrences: Counter[str] = Counter()
        self._queue: list[Fault | None] = []
        self._changed = asyncio.Event()
        self._door = asyncio.Lock()  # two deaths at once are one restart
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._closing = False
        self._later: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # -- life and death ----------------------------------------------------------------------

    async def __aenter__(self) -> FaultServer:
        if self._log_path is not None:
            self._log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._web = web.Server(self._handle, handler_cancellation=True, access_log=None)
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for task in self._later:
            task.cancel()
        await self.refuse()
        self.abort_connections()
        if self._web is not None:
            await self._web.shutdown(0)
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    async def listen(self) -> None:
        """Accept connections, on the same port as before. As after a restart, all is healed."""
        async with self._door:
            if self._listener is None and self._web is not None and not self._closing:
                self._listener = await self._opened(self._web)
                self.dead = False
        self._note()

    async def _opened(self, handler: web.Server) -> asyncio.Server:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        return await loop.create_server(handler, sock=listener, backlog=1024)

    async def refuse(self) -> None:
        """Close the listening socket: new connections are refused."""
        async with self._door:
            listener, self._listener = self._listener, None
            if listener is not None:
                for door in listener.sockets:
                    asyncio.get_running_loop().remove_reader(door.fileno())
                await asyncio.sleep(0)  # asyncio would forget connections accepted just now
                listener.close()
        self._note()

    def abort_connections(self) -> None:
        """Reset every open connection, in-flight requests included."""
        for connection in list(self._web.connections) if self._web is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def kill(self, seconds: float = 0.0) -> None:
        """Die: reset everything and refuse; come back after ``seconds``, if they are not 0."""
        await self.refuse()
        self.abort_connections()
        if self.gpu is not None:
            self.gpu.forget()
        if seconds:
            self.after(seconds, self.listen)

    def break_engine(self, seconds: float = 0.0) -> None:
        """From now on every completion says EngineDeadError; healed after ``seconds``, if any."""
        self.dead = True
        if seconds:
            self.after(seconds, self._heal)

    async def _heal(self) -> None:
        self.dead = False
        self._note()

    def after(self, seconds: float, what: Callable[[], Any]) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            await asyncio.shield(what())  # cancelled half-way it would leave a socket behind

        task = asyncio.get_running_loop().create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # -- what tests look at ------------------------------------------------------------------

    async def until(self, condition: Callable[[FaultServer], object]) -> None:
        """Wait until the condition holds; it is looked at after every change."""
        while not condition(self):
            self._changed.clear()
            await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()

    # -- requests ----------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if self.html:
            return web.Response(text=_PAGE, content_type="text/html")
        if path == "/_fault":
            return await self._order(request)
        key = request.headers.get("Authorization")
        if self._key and path.startswith("/v1") and key != f"Bearer {self._key}":
            return json_response({"error": "Unauthorized"}, 401)
        if request.method == "POST" and path in _POSTS:
            return await self._generation(request, path)
        return await asked(self, request, path)

    async def _order(self, request: web.BaseRequest) -> web.StreamResponse:
        order = json.loads(await request.read() or b"{}")
        self._queue += [fault(f) for f in order.get("script", ())]
        self.html = order.get("html", self.html)
        if "dead" in order:
            self.dead = order["dead"]
        if "restart" in order:
            self.after(0, lambda: self.kill(order["restart"]))
        return json_response({"seen": len(self.seen), "in_flight": self.in_flight})

    async def _generation(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        try:
            body = dict(json.loads(await request.read()))
        except (ValueError, TypeError):
            return json_response(error_body("1 validation error: JSON decode error", 400), 400)
        seen, planned = self._record(request, path, body)
        self.in_flight += 1
        self._note()
        try:
            return await self._answer(Talk(self, request, seen, planned))
        except asyncio.CancelledError:
            seen.ended = seen.ended or "disconnected"
            raise
        finally:
            seen.ended = seen.ended or "answered"
            self.in_flight -= 1
            self._note()

    def _record(
        self, request: web.BaseRequest, path: str, body: dict[str, Any]
    ) -> tuple[Seen, Fault | None]:
        name = str(body.get("request_id") or request.headers.get("X-Request-Id") or "")
        digest = answers.prompt_hash(body)
        seen = Seen(
            len(self.seen), name, digest, self._occurrences[digest], time.time(), path, body
        )
        seen.trace = request.headers.get("traceparent", "")
        self._occurrences[digest] += 1
        self.seen.append(seen)
        planned = self._planned(seen)
        seen.fault = planned.kind if planned else ""
        self._write(seen)
        return seen, planned

    def _planned(self, seen: Seen) -> Fault | None:
        if self._queue:
            return self._queue.pop(0)
        return fault(self.plan(seen)) if self.plan else None

    def _write(self, seen: Seen) -> None:
        if self._log < 0:
            return
        names = ("n", "id", "prompt_hash", "at", "path", "fault")
        line = {name: getattr(seen, name) for name in names}
        line |= {name: seen.body.get(name) for name in ("priority", "max_tokens")}
        os.write(self._log, json.dumps(line).encode() + b"\n")

    async def _answer(self, talk: Talk) -> web.StreamResponse:
        if self.dead:
            talk.seen.fault = talk.seen.fault or "engine_dead"
            return talk.dead()
        return await talk.answer(self.gpu)


if __name__ == "__main__":
    from benchmarks.fake_vllm.command import main

    sys.exit(main())
