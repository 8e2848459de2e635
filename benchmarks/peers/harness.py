"""What every peer does alike: read the work, do a little of it unmeasured, do it, tell the cost.

A peer is ``async def do(work)``. ``work`` says where the server is, and what there is to do
(``benchmarks/peers/work.py`` and ``benchmarks/document.py`` make it). A line of JSON comes on
stdin, "ready" goes to stdout, an empty line starts the work, and a line of JSON tells what it took
and what ``do`` gave. Standard library only: this runs in the peers' environment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Work = dict[str, Any]


def main(do: Callable[[Work], Awaitable[Any]]) -> None:
    """Measure ``do`` on the work in the first line of stdin."""
    print(json.dumps(asyncio.run(_measured(do, json.loads(sys.stdin.readline())))))


async def _measured(do: Callable[[Work], Awaitable[Any]], order: Work) -> dict[str, Any]:
    await do(order["warm_up"])
    print("ready", flush=True)
    sys.stdin.readline()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    said = await do(order["work"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_s": wall, "cpu_s": cpu} | ({} if said is None else {"said": said})


def messages(work: Work, **texts: str) -> list[dict[str, str]]:
    """The prompt of one call: the instruction, and the texts where they belong."""
    return [
        {"role": "system", "content": work["system"]},
        {"role": "user", "content": work["user"].format(**texts)},
    ]
