"""The embedded processor of two checkouts in turn: speed, start and memory, as ratios.

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.embedded --against /tmp/before [--model MODEL] [--rounds 3]

Both sides run in this environment, each measurement in a process of its own, before and after
alternating; a figure is the median over the rounds. A checkout from before llama.cpp runs folders:
it gets the same model's converted folder (``python -m nlpu.engines.vllm.conversion MODEL``).

    first     seconds from the start of `nlpu run ask` to the first letter on a terminal
    ready     seconds from making the engine to its capabilities
    out 1, 8  tokens written a second by one request at a time and by eight at once (64 in, 48 out)
    in        tokens read a second by one request of 512 tokens
    document  seconds for 16 short questions on one text of 1,500 tokens, eight in flight
    memory    most resident MiB of the process that measured, and of the one it began
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parents[1]
ROWS = {
    "first": ("s", False),
    "ready": ("s", False),
    "out_1": ("tok/s", True),
    "out_8": ("tok/s", True),
    "in": ("tok/s", True),
    "document": ("s", False),
    "memory": ("MiB", False),
}


def main() -> None:
    """Measure and print a table; with --child, measure one side and print JSON."""
    options = _options()
    if options.child:
        print(json.dumps(asyncio.run(_measure(options.model))))
        return
    sides = {"before": Path(options.against), "now": HERE}
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sorted(sides, reverse=bool(number % 2)):
            found[side].append(_one(sides[side], options.model))
            print(f"{side}: {found[side][-1]}", file=sys.stderr)
    _table(options.model, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", help="a checkout to compare with")
    parser.add_argument("--model", help="a known model's name; the default is SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.child and not options.against:
        parser.error("--against names the other checkout")
    return options


def _one(checkout: Path, model: str | None) -> dict[str, float]:
    """One side's figures, from processes of its own."""
    named = _model_for(checkout, model)
    more = ["--model", named] if named else []
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    first = _first_letter([*more], environment)
    child = subprocess.run(
        [sys.executable, __file__, "--child", *more],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return {"first": first, **json.loads(child.stdout)}


def _model_for(checkout: Path, model: str | None) -> str | None:
    if any((checkout / "nlpu" / each).is_dir() for each in ("models", "engines/models")):
        return model
    # Here and not above: the child may run in a checkout that has no such module.
    from nlpu.engines.models import fetch_model
    from nlpu.engines.vllm.conversion import convert

    return str(convert(fetch_model(model)))


def _first_letter(more: list[str], environment: dict[str, str]) -> float:
    """Seconds to the first letter of an answer, on a terminal, in an empty directory."""
    with tempfile.TemporaryDirectory() as empty:
        ours, theirs = pty.openpty()
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "nlpu.runtime.terminal", "run", "ask", "What is a loom?", *more],
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=empty,
        )
        os.close(theirs)
        while not os.read(ours, 1).strip():
            pass
        seconds = time.monotonic() - start
        process.terminate()
        process.wait()
        os.close(ours)
    return seconds


async def _measure(model: str | None) -> dict[str, float]:
    """The engine's own figures, in this process."""
    start = time.monotonic()
    engine = _engine(model)
    await engine.capabilities()
    ready = time.monotonic() - start
    draw = random.Random(7)
    await _timed(engine, [_prompt(draw, 16)], 2)  # what is loaded on first use
    written, took = await _timed(engine, [_prompt(draw, 64) for _ in range(3)], 48, together=1)
    out_1 = written / took
    written, took = await _timed(engine, [_prompt(draw, 64) for _ in range(16)], 48)
    out_8 = written / took
    _, took = await _timed(engine, [_prompt(draw, 512) for _ in range(3)], 1, together=1)
    text = _prompt(draw, 1500)
    questions = [(*text, *_prompt(draw, 12)) for _ in range(16)]
    _, document = await _timed(engine, questions, 4)
    await engine.close()
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # llama.cpp's process has ended
    peak = sum(resource.getrusage(each).ru_maxrss for each in whose) / 1024
    return {
        "ready": ready,
        "out_1": out_1,
        "out_8": out_8,
        "in": 3 * 512 / took,
        "document": document,
        "memory": peak,
    }


def _engine(model: str | None) -> Any:
    try:
        from nlpu.engines.embedded.engine import EmbeddedEngine
    except ImportError:
        from nlpu.engines.local import LocalEngine  # type: ignore[import-not-found]

        return LocalEngine(model)
    return EmbeddedEngine(model)


def _prompt(draw: random.Random, size: int) -> tuple[int, ...]:
    return tuple(draw.randrange(1000, 30000) for _ in range(size))


async def _timed(
    engine: Any, prompts: list[tuple[int, ...]], size: int, together: int = 8
) -> tuple[int, float]:
    """Tokens written, and seconds, with so many in flight."""
    from nlpu.sampling import Sampling
    from nlpu.wire import Request

    room, start = asyncio.Semaphore(together), time.monotonic()

    async def one(number: int, prompt: tuple[int, ...]) -> int:
        async with room:
            reply = await engine.send(Request(str(number), prompt, Sampling(size)))
            return int(reply.usage.completion_tokens)

    written = await asyncio.gather(*(one(n, prompt) for n, prompt in enumerate(prompts)))
    return sum(written), time.monotonic() - start


def _table(model: str | None, found: dict[str, list[dict[str, float]]]) -> None:
    print(f"{model or 'smollm2-135m-instruct'}, {os.cpu_count()} cores, medians of rounds")
    print(f"{'':10}{'before':>10}{'now':>10}  {'':6}{'times better':>13}")
    for row, (unit, more_is_better) in ROWS.items():
        before, now = (median(one[row] for one in found[side]) for side in ("before", "now"))
        better = now / before if more_is_better else before / now
        print(f"{row:10}{before:10.4g}{now:10.4g}  {unit:6}{better:13.2f}")


if __name__ == "__main__":
    main()
