"""``python -m benchmarks.memory_credit``: does credit from outcomes bring back what helped before?

A made-up task that recurs: every topic has notes that read alike, and one of them, drawn by the
seed, is what helps. Each step looks a random topic up and has an outcome: good if the helpful note
is among the first five. Hits are counted without consolidation, and with it after every step.
"""

from __future__ import annotations

from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.command import carry_out, printing
from nlpu import Memory
from nlpu.memory.consolidate import consolidate
from nlpu.memory.store.embedders import Embedder
from nlpu.runtime.bench.report import circumstances

_TOPICS, _NOTES, _AMONG = 12, 15, 5
_GOOD, _BAD = 1.0, -0.5


def memory_credit(steps: int = 240, seeds: int = 3, embedder: str = "static") -> dict[str, Any]:
    """The share of steps that found what helps, by seed."""
    shares = {
        name: [round(found(embedder, steps, seed, with_credit) / steps, 3) for seed in range(seeds)]
        for name, with_credit in (("without_credit", False), ("with_credit", True))
    }
    return {**circumstances("chromadb"), "steps": steps, "hits_among_5": shares}


def found(embedder: str | Embedder, steps: int, seed: int, with_credit: bool) -> int:
    """In how many steps the helpful note was among the first five."""
    dice, hits = Random(seed), 0
    helpful = [dice.randrange(_NOTES) for _ in range(_TOPICS)]
    with TemporaryDirectory() as directory, Memory(directory, embedder=embedder) as memory:
        for topic in range(_TOPICS):
            for number in range(_NOTES):
                text = f"note {number} on topic{topic}"
                memory.write(text, source=f"{topic}", start=100 * number, time_s=0.0)
        for _ in range(steps):
            topic = dice.randrange(_TOPICS)
            pages = memory.search(f"what helps with topic{topic}", most=_AMONG)
            wanted = f"note {helpful[topic]} on topic{topic}"
            hit = any(each.page.text == wanted for each in pages)
            hits += hit
            if with_credit:
                consolidate(memory, _GOOD if hit else _BAD)
    return hits


if __name__ == "__main__":
    carry_out(printing(memory_credit))
