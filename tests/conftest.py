"""Fixtures for all tests. The vLLM server is here so that one serves the whole session."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings

from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from tests import postgres_kit
from tests.vllm_fixture import vllm_server

__all__ = ["vllm_server"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_kit.Server]:
    """A database server, where the extra is installed."""
    with postgres_kit.server() as server:
        yield server


@pytest.fixture
def database(postgres: Any) -> Database:
    """A database of the test's own, as journals name theirs."""
    found = place_of(postgres.fresh())
    assert isinstance(found, Database)
    return found


@pytest.fixture(scope="session", autouse=True)
def own_state() -> Iterator[Path]:
    """A state directory of the tests' own: what they and their processes journal is theirs."""
    before = os.environ.get("XDG_STATE_HOME")
    with TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = place
        yield Path(place)
    os.environ.pop("XDG_STATE_HOME")
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before


settings.register_profile("untimed", deadline=None)  # no test has a time limit but a hang's
settings.load_profile("untimed")
