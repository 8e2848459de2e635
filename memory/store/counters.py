"""What a level did, counted alike for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """``tokens`` were moved out of the level, to whoever asked; ``seconds`` were spent in it."""

    reads: int = 0
    writes: int = 0
    hits: int = 0
    faults: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @contextmanager
    def timed(self, *, reads: int = 0, writes: int = 0) -> Iterator[None]:
        """Count reads, or pages written, with their time."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start
        self.reads += reads
        self.writes += writes
