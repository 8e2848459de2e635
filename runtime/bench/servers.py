"""Servers of other processes for benchmarks: they end with the ``with`` block, or with us."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
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


@contextmanager
def scripted_server(*options: str) -> Iterator[str]:
    """The scripted OpenAI-compatible server in another process; gives its URL.

    Raises MissingPart where this is no checkout: the server is not installed.
    """
    command = [sys.executable, "-m", "benchmarks.fake_vllm", "--with-parent", *options]
    path = [_checkout(), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _checkout() -> str:
    """The directory that the scripted server is imported from. Raises MissingPart."""
    try:
        found = find_spec("benchmarks.fake_vllm")
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise MissingPart(
            "this measures against the project's scripted server, which is not installed with "
            "nlpu: install nlpu from a checkout of the project (pip install -e .)"
        )
    return str(Path(found.origin).parents[2])


@contextmanager
def instant_server(text: str, calls_per_s: float = 0.0, window: int = 4096) -> Iterator[str]:
    """Answers every request with the same text: at once, or no faster than so many a second."""
    options = ("--calls-per-s", str(calls_per_s), "--window", str(window))
    with scripted_server("--instant", "--text", text, *options) as url:
        yield url


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
