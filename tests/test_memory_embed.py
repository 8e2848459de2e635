"""The vector of a question, made without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nlpu.errors import MissingPart
from nlpu.memory.embed import MiniLM

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
