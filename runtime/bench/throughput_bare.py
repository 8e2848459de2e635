"""The bare side of ``nlpu bench throughput``: the same sessions without this runtime.

Against a server it is what one writes by hand: ``aiohttp.ClientSession``, a semaphore, one
coroutine for each session. Against the embedded processor it is a second engine of the same kind,
whose ``send`` is called directly. Both encode prompts with the processor's codec, since they have
to send the same tokens; they do not check, key, journal, rank, retry or decode.

Rules
1. Everything runs on a loop of its own that stays open between repeats.
2. A reply's text enters the next turn as our runtime's result would: stripped and cut alike.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import aiohttp

from nlpu.engines.http.decode import read_reply
from nlpu.engines.http.encode import Dialect, encode
from nlpu.processor import Processor
from nlpu.prompt.decode import decode
from nlpu.runtime.bench.servers import Served, Target
from nlpu.runtime.bench.throughput_profiles import Profile
from nlpu.wire import Reply, Request

Send = Callable[[Request], Awaitable[Reply]]


class Bare:
    """Runs sessions over a ``send``."""

    def __init__(self, runner: asyncio.Runner, processor: Processor, send: Send) -> None:
        self._runner, self._processor, self._send = runner, processor, send
        self._ids = count()

    def run(self, chosen: Profile, texts: list[list[str]], level: int) -> float:
        """Calls a second with ``level`` in flight."""
        return self._runner.run(self._rate(chosen, texts, level))

    async def _rate(self, chosen: Profile, texts: list[list[str]], level: int) -> float:
        room = asyncio.Semaphore(level)

        async def session(turns: list[str]) -> None:
            transcript = turns[0]
            for number, _ in enumerate(turns):
                async with room:
                    reply = await self._send(self._request(chosen, transcript))
                if number + 1 < len(turns):
                    said = decode(chosen.op, reply).text
                    transcript = f"{transcript}\n{said}\n{turns[number + 1]}"

        start = time.perf_counter()
        await asyncio.gather(*(session(turns) for turns in texts))
        return sum(map(len, texts)) / (time.perf_counter() - start)

    def _request(self, chosen: Profile, text: str) -> Request:
        op = chosen.op
        ids = self._processor.prompt(op, (text,))
        prompt = self._processor.wire_prompt(op, (text,), ids)
        number = f"bare {next(self._ids)}"
        return Request(number, prompt, op.sampling, op.result.constraint)


@contextmanager
def bare_of(found: Target, processor: Processor, level: int) -> Iterator[Bare]:
    """The bare client of a target; gone with the block."""
    with asyncio.Runner() as runner:
        if found.served is None:
            engine = found.open(level)
            runner.run(engine.capabilities())
            try:
                yield Bare(runner, processor, engine.send)
            finally:
                runner.run(engine.close())
            return
        session = runner.run(_session(found.served, level))
        try:
            yield Bare(runner, processor, _posting(session, found.served, processor))
        finally:
            runner.run(session.close())


async def _session(served: Served, level: int) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {served.api_key}"} if served.api_key else {}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=level),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _posting(session: aiohttp.ClientSession, served: Served, processor: Processor) -> Send:
    told = processor.capabilities
    dialect = Dialect(
        served.url,
        told.model,
        told.window,
        "regex" in told.constraints,
        told.token_prompts,
        seed=False,
        priority=False,
    )
    path = "completions" if told.token_prompts else "chat/completions"

    async def send(request: Request) -> Reply:
        body: dict[str, Any] = json.loads(encode(dialect, dialect.head, request, False))
        async with session.post(f"{served.url}/v1/{path}", json=body) as response:
            return read_reply(dialect, request, await response.read())

    return send
