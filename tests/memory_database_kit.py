"""A database of the tests, named as memories name theirs; and processes that use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from terminal_fixture import environment

from nlpu.errors import NlpuError
from nlpu.memory.store.postgres.names import MemoryDatabase, place_of

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
ROOT = Path(__file__).parents[1]


def of(url: str, **more: Any) -> MemoryDatabase:
    found = place_of(url)
    assert isinstance(found, MemoryDatabase)
    return MemoryDatabase(found.url, found.told, found.name, found.has_password, **more)


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


def told(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(NlpuError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture
def url(postgres: Any) -> str:
    return str(postgres.fresh())


def process(here: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        text=True,
        capture_output=True,
        check=False,
        env={**environment(), "PYTHONPATH": ":".join([str(ROOT), *sys.path])},
    )
