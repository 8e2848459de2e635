"""What a benchmark measures: the engine in this process, or a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nlpu import MissingPart, Usage
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.vllm.command import PYTHON_VARIABLE
from nlpu.engines.vllm.conversion import converted
from nlpu.engines.vllm.server import VllmServer
from nlpu.runtime.settings import api_key
from nlpu.wire import Engine

ROWS = 8  # requests the embedded processor runs at once


class Served(NamedTuple):
    """A vLLM server, its key, and its tokenizer's directory where it does not tell."""

    url: str
    api_key: str | None
    model: str | None = None
    tokenizer: str | None = None

    def engine(self, max_in_flight: int) -> HttpEngine:
        """An engine of its own for this server."""
        return HttpEngine(
            self.url, self.model, self.api_key, max_in_flight, self.tokenizer, priority=True
        )


def may_serve(url: str | None) -> bool:
    """Whether there is a vLLM server, or one can be started."""
    return bool(url or os.environ.get(PYTHON_VARIABLE))


class Target(NamedTuple):
    """What is measured: ``open`` makes an engine of its own; ``served`` is None in the process."""

    name: str
    open: Callable[[int], Engine]
    served: Served | None = None


@contextmanager
def target(engine: str, model: str | None, *flags: str) -> Iterator[Target]:
    """Of "local", "vllm" (started for this, with the flags) or a URL.

    Raises MissingPart, Usage.
    """
    if engine == "local":
        yield Target("local", lambda many: EmbeddedEngine(model, max_in_flight=min(many, ROWS)))
    elif engine == "vllm":
        with vllm_server(None, *flags, model=model) as served:
            yield Target("vllm", served.engine, served)
    elif "://" not in engine:
        raise Usage(f"{engine!r} cannot be measured; --engine takes local, vllm or a server's URL")
    else:
        served = Served(engine, api_key(), model)
        yield Target(engine, served.engine, served)


@contextmanager
def vllm_server(url: str | None, *flags: str, model: str | None = None) -> Iterator[Served]:
    """The server at ``url``, else an embedded model on one that is started for this.

    Raises MissingPart if neither is possible.
    """
    if url:
        yield Served(url, api_key())
        return
    if not may_serve(url):
        raise MissingPart(
            f"this needs a vLLM server: give --vllm URL, or name a Python with vLLM in "
            f"{PYTHON_VARIABLE}"
        )
    with asyncio.Runner() as runner:
        server = VllmServer(str(converted(model)), flags=flags)
        runner.run(server.__aenter__())
        try:
            yield Served(server.url, server.api_key, server.model)
        finally:
            runner.run(server.stop())
