"""A small embedder and stores for the tests of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import md5
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from nlpu.memory.controller import Memory
from nlpu.memory.store.counters import Counters
from nlpu.memory.store.levels import opened
from nlpu.memory.store.postgres.names import place_of
from nlpu.memory.store.queries import words_of

pytest.importorskip("chromadb")


class Bag:
    """Texts are near if they share words. Exact, and needs no model."""

    dimensions = 64

    def __init__(self, name: str = "bag") -> None:
        self.name = name
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.embedded += texts
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in words_of(text):
                row[crc32(word.encode()) % self.dimensions] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


_database: list[str] = []  # that keeps the memories of the test, if one does


@pytest.fixture(params=["a folder", "a database"])
def kept_in(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test is done twice: with its memories in folders, and in a database."""
    if request.param == "a database":
        _database.append(request.getfixturevalue("postgres").shared)
    yield request.param
    _database.clear()


both = pytest.mark.usefixtures("kept_in")
# of what only files have
in_a_folder = pytest.mark.parametrize("kept_in", ["a folder"], indirect=True)


def place(directory: Any) -> Any:
    """Name the memory of a directory, where the test keeps it."""
    name = md5(str(directory).encode()).hexdigest()
    return f"{_database[0]}#{name}" if _database else directory


def disk(directory: Any) -> Any:
    """Open the pages of a directory's memory alone."""
    return opened(place_of(place(directory)), None, Counters(), new=True)[0]


def memory(directory: Any, **options: Any) -> Memory:
    options.setdefault("embedder", Bag())
    return Memory(place(directory), clock=lambda: 1_700_000_000.0, **options)


TALK = (
    "Ann: I went to the harbour on Monday and saw the old lighthouse.",
    "Bob: What did you do there?",
    "Ann: I painted it in water colours, it took three hours.",
    "Bob: My brother keeps bees in his garden near the mill.",
    "Ann: How many hives does he have?",
    "Bob: Seven, and he sells the honey on the market.",
)


def talk(store: Memory) -> list[str]:
    """Write the talk; the addresses of its turns."""
    start, addresses = 0, []
    for turn in TALK:
        addresses.append(store.write(turn, source="talk", start=start))
        start += len(turn) + 1
    return addresses
