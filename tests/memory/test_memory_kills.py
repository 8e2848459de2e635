"""A memory whose process is killed at any moment loses nothing that it said was written."""

from __future__ import annotations

import multiprocessing
import random
import shutil
from pathlib import Path

import pytest
from memory_kit import both, kept_in, memory, place
from memory_victim import write_until_killed

from nlpu.memory.ingest import ingest

__all__ = ["kept_in"]
pytestmark = both
KILLS = 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_kills_lose_no_acknowledged_page(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memory_victim", "chromadb_rust_bindings"])
    dice, store_dir, texts = random.Random(7), tmp_path / "store", tmp_path / "texts"
    texts.mkdir()
    acknowledged: list[str] = []
    for life in range(KILLS):
        if life % 10 == 9:
            shutil.rmtree(store_dir / "vectors", ignore_errors=True)  # and now and then no index
        ours, theirs = context.Pipe(duplex=False)
        victim = context.Process(
            target=write_until_killed, args=(place(store_dir), texts, life, theirs)
        )
        victim.start()
        theirs.close()
        for _ in range(dice.randrange(1, 40)):
            acknowledged.append(ours.recv())
        victim.kill()
        victim.join()
        try:
            while True:
                acknowledged.append(ours.recv())  # said before it died
        except EOFError:
            ours.close()
        if life % 10 == 5:
            with memory(store_dir) as store:
                assert store.check() == []
    with memory(store_dir) as store:
        assert store.check() == []
        for address in acknowledged:
            assert store.read(address).address == address
        ingest(store, [texts])
        store.search("anything")
        assert store.check() == []
        assert store.levels.index.vectors.numbers() == set(store.levels.disk.numbers())
        assert ingest(store, [texts]).unchanged == len(list(texts.iterdir()))
    assert len(acknowledged) > 10 * KILLS
