"""What a vLLM server's KV cache holds, and how a router schedules programs by that.

Rules
1. A router that knows how many tokens each server holds lets in as many programs as stay in memory,
   and holds the others back. One that does not know it binds programs to servers and holds nothing
   back: it would count programs, which says nothing of memory.
2. Nothing else may hold a request back there, and none is given up: what waits at vLLM waits by our
   priorities, and deadlines are the scheduler's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiohttp

from nlpu.engines.http.body import read_most

BOUND = {"binding_only": True, "binding_strategy": "program_round_robin"}
_NO_LIMIT = 1_000_000  # of programs, or of seconds
_MOST_BYTES = 1 << 24  # of a page of figures
_ROOM = re.compile(rb"^vllm:cache_config_info\{(.*)\} ", re.MULTILINE)
_LABEL = re.compile(rb'(block_size|num_gpu_blocks)="(\d+)"')


def scheduling(kv_tokens: int | None) -> dict[str, Any]:
    """Say how a router schedules programs; kv_tokens: what the smallest server holds (rule 1)."""
    if not kv_tokens:
        return BOUND
    return {
        **BOUND,
        "binding_only": False,
        "global_queue": True,
        "token_capacity_per_dp_rank": kv_tokens,
        "admission_waiting_request_threshold": 0,
        "max_active_programs_per_target": _NO_LIMIT,
        "queue_timeout_seconds": _NO_LIMIT,
    }


async def kv_tokens(urls: Sequence[str], timeout_s: float = 10.0) -> int | None:
    """Ask vLLM servers what each holds; the least, in tokens, or None where one does not say."""
    rooms = list[int | None]()
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for url in urls:
            page = b""
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with session.get(f"{url}/metrics") as answer:
                    if answer.status == 200:
                        page = await read_most(answer.content, _MOST_BYTES)
            rooms.append(room_in(page))
    return None if None in rooms else min(filter(None, rooms), default=None)


def room_in(page: bytes) -> int | None:
    """Read what the smallest of a server's caches holds, in tokens; None if that is not there."""
    rooms = list[int]()
    for labels in _ROOM.findall(page):
        found = {name: int(number) for name, number in _LABEL.findall(labels)}
        rooms.append(found.get(b"block_size", 0) * found.get(b"num_gpu_blocks", 0))
    return min(rooms, default=0) or None
