"""`nlpu bench overhead`: CPU a call costs in this runtime, over a bare aiohttp client's.

Theory of operation
-------------------
Both clients send the same requests (token ids, a yes/no constraint) to the same server, which
answers at once from another process, in the same run, alternating; only the client's CPU time is
counted. Ours has typed results, meter and journal on. The bare client is what one writes by hand:
``session.post(url, json=body)``, ``await response.json()``, and asyncio for the shape.

The second part leaves HTTP away: graphs of 10,000 and 100,000 nodes on an engine that answers in
the process, against bare asyncio tasks that await their parents; each in a process of its own.

Rules
1. Ratios are medians over alternating repeats: this kind of machine is noisy.
2. Nothing is tuned for the benchmark; the program is written as a user would.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from nlpu import nlop
from nlpu.engines.openai_http import HttpEngine
from nlpu.value import Value
from nlpu.wire import Capabilities, Reply, Request
from runtime.bench.servers import instant_server
from runtime.computer import Computer

GRAPH_SIZES = (10_000, 100_000)
_FILLER = "The quick brown fox jumps over the lazy dog near the bank of the river. "


@nlop
def step(note: str, before: bool) -> bool:
    """Is the note in order?"""


@nlop
def begin(note: str) -> bool:
    """Is the note in order?"""


@nlop
def both(note: str, left: bool, right: bool) -> bool:
    """Is the note in order?"""


# -- the shapes, as programs of ours -----------------------------------------------------------


def fan_out(note: Callable[[int], str]) -> Any:
    return [begin(note(i)) for i in range(1000)]


def chain(note: Callable[[int], str]) -> Any:
    last = begin(note(0))
    for i in range(1, 200):
        last = step(note(i), last)
    return last


def tree(note: Callable[[int], str]) -> Any:
    level: list[Value[bool]] = [begin(note(i)) for i in range(256)]
    count = 256
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [both(note(count + i), a, b) for i, (a, b) in enumerate(pairs)]
        count += len(level)
    return level[0]


def layered(note: Callable[[int], str]) -> Any:
    dice = random.Random(1)
    level: list[Value[bool]] = [begin(note(i)) for i in range(50)]
    every = list(level)
    for layer in range(1, 20):
        level = [
            both(note(layer * 50 + i), level[dice.randrange(50)], level[dice.randrange(50)])
            for i in range(50)
        ]
        every += level
    return every


def agent(note: Callable[[int], str], number: int) -> Any:
    last = begin(note(5 * number))
    for i in range(1, 5):
        if not last:
            break
        last = step(note(5 * number + i), last)
    return last


# -- the same shapes by hand -------------------------------------------------------------------

Ask = Callable[[int], Awaitable[str]]


async def bare_fan_out(ask: Ask) -> None:
    await asyncio.gather(*(ask(i) for i in range(1000)))


async def bare_chain(ask: Ask) -> None:
    for i in range(200):
        await ask(i)


async def _after(ask: Ask, number: int, *parents: asyncio.Task[str]) -> str:
    for parent in parents:
        await parent
    return await ask(number)


async def bare_tree(ask: Ask) -> None:
    level = [asyncio.create_task(_after(ask, i)) for i in range(256)]
    count = 256
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2], strict=True))
        level = [
            asyncio.create_task(_after(ask, count + i, a, b)) for i, (a, b) in enumerate(pairs)
        ]
        count += len(level)
    await level[0]


async def bare_layered(ask: Ask) -> None:
    dice = random.Random(1)
    level = [asyncio.create_task(_after(ask, i)) for i in range(50)]
    every = list(level)
    for layer in range(1, 20):
        level = [
            asyncio.create_task(
                _after(ask, layer * 50 + i, level[dice.randrange(50)], level[dice.randrange(50)])
            )
            for i in range(50)
        ]
        every += level
    await asyncio.gather(*every)


async def bare_fleet(ask: Ask) -> None:
    async def one(number: int) -> None:
        for i in range(5):
            await ask(5 * number + i)

    await asyncio.gather(*(one(number) for number in range(200)))


SHAPES: dict[str, tuple[int, Callable[[Ask], Awaitable[None]]]] = {
    "fan-out 1,000": (1000, bare_fan_out),
    "chain 200": (200, bare_chain),
    "tree 256 leaves": (511, bare_tree),
    "layered 20 x 50": (1000, bare_layered),
    "fleet 200 x 5": (1000, bare_fleet),
}
_PROGRAMS = {
    "fan-out 1,000": fan_out,
    "chain 200": chain,
    "tree 256 leaves": tree,
    "layered 20 x 50": layered,
}


# -- HTTP: ours against bare -------------------------------------------------------------------


class Recorder:
    """An engine that passes everything on and keeps the requests, for the bare client to repeat."""

    def __init__(self, engine: HttpEngine) -> None:
        self.engine, self.requests = engine, list[Request]()
        self.capabilities, self.cancel, self.close = (
            engine.capabilities,
            engine.cancel,
            engine.close,
        )

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.requests.append(request)
        return await self.engine.send(request, on_text)


def _notes(shape: str, repeat: int, tokens: int) -> Callable[[int], str]:
    text = (_FILLER * (1 + tokens // 16)).strip()[: max(20, (tokens - 40) * 4)]
    return lambda i: f"{shape} {repeat} {i}: {text}"


def _ours(shape: str, computer: Computer, note: Callable[[int], str]) -> None:
    if shape in _PROGRAMS:
        runs = [computer.start(_PROGRAMS[shape], note)]
    else:
        runs = [computer.start(agent, note, number) for number in range(200)]
    for run in runs:
        run.wait()
        if run.error is not None:
            raise run.error


def _bodies(requests: list[Request], model: str) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "prompt": list(request.prompt),
            "max_tokens": request.max_tokens,
            "temperature": 0.0,
            "structured_outputs": {"choice": ["yes", "no"]},
            "priority": request.priority,
        }
        for request in requests
    ]


async def _bare(shape: str, url: str, bodies: list[dict[str, Any]]) -> float:
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number: int) -> str:
            async with session.post(f"{url}/v1/completions", json=bodies[number]) as response:
                answer = await response.json()
            return str(answer["choices"][0]["text"])

        start = time.process_time()
        await SHAPES[shape][1](ask)
        return time.process_time() - start


def measure_shape(
    shape: str, url: str, tokenizer: str | None, tokens: int, repeats: int
) -> dict[str, Any]:
    """CPU per call of both clients on one shape."""
    ours_s, bare_s = [], []
    calls = SHAPES[shape][0]
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as runs:
            recorder = Recorder(HttpEngine(url, tokenizer=tokenizer))
            with Computer(recorder, run_dir=runs) as computer:
                computer.run(lambda: None)  # opens the journal and the engine
                gc.collect()
                start = time.process_time()
                _ours(shape, computer, _notes(shape, repeat, tokens))
                ours_s.append(time.process_time() - start)
            assert len(recorder.requests) == calls, (shape, len(recorder.requests))
        gc.collect()
        bodies = _bodies(recorder.requests, "fault-1")
        bare_s.append(asyncio.run(_bare(shape, url, bodies)))
    ours, bare = statistics.median(ours_s), statistics.median(bare_s)
    return {
        "shape": shape,
        "prompt_tokens": len(recorder.requests[0].prompt),
        "cpu_us_per_call": round(ours / calls * 1e6, 1),
        "bare_cpu_us_per_call": round(bare / calls * 1e6, 1),
        "ratio": round(statistics.median(a / b for a, b in zip(ours_s, bare_s, strict=True)), 3),
    }


# -- graphs in the process ---------------------------------------------------------------------


class InstantEngine:
    """Answers in the process, at once, with a text of its own for every call."""

    async def capabilities(self) -> Capabilities:
        return Capabilities("instant", 100_000, 256, tokenizer="chars")

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return Reply(f"done {request.id}", "stop", len(request.prompt), 4)

    def cancel(self, request_id: str) -> None:
        """Nothing is ever under way."""

    async def close(self) -> None:
        """Nothing to release."""


@nlop
def start_note(note: str) -> str:
    """Continue the note."""


@nlop
def merge_notes(left: str, right: str) -> str:
    """Merge the two notes."""


def wide_graph(nodes: int) -> Any:
    """Layers of 100; each node reads two of the layer before."""
    dice = random.Random(1)
    level = [start_note(f"note {i}") for i in range(100)]
    every = list(level)
    while len(every) < nodes:
        level = [merge_notes(level[dice.randrange(100)], level[dice.randrange(100)]) for _ in level]
        every += level
    return every


async def bare_wide_graph(nodes: int) -> None:
    """The same with asyncio tasks that await their parents."""
    dice = random.Random(1)

    async def node(number: int, *parents: asyncio.Task[str]) -> str:
        texts = [await parent for parent in parents]
        return f"done {number} {len(texts)}"

    level = [asyncio.create_task(node(i)) for i in range(100)]
    every = list(level)
    while len(every) < nodes:
        level = [
            asyncio.create_task(
                node(len(every), level[dice.randrange(100)], level[dice.randrange(100)])
            )
            for _ in level
        ]
        every += level
    await asyncio.gather(*every)


def graph_child(kind: str, nodes: int) -> dict[str, Any]:
    """One measurement, in this process: CPU, peak memory, and the journal's size."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[str, Any] = {}
    if kind == "bare":
        start = time.process_time()
        asyncio.run(bare_wide_graph(nodes))
        found["seconds"] = time.process_time() - start
    else:
        with tempfile.TemporaryDirectory() as runs:
            found = _our_graph(nodes, Path(runs) if kind == "journal" else None)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["kib_per_node"] = (peak_kib - before_kib) / nodes
    return found


