"""Consolidation: what helped rises, what did not fades."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import execute
from memory_kit import Bag, memory, talk
from terminal_fixture import Terminal, nlpu

from memory.consolidate import DISCOUNT, FADE, RATE, consolidate, reflect
from memory.controller import Memory
from nlpu.engines.scripted import Scripted
from nlpu.errors import BadOperand
from nlpu.label import UNTRUSTED, USER
from runtime.bench.memory_credit import found

__all__ = ["nlpu"]


def test_credit_goes_back_discounted_and_fades(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        store.read(addresses[0])
        store.read(addresses[1])
        credits = consolidate(store, 1.0)
        assert credits == pytest.approx({2: RATE, 1: RATE * DISCOUNT})
        assert store.read(addresses[1]).credit == pytest.approx(RATE)
        consolidate(store, -1.0)
        assert store.read(addresses[1]).credit == pytest.approx(RATE + RATE * (-1 - RATE))
        assert store.read(addresses[0]).credit == pytest.approx(RATE * DISCOUNT * FADE)
        with pytest.raises(BadOperand, match="from -1 to 1"):
            consolidate(store, 2)


def test_a_reflection_links_to_what_it_was_made_from(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        talk(store)
        store.write("Bob: I like bees.", label=USER)

        def program() -> str:
            return reflect(store, store.search("bees", most=3))

        address = execute(program, engine=Scripted("Bees are a family matter.")).result
        page = store.read(address)
        assert page.text == "Bees are a family matter." and page.label is UNTRUSTED
        assert len(page.links) == 3 and all(store.read(link) for link in page.links)


def test_credit_finds_what_helped_before_more_often() -> None:
    shares = [found(Bag(), 40, seed=3, with_credit=credited) for credited in (False, True)]
    assert shares[1] > shares[0]


def test_converse_remembers_across_runs(nlpu: Terminal, tmp_path: Path) -> None:
    from memory.embed import open_embedder
    from nlpu.errors import MissingPart

    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    with Memory(tmp_path / "m", embedder="static") as store:
        store.write("Person: I have a dog.", label=USER, source="conversation", time_s=1.0)
        store.search("dog")  # from here on the store's embedder is this one
    words = ("--engine", "scripted", "--json")
    first = nlpu("run", "converse", "My sister Vera has moved to Lisbon.", "store=m", *words).json
    assert first["result"]
    with Memory(tmp_path / "m") as store:
        texts = [page.text for page in store.levels.pages(store.levels.disk.numbers()).values()]
        assert "Person: My sister Vera has moved to Lisbon." in texts
        assert f"Friend: {first['result']}" in texts
        best = [each.page.text for each in store.search("Where did Vera move?", most=9)]
        assert best.index(texts[1]) < best.index(texts[0])
    again = nlpu("replay", first["run_id"], "--json").json
    assert again["result"] == first["result"]
    cited = nlpu("run", "answer", "Where does Vera live?", "store=m", *words)
    assert cited.code == 0
