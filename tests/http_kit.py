"""What tests of the HTTP engine share: a request, an opened engine, a tokenizer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from kit import requested

from benchmarks.fake_vllm.instant import InstantServer
from benchmarks.fake_vllm.server import FaultServer
from nlpu.engines.http.engine import HttpEngine
from nlpu.wire import Message, Request

IDS = tuple(range(40))
TURNS = (Message("system", "Be brief."), Message("user", "Where is the rabbit?"))


def ask(prompt: tuple[Any, ...] = TURNS, **kwargs: Any) -> Request:
    return requested(**{"id": "r1", "prompt": prompt, "max_tokens": 64} | kwargs)


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def opened(server: FaultServer | InstantServer, **kwargs: Any) -> AsyncIterator[HttpEngine]:
    engine = HttpEngine(server.url, **kwargs)
    try:
        await engine.capabilities()
        yield engine
    finally:
        await engine.close()


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """A directory with a tokenizer of single characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


async def opening(url: str, **kwargs: Any) -> None:
    """Open an engine and close it again."""
    engine = HttpEngine(url, **kwargs)
    try:
        await engine.capabilities()
    finally:
        await engine.close()
