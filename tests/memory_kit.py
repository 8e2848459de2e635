"""A small embedder and stores for the tests of memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from nlpu.memory.controller import Memory
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


def memory(directory: Path, **options: Any) -> Memory:
    options.setdefault("embedder", Bag())
    return Memory(directory, clock=lambda: 1_700_000_000.0, **options)


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
