"""CPU a question costs on a long document that was sent before: this runtime against bare aiohttp.

Both clients ask the same questions, all at once or one after the other, and take turns, as in
``requests``; what is said there of ours and of the bare client holds here. Ours has asked one
question on the document before the clock starts, so its ids are known, and the bytes that are sent
for them. The bare client posts bodies that are equal to the byte, and does so in two ways:

    ready     its bodies are bytes before the clock starts: it posts them as they are
    dumping   they are dicts, as one writes it by hand: ``session.post(url, json=body)``

Rules
1. The gate is for ``ready``, which has less to do than any real client.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.overhead.requests import Recorder, bare_seconds, bodies_of
from benchmarks.overhead.shapes import Ask
from nlpu import Computer, Value, nlop
from nlpu.engines.http.encode import Dialect, encode
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime.bench.throughput_profiles import FILLER
from nlpu.wire import Request

CALLS = {2_000: 500, 16_000: 200}  # of one turn, by tokens of the document
WINDOW = 32_768


@nlop
def holds(question: str, text: str) -> bool:
    """Answer the question about the text."""


def _ours(url: str, tokenizer: str, tokens: int, calls: int, repeat: int, way: str) -> Any:
    """(CPU seconds, the requests)."""
    with tempfile.TemporaryDirectory() as runs:
        recorder = Recorder(HttpEngine(url, tokenizer=tokenizer))
        with Computer(recorder, run_dir=runs) as computer:
            computer.run(lambda: None)  # opens the journal and the engine
            text = document(next(iter(computer.processors.values())).count, tokens)
            computer.run(lambda: holds(f"Is {repeat} in it?", text))
            recorder.requests.clear()
            gc.collect()
            start = time.process_time()
            computer.run(_PROGRAMS[way], text, calls, repeat)
            seconds = time.process_time() - start
    return seconds, recorder.requests


def at_once(text: str, calls: int, repeat: int) -> list[Value[bool]]:
    """Ask so many questions at once."""
    return [holds(f"Is {repeat} in it, and {number}?", text) for number in range(calls)]


def one_by_one(text: str, calls: int, repeat: int) -> int:
    """Look at each answer before the next question."""
    return sum(bool(holds(f"Is {repeat} in it, and {number}?", text)) for number in range(calls))


_PROGRAMS: dict[str, Callable[..., Any]] = {"at once": at_once, "one by one": one_by_one}
WAYS = tuple(_PROGRAMS)


def document(count: Callable[[str], int], tokens: int) -> str:
    """A text of about that many tokens."""
    words = round(tokens * len(FILLER.split()) / count(FILLER))
    return " ".join((FILLER * (1 + words // 15)).split()[:words])


def bytes_of(requests: list[Request], model: str = "fault-1") -> list[bytes]:
    """The bodies that ours sent to a vLLM server."""
    dialect = Dialect("", model, 0, vllm=True, tokens=True, seed=False, priority=True)
    return [encode(dialect, dialect.head, request, False) for request in requests]


def measure_document(
    url: str, tokenizer: str, tokens: int, repeats: int, way: str = WAYS[0], calls: int = 0
) -> dict[str, Any]:
    """CPU per question of ours, and of the bare client with bodies ready and not."""
    calls = calls or CALLS[tokens]
    found: list[tuple[float, float, float]] = []

    async def bare(ask: Ask) -> None:
        if way == "at once":
            await asyncio.gather(*(ask(number) for number in range(calls)))
            return
        for number in range(calls):
            await ask(number)

    for repeat in range(repeats):
        ours, requests = _ours(url, tokenizer, tokens, calls, repeat, way)
        assert len(requests) == calls, len(requests)
        size = len(requests[0].prompt)
        ready = asyncio.run(bare_seconds(bare, url, bytes_of(requests)))
        dumping = asyncio.run(bare_seconds(bare, url, bodies_of(requests)))
        found.append((ours, ready, dumping))
    return {"way": way, "prompt_tokens": size, "repeats": repeats, **_figures(found, calls)}


def _figures(found: list[tuple[float, float, float]], calls: int) -> dict[str, float]:
    ours, ready, dumping = (
        round(statistics.median(each) / calls * 1e6, 1) for each in zip(*found, strict=True)
    )
    ratios = sorted(a / b for a, b, _ in found)
    return {
        "cpu_us_per_call": ours,
        "ready_us_per_call": ready,
        "dumping_us_per_call": dumping,
        "ratio": round(statistics.median(ratios), 3),
        "ratio_least": round(ratios[0], 3),
        "ratio_most": round(ratios[-1], 3),
        "ratio_dumping": round(statistics.median(a / c for a, _, c in found), 3),
    }
