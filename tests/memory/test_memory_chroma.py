"""The index is chromadb's, also where it is asked without chromadb's Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from terminal_fixture import environment

from nlpu.memory.store.vectors import Vectors

chromadb = pytest.importorskip("chromadb")
np = pytest.importorskip("numpy")
ROWS = np.random.default_rng(7).normal(size=(40, 8)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
IDS = [str(number) for number in range(40)]


def theirs(place: Path) -> tuple[chromadb.ClientAPI, chromadb.Collection]:
    """As chromadb's documentation has it."""
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(place), settings)
    return client, client.get_or_create_collection(
        "pages-x", embedding_function=None, configuration={"hnsw": {"space": "ip"}}
    )


@pytest.mark.filterwarnings("ignore:legacy embedding function")  # which is none, and no longer new
@pytest.mark.parametrize("ours_first", [True, False])
def test_what_one_has_written_the_other_reads(tmp_path: Path, ours_first: bool) -> None:
    """Each question gives what chromadb's own client does, on the same files."""
    numbers = [int(name) for name in IDS]
    if ours_first:
        mine = Vectors(tmp_path, "x")
        mine.add(numbers, ROWS[::-1])
        mine.add(numbers, ROWS)
        assert mine.remove([3, 77]) == 0
    else:
        client, pages = theirs(tmp_path / "1")
        pages.upsert(ids=IDS, embeddings=ROWS[::-1])
        pages.upsert(ids=IDS, embeddings=ROWS)
        pages.delete(ids=["3", "77"])
        client.close()
        mine = Vectors(tmp_path, "x")
    told = (mine.count(), mine.numbers(), mine.nearest(ROWS[9], 5), mine.rows([5, 3]), mine.size())
    mine.close()

    client, pages = theirs(tmp_path / "1")
    near = pages.query(query_embeddings=[ROWS[9]], n_results=5, include=["distances"])
    nearest = {int(n): 1 - d for n, d in zip(near["ids"][0], near["distances"][0], strict=True)}
    got = pages.get(ids=["5", "3"], include=["embeddings"])
    numbered = {int(name) for name in pages.get(include=[])["ids"]}
    assert (pages.count(), numbered, nearest, got["ids"], 8) == (*told[:3], ["5"], told[4])
    assert np.array_equal(told[3][5], got["embeddings"]) and np.allclose(told[3][5][0], ROWS[5])
    assert pages.configuration["hnsw"]["space"] == "ip"
    client.close()
    exact = sorted((-float(ROWS[9] @ ROWS[n]), n) for n in numbers if n != 3)[:5]
    assert told[0] == 39 and [*nearest] == [number for _, number in exact]


def test_a_search_loads_no_python_of_it(tmp_path: Path) -> None:
    """Which was two thirds of what it took."""
    code = (
        "import sys; from nlpu.memory import Memory\n"
        "with Memory(sys.argv[1], embedder='static') as memory:\n"
        "    memory.write('Ann built the mill.'); print(memory.search('mill')[0].page.text)\n"
        "print(sorted({'chromadb', 'torch', 'httpx'} & {*sys.modules}))"
    )
    for _ in range(2):  # a store that is made, and one that is there
        ended = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "store")],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
        assert ended.stdout.splitlines() == ["Ann built the mill.", "[]"], ended.stderr
