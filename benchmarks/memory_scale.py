"""``python -m benchmarks.memory_scale``: how a look-up grows with the store.

Pages are made up, each with one name that no other page has, and each question asks for one of
them: the answer is known. The static embedder does, since it is the store that is measured.
"""

from __future__ import annotations

import random
import resource
import statistics
import time
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.command import carry_out, printing
from nlpu import Memory, Page
from nlpu.runtime.bench.report import circumstances

_SYLLABLES = "dar fen gol hix jum kep lat mor nis pod qua rit sol tuv"
_BATCH = 5000


def memory_scale(pages: int = 100_000, small: int = 10_000, questions: int = 200) -> dict[str, Any]:
    """Both sizes, and how much slower the larger is: at most twice is wanted."""
    sizes = [_measured(size, questions) for size in (small, pages)]
    ratio = sizes[1]["search_p95_ms"] / sizes[0]["search_p95_ms"]
    return {**circumstances("chromadb"), "stores": sizes, "p95_ratio": round(ratio, 2)}


def _measured(size: int, questions: int) -> dict[str, Any]:
    with TemporaryDirectory() as directory, Memory(directory, embedder="static") as memory:
        start = time.perf_counter()
        for first in range(0, size, _BATCH):
            memory.write_pages(_pages(first, min(first + _BATCH, size)))
        written = time.perf_counter()
        memory.levels.index.follow()
        indexed = time.perf_counter()
        dice, times, right = random.Random(1), [], 0
        for _ in range(questions):
            wanted = dice.randrange(size)
            begun = time.perf_counter()
            found = memory.search(f"Where does entity{wanted} live?", most=5)
            times.append(1000 * (time.perf_counter() - begun))
            right += any(f" entity{wanted} " in each.page.text for each in found)
    return {
        "pages": size,
        "write_ms_per_page": round(1000 * (written - start) / size, 3),
        "index_ms_per_page": round(1000 * (indexed - written) / size, 3),
        "search_p50_ms": round(statistics.median(times), 1),
        "search_p95_ms": round(statistics.quantiles(times, n=20)[18], 1),
        "found_among_5": right / questions,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _pages(first: int, stop: int) -> list[Page]:
    words, dice = _SYLLABLES.split(), random.Random(first)
    pages = []
    for number in range(first, stop):
        filler = " ".join(dice.choice(words) + dice.choice(words) for _ in range(18))
        text = f"{filler} entity{number} lives in town{number * 7919 % 99991}"
        pages.append(Page(text, f"file{number // 50}", number * 100, time_s=float(number)))
    return pages


if __name__ == "__main__":
    carry_out(printing(memory_scale))
