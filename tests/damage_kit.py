"""A long chain whose journal is damaged, and a directory in memory to do it in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_programs import chain
from pydantic_core import to_json

from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted

CALLS = 40


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A directory in memory, where that is possible: thousands of journals are opened there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def whole() -> bytes:
    """The result of the run that nothing happened to."""
    with Computer(Scripted()) as computer:
        return to_json(computer.run(chain, CALLS).result)
