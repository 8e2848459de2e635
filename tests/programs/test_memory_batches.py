"""Batches of programs that have a memory: those that look share it, those that write take turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal_fixture import Terminal, nlpu

from nlpu.errors import RunBusy, Usage
from nlpu.memory.controller import Memory
from nlpu.memory.store.page import TALK
from nlpu.programs.converse import FRIEND, PERSON, converse
from nlpu.programs.opened import looked_up
from nlpu.programs.research import research
from nlpu.runtime import Computer
from nlpu.runtime.fleet.plan import Plan, in_turn

__all__ = ["nlpu"]  # a fixture
SAID = [f"My number is {n}." for n in range(4)]


@pytest.mark.slow  # each of its runs opens an embedder
def test_messages_of_a_batch_are_answered_one_after_the_other(tmp_path: Path) -> None:
    """In their order, each with what was said before it, as fast as one run is."""
    store = str(tmp_path / "memory")
    inputs = [(message, store) for message in SAID]
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        items = list(computer.map(converse, inputs, name="talk", ordered=False))
    assert [(item.index, item.status) for item in items] == [(n, "done") for n in range(4)]
    with Memory(store) as memory:
        told = [page.text for page in memory.newest(TALK, 50)]
    assert [text for text in told if text.startswith(PERSON)] == [PERSON + said for said in SAID]
    assert [text.startswith(FRIEND) for text in told] == [False, True] * 4


def test_one_at_a_time_is_what_the_module_says(nlpu: Terminal, tmp_path: Path) -> None:
    assert in_turn(converse, Plan()).at_once == 1
    assert in_turn(research, Plan()).at_once == 0
    said = r"runs of converse go one after the other.*leave --at-once.*and have no workers"
    with Computer("scripted") as computer, pytest.raises(Usage, match=said):
        computer.map(converse, SAID, at_once=2)
    with pytest.raises(Usage, match=said):
        in_turn(converse, Plan(), workers=1)
    (tmp_path / "said.jsonl").write_text('"Hello."\n')
    refused = nlpu("run", "converse", "--each", "said.jsonl", "--at-once", "3", "--out", "out")
    assert refused.code == 2 and "go one after the other" in refused.err


@pytest.mark.slow
def test_a_folder_of_messages(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "said").mkdir()
    for number, message in enumerate(SAID):
        (tmp_path / "said" / f"{number}.txt").write_text(message)
    ended = nlpu("run", "converse", "--each", "said", "--engine", "scripted", "--out", "out")
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_questions_of_a_batch_are_asked_of_one_memory_at_once(tmp_path: Path) -> None:
    store = str(tmp_path / "memory")
    with Memory(store) as memory:
        for said in SAID:
            memory.write(said, source="numbers")
    inputs = [(f"What is number {n}, and why?", store) for n in range(4)]
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        batch = list(computer.map(research, inputs, at_once=4))
        alone = [computer.run(research, *given).result for given in inputs]
    assert {item.status for item in batch} == {"done"}
    assert [json.dumps(item.result.model_dump()) for item in batch] == [
        json.dumps(each.model_dump()) for each in alone
    ]
    Memory(store).close()  # nobody has it any more


def test_who_looks_keeps_it_open_until_the_last_has_left(tmp_path: Path) -> None:
    store = str(tmp_path)
    Memory(store).close()
    with looked_up(store, "all") as memory:
        with looked_up(store, "all") as same:
            assert same is memory
        memory.search("anything")
        with pytest.raises(RunBusy, match=r"in use by process \d+, which is this one; .*--at-once"):
            Memory(store)
    with Memory(store), pytest.raises(RunBusy), looked_up(store, "all"):
        pass
    with looked_up(store, "all") as another:
        assert another is not memory
