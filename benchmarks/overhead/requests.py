"""CPU a call costs over HTTP: this runtime against a bare client, with the same requests.

Theory of operation
-------------------
Both clients send the same requests to the same server, which answers at once from another process;
they take turns, and only the CPU time of the client's process is counted, threads included.

    ours   a program over typed ops: checks operands, makes the prompt and tokenises it, keys,
           ranks, journals to SQLite, meters, decodes the reply to a bool. Each repeat is a new
           computer with a new journal: no result, text or connection is left over from the last.
    bare   what one writes by hand: ``session.post(url, json=body)``, ``await response.json()``,
           and asyncio for the shape. It is given the requests that ours sent, tokenised and ready
           as dicts; it dumps, posts, parses, and takes the text. It does not tokenise, check,
           remember, retry or count, and it knows the shape beforehand.

So the bare side has less to do than any real client would. In one thing it has more: it goes
through aiohttp's ``ClientSession`` as everybody does, ours uses aiohttp's connections and parser
without it (``nlpu.engines.http.transport``).

Rules
1. A ratio is the median of the repeats' own ratios: a noisy machine disturbs neighbours alike.
2. The number of requests is checked in every repeat, for both.
3. ``tokens`` is the length of the prompt as sent, reached with filler words. The frame, the
   instruction and the contract are part of it; a smaller wish gives the shortest prompt there is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp

from benchmarks.overhead.shapes import SHAPES, Ask, Note, begin
from nlpu import Computer
from nlpu.engines.http.encode import Dialect, encode
from nlpu.engines.http.engine import HttpEngine
from nlpu.prompt.codec import Codec
from nlpu.runtime.bench.throughput_profiles import FILLER
from nlpu.wire import Reply, Request

_BESIDE = 10  # tokens of a note's own name


class Recorder:
    """An engine that passes everything on and keeps the requests, for the bare client to repeat."""

    def __init__(self, engine: HttpEngine) -> None:
        self.engine, self.requests = engine, list[Request]()
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.requests.append(request)
        return await self.engine.send(request, on_text)


def notes(name: str, words: int) -> Note:
    """Distinct texts of about that many words."""
    filler = " ".join((FILLER * (1 + words // 15)).split()[:words])
    return lambda i: f"{name} {i} {filler}".strip()


def filler_words(computer: Computer, tokens: int) -> int:
    """How many words of filler make a prompt of that many tokens."""
    codec: Codec = next(iter(computer.processors.values())).codec
    room = tokens - codec.overhead(begin) - _BESIDE
    return max(0, int(room * len(FILLER.split()) / codec.count(FILLER)))


def _ours(shape: str, url: str, tokenizer: str, tokens: int, repeat: int) -> Any:
    """(CPU seconds, the requests)."""
    with tempfile.TemporaryDirectory() as runs:
        recorder = Recorder(HttpEngine(url, tokenizer=tokenizer))
        with Computer(recorder, run_dir=runs) as computer:
            computer.run(lambda: None)  # opens the journal and the engine
            note = notes(f"{shape[:5]} {repeat}", filler_words(computer, tokens))
            gc.collect()
            start = time.process_time()
            SHAPES[shape].ours(computer, note)
            seconds = time.process_time() - start
    return seconds, recorder.requests


def bodies_of(requests: list[Request], model: str = "fault-1") -> list[dict[str, Any]]:
    """The requests as a bare client's dicts: exactly what ours sent to a vLLM server."""
    dialect = Dialect("", model, 0, vllm=True, tokens=True, seed=False, priority=True)
    return [json.loads(encode(dialect, dialect.head, request, False)) for request in requests]


async def bare_seconds(
    shape: Callable[[Ask], Awaitable[None]], url: str, bodies: Sequence[dict[str, Any] | bytes]
) -> float:
    """CPU seconds of the bare client: it dumps what is a dict, and posts bytes as they are."""
    asked = 0
    kinds = [{"data": each} if isinstance(each, bytes) else {"json": each} for each in bodies]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:

        async def ask(number: int) -> str:
            nonlocal asked
            asked += 1
            async with session.post(f"{url}/v1/completions", **kinds[number]) as response:
                answer = await response.json()
            return str(answer["choices"][0]["text"])

        gc.collect()
        start = time.process_time()
        await shape(ask)
        seconds = time.process_time() - start
    assert asked == len(bodies), asked
    return seconds


def measure_shape(
    shape: str, url: str, tokenizer: str, tokens: int, repeats: int
) -> dict[str, Any]:
    """CPU per call of both clients on one shape."""
    ours_s, bare_s, sent = [], [], 0
    calls = SHAPES[shape].calls
    for repeat in range(repeats):
        seconds, requests = _ours(shape, url, tokenizer, tokens, repeat)
        assert len(requests) == calls, (shape, len(requests))
        sent = round(statistics.mean(len(request.prompt) for request in requests))
        ours_s.append(seconds)
        bare_s.append(asyncio.run(bare_seconds(SHAPES[shape].bare, url, bodies_of(requests))))
    ratios = sorted(a / b for a, b in zip(ours_s, bare_s, strict=True))
    return {
        "shape": shape,
        "prompt_tokens": sent,
        "cpu_us_per_call": round(statistics.median(ours_s) / calls * 1e6, 1),
        "bare_cpu_us_per_call": round(statistics.median(bare_s) / calls * 1e6, 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_least": round(ratios[0], 3),
        "ratio_most": round(ratios[-1], 3),
        "repeats": repeats,
    }
