"""A process that writes to a memory until it is killed; see ``test_memory_kills``."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from memory_kit import Bag

from nlpu.memory.controller import Memory
from nlpu.memory.ingest import ingest


def write_until_killed(place: Path | str, texts: Path, life: int, told: Connection) -> None:
    """Say the address of each page after it was written; look something up now and then."""
    with Memory(place, embedder=Bag()) as store:
        number = 0
        while True:
            number += 1
            kind = number % 10
            if kind == 0:
                store.search(f"page {number} of life {life}", most=3)
            elif kind == 5:
                name = texts / f"{life % 7}.txt"
                name.write_text(f"Life {life} was here, step {number}. " * 80)
                ingest(store, [name])
            else:
                told.send(store.write(f"page {number} of life {life}"))
