"""The vector of a question, made without torch; and embedders that give other things."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_kit import Bag, memory

from nlpu.errors import MissingPart, Usage
from nlpu.memory.store.embedders import MiniLM

TEXTS = ["Who keeps bees?", "", "where", "Ein längerer Satz, 备用钥匙 ... " * 12, "word " * 400]
COLD = """
import sys
from nlpu.memory import Memory
with Memory(sys.argv[1], embedder="minilm") as memory:
    memory.write("Seven bees.")
    assert memory.search("bees")
print("torch" in sys.modules or "transformers" in sys.modules)
"""


@pytest.fixture
def minilm() -> MiniLM:
    try:
        return MiniLM()
    except (MissingPart, ModuleNotFoundError):
        pytest.skip("no embedder minilm")


def test_one_text_has_the_vector_that_many_have(minilm: MiniLM) -> None:
    pytest.importorskip("transformers")
    alone = [minilm.embed([text])[0] for text in TEXTS]
    together = minilm.embed(TEXTS)
    for one, other in zip(alone, together, strict=True):
        assert abs(one - other).max() < 1e-5 and abs(one @ one - 1) < 1e-5


def test_a_question_loads_no_torch(minilm: MiniLM, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COLD, str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Odd(Bag):
    """Gives what ``make`` makes of the right vectors."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def embed(self, texts: Sequence[str]) -> Any:
        return self._make(super().embed(texts))


@pytest.mark.parametrize(
    ("make", "gave"),
    [
        (lambda rows: rows[:, :3], "1 vectors of 64 finite numbers, and gave ndarray of 1 x 3"),
        (lambda rows: rows * np.nan, "finite numbers, and gave ndarray of 1 x 64"),
        (lambda rows: rows[:0], "and gave ndarray of 0 x 64"),
        (lambda rows: rows[0], "and gave ndarray of 64"),
        (lambda rows: None, "and gave NoneType of no shape"),
    ],
)
def test_an_embedder_that_gives_no_such_vectors_is_named(
    make: Callable[[Any], Any], gave: str, tmp_path: Path
) -> None:
    with memory(tmp_path / "m") as store:
        store.write("Bees.")
        assert store.search("bees")
    with memory(tmp_path / "m", embedder=Odd(make)) as store, pytest.raises(Usage) as told:
        store.search("bees")
    assert "the embedder bag must give an array of" in str(told.value) and gave in str(told.value)
    with memory(tmp_path / "m") as store:
        assert store.search("bees")[0].page.text == "Bees."
