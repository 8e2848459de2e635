"""A run as a file of requests: each once, and none before what it waited for."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal_fixture import Terminal, nlpu

from nlpu.runtime.terminal.show.dag import Dag, laid_out, reduced

__all__ = ["nlpu"]  # a fixture
PROGRAM = '''
from nlpu import nlop

@nlop
def note(text: str) -> str:
    """Note it."""

@nlop
def join(notes: str) -> str:
    """Join them."""

def main(text: str) -> str:
    first = note(f"{text} 1")
    second, third = note(str(first)), note(f"{text} 2")
    return str(join(f"{note(str(second))}, {third}"))
'''


def order_of(found: Dag) -> set[tuple[str, str]]:
    """Which call waits for which in the file, by the rules of the format."""
    sessions = {line["session_id"]: line for line in found.lines}
    inner = {
        name for line in found.lines for each in line.get("rounds", []) for name in each["spawns"]
    }
    pairs: set[tuple[str, str]] = set()
    for name, line in sessions.items():
        if name in inner:
            continue
        rounds = [each["spawns"] for each in line["rounds"]] if "rounds" in line else [[name]]
        before: list[str] = []
        for row in rounds:
            here: list[str] = []
            for each in row:
                calls = [turn["call"] for turn in sessions[each]["turns"]]
                pairs |= {(b, call) for b in before for call in calls}
                pairs |= set(combinations(calls, 2))
                here += calls
            before += here
    return pairs


@given(st.data())
def test_no_call_goes_before_what_it_waited_for(data: st.DataObject) -> None:
    names = [f"main/{n}" for n in range(data.draw(st.integers(1, 9)))]
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pair for pair in combinations(names, 2) if data.draw(st.booleans()))
    waits = reduced(graph.copy())
    assert waits.edges == nx.transitive_reduction(graph).edges
    found = laid_out("r", {name: {"call": name} for name in names}, waits)
    sent = [turn["call"] for line in found.lines for turn in line.get("turns", [])]
    assert sorted(sent) == sorted(names) and found.calls == len(names)
    real, told = {*nx.transitive_closure(graph).edges}, order_of(found)
    assert real <= told
    assert (found.ordered, found.forced) == (len(told), len(told) - len(real))


@pytest.mark.parametrize(
    ("edges", "ordered", "lines"),
    [
        (lambda n: [], 0, 10_000),
        (lambda n: [(n - 1, n)] * (n > 0), 10_000 * 9_999 // 2, 1),
        (lambda n: [(0, n), (n, 9_999)] * (0 < n < 9_999), 2 * 9_998 + 1, 10_001),
    ],
    ids=["none waits", "each waits", "one is before and one behind"],
)
def test_ten_thousand_calls_take_no_square_of_that(edges: Any, ordered: int, lines: int) -> None:
    """In steps of each pair this would end after minutes."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(str(n) for n in range(10_000))
    graph.add_edges_from((str(a), str(b)) for n in range(10_000) for a, b in edges(n))
    found = laid_out("r", {name: {"call": name} for name in graph}, reduced(graph))
    assert (found.ordered, found.forced, len(found.lines)) == (ordered, 0, lines)


def test_what_only_follows_and_what_is_joined_at_once_is_not_forced() -> None:
    chains = [("a", "b"), ("b", "c"), ("d", "e")]
    graph = nx.DiGraph(chains)
    assert laid_out("r", {each: {} for each in "abcde"}, graph).forced == 0
    joined = nx.DiGraph([*chains, ("c", "f"), ("e", "f")])
    found = laid_out("r", {each: {} for each in "abcdef"}, joined)
    assert found.forced == 0 and len(found.lines) == 4


def test_a_run_is_written_and_repeated(tmp_path: Path, nlpu: Terminal) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    done = nlpu("run", "p.py:main", "Rain", "--engine", "scripted", "--json")
    name = json.loads(done.out)["run_id"]
    told = nlpu("show", name, "--dag", "d.jsonl", "--json")
    assert json.loads(told.out)["calls"] == 5, told.err
    lines: list[dict[str, Any]] = [
        *map(json.loads, (tmp_path / "d.jsonl").read_text().split("\n")[:-1])
    ]
    turns = [turn for line in lines for turn in line.get("turns", [])]
    assert len(turns) == 5
    assert all(turn["max_tokens"] > 0 and turn["extra"]["ignore_eos"] for turn in turns)
    texts = [message["content"] for turn in turns for message in turn["messages"]]
    assert sum("Rain 1" in text for text in texts) == 1
    again = nlpu("run", "dag", "--input", "d.jsonl", "--engine", "scripted", "--json")
    assert json.loads(again.out)["result"]["requests"] == 5


def test_a_run_without_a_call_has_nothing_to_repeat(tmp_path: Path, nlpu: Terminal) -> None:
    (tmp_path / "p.py").write_text("def main() -> str:\n    return 'x'\n")
    name = json.loads(nlpu("run", "p.py:main", "--engine", "scripted", "--json").out)["run_id"]
    told = nlpu("show", name, "--dag", "d.jsonl")
    assert told.code == 2 and "sent no call" in told.err
    assert not (tmp_path / "d.jsonl").exists()
