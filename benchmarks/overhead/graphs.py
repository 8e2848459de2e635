"""What a node costs without HTTP: 10,000 and 100,000 nodes on an engine in the process.

Theory of operation
-------------------
The engine answers at once. The bare side is asyncio tasks of the same graph that await their
parents and make the same kind of text. Every measurement is a process of its own, so that memory
and garbage of one are not the other's; they take turns, and ratios are medians.

Rules
1. CPU time of the whole process while the graph runs: issuing, scheduling, results, and the receipt
   of the journaled run.
2. Memory is the peak of the resident set over what was resident before, from the kernel's account
   of this process (``VmHWM``; ``ru_maxrss`` starts at the parent's size).
3. Journal over text: bytes of all its files, closed, over each distinct prompt and reply once.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.servers import environment
from nlpu import Computer, nlop
from nlpu.wire import Capabilities, Reply, Request, Usage

WIDTH = 100
_STATUS = Path("/proc/self/status")


class InstantEngine:
    """Answers in the process, at once, with a text of its own for every call."""

    async def capabilities(self) -> Capabilities:
        return Capabilities("instant", 100_000, 256, tokenizer="chars")

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return Reply(f"done {request.id}", "stop", Usage(len(request.prompt), 4))

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
    level = [start_note(f"note {i}") for i in range(WIDTH)]
    every = list(level)
    while len(every) < nodes:
        level = [
            merge_notes(level[dice.randrange(WIDTH)], level[dice.randrange(WIDTH)]) for _ in level
        ]
        every += level
    return every


async def bare_wide_graph(nodes: int) -> None:
    """The same with asyncio tasks that await their parents."""
    dice = random.Random(1)

    async def node(number: int, *parents: asyncio.Task[str]) -> str:
        texts = [await parent for parent in parents]
        return f"done {number} {len(texts)}"

    level = [asyncio.create_task(node(i)) for i in range(WIDTH)]
    every = list(level)
    while len(every) < nodes:
        level = [
            asyncio.create_task(
                node(len(every), level[dice.randrange(WIDTH)], level[dice.randrange(WIDTH)])
            )
            for _ in level
        ]
        every += level
    await asyncio.gather(*every)


# -- one measurement, in a process of its own ------------------------------------------------------


def graph_child(kind: str, nodes: int) -> dict[str, Any]:
    """CPU seconds, peak memory a node, and the journal's size."""
    before = _resident_kib("VmRSS")
    if kind == "bare":
        start = time.process_time()
        asyncio.run(bare_wide_graph(nodes))
        found: dict[str, Any] = {"seconds": time.process_time() - start}
    else:
        with tempfile.TemporaryDirectory() as runs:
            found = _our_graph(nodes, Path(runs) if kind == "journal" else None)
    return found | {"kib_per_node": (found.pop("peak", _resident_kib("VmHWM")) - before) / nodes}


def _resident_kib(name: str) -> int:
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[name].split()[0])


def _our_graph(nodes: int, run_dir: Path | None) -> dict[str, Any]:
    with Computer(InstantEngine(), run_dir=run_dir) as computer:
        computer.run(lambda: None)
        gc.collect()  # or chance says whether one falls into a short graph
        start = time.process_time()
        run = computer.run(wide_graph, nodes)
        found = {"seconds": time.process_time() - start, "peak": _resident_kib("VmHWM")}
        if run.error is not None:
            raise run.error
        text_bytes = run.receipt.prompt_tokens + sum(len(text) for text in run.result)
    if run_dir is not None:
        size = sum(path.stat().st_size for path in run_dir.iterdir())
        found["bytes_over_text"] = size / text_bytes
    return found


def child(kind: str, nodes: int) -> dict[str, Any]:
    """``graph_child`` in a new process."""
    command = [sys.executable, "-m", "benchmarks.overhead.graphs", kind, str(nodes)]
    out = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment()
    ).stdout
    found: dict[str, Any] = json.loads(out)
    return found


# -- rows ------------------------------------------------------------------------------------------


def measure_graph(nodes: int, repeats: int) -> dict[str, Any]:
    """CPU a node with and without journal over bare tasks', and peak memory."""
    kinds = ("bare", "plain", "journal")
    return _row(nodes, [{kind: child(kind, nodes) for kind in kinds} for _ in range(repeats)])


def _row(nodes: int, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    def per_node(kind: str) -> float:
        return round(_median(found[kind]["seconds"] for found in rounds) / nodes * 1e6, 1)

    def over_bare(kind: str) -> float:
        return round(_median(r[kind]["seconds"] / r["bare"]["seconds"] for r in rounds), 2)

    def peak(kind: str) -> float:
        return round(max(float(found[kind]["kib_per_node"]) for found in rounds), 2)

    return {
        "nodes": nodes,
        "bare_us_per_node": per_node("bare"),
        "us_per_node": per_node("plain"),
        "journal_us_per_node": per_node("journal"),
        "ratio": over_bare("plain"),
        "journal_ratio": over_bare("journal"),
        "kib_per_node": peak("plain"),
        "journal_kib_per_node": peak("journal"),
        "journal_bytes_over_text": round(rounds[0]["journal"]["bytes_over_text"], 3),
        "repeats": len(rounds),
    }


def _median(figures: Any) -> float:
    return float(statistics.median(figures))


if __name__ == "__main__":  # for ``child``
    print(json.dumps(graph_child(sys.argv[1], int(sys.argv[2]))))
