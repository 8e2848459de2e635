"""A real vLLM server with a small model, once per test session: ``pytest -m vllm``.

It needs a Python with vLLM in $NLPU_VLLM_PYTHON, and the model, either as a directory in
$NLPU_TEST_MODEL or the embedded one, converted. Without them the tests are skipped and
say why. The server lives in a loop on a thread of its own, so every test may have its own loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.models import installed_model
from nlpu.engines.vllm.command import PYTHON_VARIABLE
from nlpu.engines.vllm.conversion import convert
from nlpu.engines.vllm.server import VllmServer
from nlpu.errors import MissingPart

FLAGS = ("--max-model-len", "2048", "--max-num-seqs", "16")


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    api_key: str
    model: str
    directory: str
    ready_s: float
    seed: bool

    def engine(self) -> HttpEngine:
        return HttpEngine(self.url, self.model, self.api_key, 16, seed=self.seed, priority=True)


def model_directory() -> str:
    """The test model's directory, or a skip."""
    named = os.environ.get("NLPU_TEST_MODEL")
    if named:
        return named
    try:
        return str(convert(installed_model(None)))
    except MissingPart as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def vllm_server() -> Iterator[Served]:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")
    directory = model_directory()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = VllmServer(directory, flags=FLAGS)
    try:
        start = time.monotonic()
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        ready_s = time.monotonic() - start
        print(f"vLLM was ready in {ready_s:.1f} s")
        yield Served(server.url, server.api_key, server.model, directory, ready_s, server.seed)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
