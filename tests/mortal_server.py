"""A fault server that really dies, by SIGKILL: of a prompt with poison in it, or of its n-th one.

``python mortal_server.py PORT [N]`` prints its URL and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from benchmarks.fake_vllm.faults import Seen
from benchmarks.fake_vllm.gpu import Gpu
from benchmarks.fake_vllm.server import FaultServer


async def serve(port: int, last: int) -> None:
    def plan(seen: Seen) -> None:
        if seen.n == last or "poison" in json.dumps(seen.body["messages"]):
            os.kill(os.getpid(), signal.SIGKILL)

    end = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), end.set)
    gpu = Gpu(slots=8, tokens_per_s=500, prefill_per_s=1e7)
    async with FaultServer(plan=plan, gpu=gpu, port=port) as server:
        print(server.url, flush=True)
        await end.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else -1))
