"""The embedded processor on its real model, open for the tests of a module.

One engine serves every test of a module, on one event loop, as it would in a computer; the tests
that close an engine or set its limits open their own. Without the model, whoever imports this is
skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kit import requested
from tokenizers import Tokenizer

from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart
from nlpu.wire import Reply, Request

try:
    installed_model(None)
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)

T = TypeVar("T")
QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about rain.",
    "What is 2+2?",
    "Is water wet?",
    "Who wrote Hamlet?",
)


class Bench:
    """An open engine with its loop and tokenizer."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.engine = EmbeddedEngine()
        self.facts = self.run(self.engine.capabilities())
        assert self.facts.tokenizer is not None
        self.tokens = Tokenizer.from_file(str(Path(self.facts.tokenizer) / "tokenizer.json"))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, text: str, id: str = "r", max_tokens: int = 24, **options: Any) -> Request:
        chat = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        ids = tuple(self.tokens.encode(chat).ids)
        return requested(id, ids, max_tokens=max_tokens, **options)

    def send(self, request: Request) -> Reply:
        return self.run(self.engine.send(request))

    def together(self, requests: list[Request]) -> list[Reply]:
        async def work() -> list[Reply]:
            return await asyncio.gather(*(self.engine.send(one) for one in requests))

        return self.run(work())


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.run(made.engine.close())
    made.runner.close()
