"""What tests of the HTTP engine against a real vLLM ask of it; `vllm_fixture` has the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kit import requested
from tokenizers import Tokenizer

from nlpu.engines.http.engine import HttpEngine
from nlpu.wire import Request
from tests.vllm_fixture import Served

Test = Callable[[HttpEngine], Awaitable[None]]


def on(served: Served, test: Test) -> None:
    async def opened() -> None:
        engine = served.engine()
        try:
            told = await engine.capabilities()
            assert told.token_prompts
            await test(engine)
        finally:
            await engine.close()

    asyncio.run(opened())


def ids(served: Served, text: str) -> tuple[int, ...]:
    tokenizer = Tokenizer.from_file(f"{served.directory}/tokenizer.json")
    turn = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return tuple(tokenizer.encode(turn, add_special_tokens=False).ids)


def ask(prompt: tuple[Any, ...], **kwargs: Any) -> Request:
    return requested(prompt=prompt, **{"max_tokens": 48} | kwargs)
