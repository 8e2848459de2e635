"""``benchmarks.memory_portable``: a store whose embedder is changed without embedding it again.

On the conversations of ``nlpu bench memory``, looking up by meaning alone, recall at 10 of:

    A, B            pages and questions by one embedder: the new one is what embedding again gives
    mixed           pages by A, questions by B, cut to the shorter: what must not be done
    relative A      pages and questions by A, relative to anchors
    relative A, B   pages by A, questions by B, relative to the same anchors: the changed store
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.command import carry_out, printing
from nlpu.memory.store.embedders import Embedder, open_embedder
from nlpu.memory.store.relative import Relative, choose_anchors
from nlpu.runtime.bench.locomo import Talk, read_talk
from nlpu.runtime.bench.report import circumstances

_CUT = 10


def memory_portable(data: str, old: str = "minilm", new: str = "static") -> dict[str, Any]:
    """Recall at 10 by how pages and questions were embedded."""
    a, b = open_embedder(old), open_embedder(new)
    recalls: dict[str, list[float]] = {}
    for path in sorted(Path(data).glob("*.json")):
        talk = read_talk(path)
        anchors = choose_anchors([page.text for page in talk.pages.values()])
        relative_a, relative_b = Relative(a, anchors), Relative(b, anchors)
        ways: dict[str, tuple[Embedder, Embedder]] = {
            f"A ({old})": (a, a),
            f"B ({new})": (b, b),
            "mixed": (a, b),
            "relative A": (relative_a, relative_a),
            "relative A, B": (relative_a, relative_b),
        }
        for name, (pages, questions) in ways.items():
            recalls.setdefault(name, []).extend(_recalls(talk, pages, questions))
    means = {name: round(statistics.fmean(found), 4) for name, found in recalls.items()}
    return {**circumstances("torch"), "recall_at_10": means}


def _recalls(talk: Talk, pages: Embedder, questions: Embedder) -> list[float]:
    import numpy as np

    rows = pages.embed([page.text for page in talk.pages.values()])
    asked = questions.embed([question.text for question in talk.questions])
    width = min(rows.shape[1], asked.shape[1])
    best = np.argsort(-(asked[:, :width] @ rows[:, :width].T), axis=1, kind="stable")[:, :_CUT]
    names = list(talk.pages)
    return [
        len(question.evidence.intersection(names[n] for n in row)) / len(question.evidence)
        for question, row in zip(talk.questions, best, strict=True)
    ]


if __name__ == "__main__":
    carry_out(printing(memory_portable))
