"""Servers of other processes for benchmarks: they end with the ``with`` block, or with us."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def scripted_server(*options: str) -> Iterator[str]:
    """The scripted OpenAI-compatible server in another process; gives its URL."""
    command = [sys.executable, "-m", "nlpu.engines.fault_server", "--with-parent", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def instant_server(text: str) -> Iterator[str]:
    """A server that answers every request at once with the same text."""
    with scripted_server("--instant", "--text", text) as url:
        yield url
