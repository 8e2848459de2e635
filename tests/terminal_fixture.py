"""Running ``nlpu`` from tests: in this process, and as a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nlpu.runtime.settings import NAMES
from nlpu.runtime.terminal.app import main

ROOT = Path(__file__).parents[1]
ESSAY = ROOT / "docs" / "essay.txt"
COMMAND = [sys.executable, "-m", "nlpu.runtime.terminal"]


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout, which must be one JSON object on one line."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


class Terminal:
    """``nlpu`` in this process, in a directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, *args: str, stdin: str | bytes = "") -> Ended:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        told = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, told.out, told.err)


@pytest.fixture
def nlpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """``nlpu(...)`` with the scripted engine's and its own run directory under ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    for name in (*(f"NLPU_{name.upper()}" for name in NAMES), "NLPU_API_KEY", "NLPU_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(capsys, monkeypatch)


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that can import the project."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NLPU_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def fault_server(*options: str) -> Iterator[str]:
    """The scripted HTTP server as a process; gives its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fake_vllm.server", "--with-parent", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()