def _our_graph(nodes: int, run_dir: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with Computer(InstantEngine(), run_dir=run_dir) as computer:
        computer.run(lambda: None)
        start = time.process_time()
        run = computer.run(wide_graph, nodes)
        found["seconds"] = time.process_time() - start
        if run.error is not None:
            raise run.error
        receipt = run.receipt
        text_bytes = receipt.prompt_tokens + sum(len(text) for text in run.result)
    if run_dir is not None:
        size = sum(path.stat().st_size for path in run_dir.iterdir())
        found["journal_ratio"] = round(size / text_bytes, 3)
    return found


def _child(kind: str, nodes: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "runtime.bench.overhead", kind, str(nodes)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def measure_graphs(sizes: tuple[int, ...] = GRAPH_SIZES, repeats: int = 3) -> list[dict[str, Any]]:
    """Per node: CPU of ours with and without journal over bare tasks', and peak memory."""
    kinds = ("bare", "plain", "journal")
    return [
        _graph_row(nodes, [{kind: _child(kind, nodes) for kind in kinds} for _ in range(repeats)])
        for nodes in sizes
    ]


def _graph_row(nodes: int, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    def per_node(kind: str) -> float:
        seconds = statistics.median(found[kind]["seconds"] for found in rounds)
        return round(seconds / nodes * 1e6, 1)

    def over_bare(kind: str) -> float:
        ratios = (found[kind]["seconds"] / found["bare"]["seconds"] for found in rounds)
        return round(float(statistics.median(ratios)), 2)

    def peak(kind: str) -> float:
        return round(float(max(found[kind]["kib_per_node"] for found in rounds)), 2)

    return {
        "nodes": nodes,
        "bare_us_per_node": per_node("bare"),
        "us_per_node": per_node("plain"),
        "journal_us_per_node": per_node("journal"),
        "ratio": over_bare("plain"),
        "journal_ratio": over_bare("journal"),
        "kib_per_node": peak("plain"),
        "journal_kib_per_node": peak("journal"),
        "journal_bytes_over_text": rounds[0]["journal"]["journal_ratio"],
    }


# -- the command -------------------------------------------------------------------------------


def overhead(
    tokenizer: str | None, repeats: int = 5, sizes: tuple[int, ...] = GRAPH_SIZES
) -> dict[str, Any]:
    """Everything the command prints."""
    with instant_server("yes") as url:
        shapes = [measure_shape(shape, url, tokenizer, 50, repeats) for shape in SHAPES]
        shapes += [measure_shape("fan-out 1,000", url, tokenizer, 2000, max(1, repeats // 2))]
    per_call = statistics.fmean(row["cpu_us_per_call"] for row in shapes[: len(SHAPES)])
    return {
        "shapes": shapes,
        "graphs": measure_graphs(sizes),
        "calls_per_second_per_core": round(1e6 / per_call),
    }


if __name__ == "__main__":  # one graph measurement, for ``_child``
    print(json.dumps(graph_child(sys.argv[1], int(sys.argv[2]))))
