"""The programs of ``python -m benchmarks.peers`` on this runtime, as its users write them.

Run as a script, as the peers are: ``python -m benchmarks.peers.ours``. The programs are those
of ``nlpu bench programs``. Nothing is kept on disk, as with the peers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.peers.harness import Work, main
from nlpu import Computer
from nlpu.engines.http.engine import HttpEngine
from nlpu.prompt.convention import FIRST
from nlpu.runtime.bench.programs_standard import Whole, agent, uneven


async def do(work: Work) -> None:
    """Either program, on a computer of its own."""
    engine = Whole(HttpEngine(work["url"], work["model"], work["key"]))
    with Computer(engine, convention=FIRST) as computer:
        if "agents" in work:
            runs = [computer.start(agent, **each) for each in work["agents"]]
        else:
            runs = [computer.start(uneven, work["nodes"])]
        await asyncio.gather(*(run_ended(run) for run in runs))


async def run_ended(run: Any) -> None:
    """Wait; raise what went wrong."""
    await run
    if run.error is not None:
        raise run.error


if __name__ == "__main__":
    main(do)
