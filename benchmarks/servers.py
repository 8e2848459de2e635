"""The scripted server in another process; it ends with the ``with`` block, or with us."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlpu import MissingPart
from nlpu.engines.embedded.vocabulary import tokenizer_files
from nlpu.engines.models import installed_model

ROOT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """What a process needs to import this folder, wherever it is started."""
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


@contextmanager
def scripted_server(*options: str) -> Iterator[str]:
    """The scripted OpenAI-compatible server in another process; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.fake_vllm", "--with-parent", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def instant_server(text: str, calls_per_s: float = 0.0, window: int = 4096) -> Iterator[str]:
    """Answers every request with the same text: at once, or no faster than so many a second."""
    options = ("--calls-per-s", str(calls_per_s), "--window", str(window))
    with scripted_server("--instant", "--text", text, *options) as url:
        yield url


@contextmanager
def tokenizer() -> Iterator[tuple[str, str]]:
    """(directory, name): the embedded model's, or one of 256 bytes where that is not installed."""
    with tempfile.TemporaryDirectory() as made:
        try:
            model = installed_model(None)
            found = str(tokenizer_files(model)), model.name
        except MissingPart:
            from tokenizers import Tokenizer, models, pre_tokenizers

            alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
            plain = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
            plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            plain.save(str(Path(made) / "tokenizer.json"))
            found = made, "bytes (the embedded model is not installed)"
        yield found
