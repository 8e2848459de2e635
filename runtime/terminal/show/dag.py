"""A recorded run as AIPerf's ``dag_jsonl``: its requests, and which of them waits for which.

Theory of operation
-------------------
Each line of the file is a session: requests one after the other, each with its whole messages.
What joins sessions there is a tree with joins, and a run is any graph. So calls that only follow
each other are one session; sessions that nothing joins are by themselves; and of those that others
wait for, an orchestrator (a session without requests) starts one round after the other, each when
the round before has ended.

Rules
1. Every call that was sent is in the file once, and waits for all that it waited for in the run.
2. A round waits for the whole round before it. What waits for more than it did is counted
   (``Dag.forced``), and whoever writes the file says so.
3. Requests ask for as many tokens as the run's answers had, and for no end before that: what is
   repeated is the load, not the answers. Failed attempts are not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpu.errors import Usage
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import calls_of

if TYPE_CHECKING:
    import networkx as nx


ISOLATED = "message_array_with_responses"  # each request stands for itself
Session = tuple[str, ...]  # positions of calls, one after the other


class Dag(NamedTuple):
    """The lines of the file; how many pairs of calls wait for each other in it, and of these how
    many did not in the run."""

    lines: list[dict[str, Any]]
    calls: int
    ordered: int
    forced: int

    def text(self) -> str:
        """As JSON lines."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)


def dag_of(record: Record) -> Dag:
    """Make the file of a run, by a replay. Raises NlpuError, TimeoutError."""
    from nlpu.runtime.terminal.show.edges import replayed

    def look(computer: Computer, run: Run, arguments: dict[str, Any]) -> Dag:
        requests = _requests(record, computer, run)
        if not requests:
            raise Usage(f"the run {record.name} sent no call: there is nothing to repeat")
        return laid_out(record.name, requests, _between(run.graph, requests))

    return replayed(record, look)


def _requests(record: Record, computer: Computer, run: Run) -> dict[str, dict[str, Any]]:
    """What each call sent, by its position."""
    from nlpu.runtime.graph.node import Node

    state, found = state_of(run), {}
    ops = {
        node.issue_position: node.node_work.op
        for node in state.root.subtree()
        if isinstance(node, Node) and node.issue_position in record.past.calls
    }
    for call in calls_of(record):
        if not call.made or not call.cost.completion_tokens:
            continue
        op = ops[call.position]
        processor = computer.processors[op.processor or next(iter(computer.processors))]
        speaking = processor.speaking(state.convention)
        texts = [record.texts[number] for number in call.past.texts]
        turns = speaking.codec.turns(op, texts, speaking.convention)
        found[call.position] = {
            "messages": [
                {
                    "role": turn.role,
                    "content": "".join(p if isinstance(p, str) else texts[p] for p in turn.pieces),
                }
                for turn in turns
            ],
            "max_tokens": call.cost.completion_tokens,
            "extra": {"ignore_eos": True, "temperature": op.sampling.temperature or 0.0},
        }
    return found


def _between(graph: nx.DiGraph[str], calls: Iterable[str]) -> nx.DiGraph[str]:
    """Which call waits for which, past what lies between them."""
    import networkx as nx

    found: nx.DiGraph[str] = nx.DiGraph()
    found.add_nodes_from(calls)
    for reader in found:
        stack, seen = list(graph.predecessors(reader)), set[str]()
        while stack:
            giver = stack.pop()
            if giver in found:
                found.add_edge(giver, reader)
            elif giver not in seen:
                seen.add(giver)
                stack += graph.predecessors(giver)
    return reduced(found)


def reached(waits: nx.DiGraph[str]) -> dict[str, int]:
    """Each call and all that it waits for, as bits; its own is the highest."""
    import networkx as nx

    found = dict[str, int]()
    for place, call in enumerate(nx.topological_sort(waits)):
        found[call] = reduce(or_, (found[giver] for giver in waits.predecessors(call)), 1 << place)
    return found


def reduced(waits: nx.DiGraph[str]) -> nx.DiGraph[str]:
    """Take out what waits for another call that waits for the same."""
    found = reached(waits)
    for call in waits:
        passed = 0
        for giver in sorted(waits.predecessors(call), key=found.__getitem__, reverse=True):
            if passed | found[giver] == passed:
                waits.remove_edge(giver, call)
            passed |= found[giver]
    return waits


# -- the layout --------------------------------------------------------------------------------


def laid_out(name: str, requests: Mapping[str, Any], waits: nx.DiGraph[str]) -> Dag:
    """Give the file of requests, by position; ``waits``: which call waits for which."""
    import networkx as nx

    lines: list[dict[str, Any]] = []
    place, ordered = {call: number for number, call in enumerate(requests)}, 0
    parts = [sorted(part, key=place.__getitem__) for part in nx.weakly_connected_components(waits)]
    for number, part in enumerate(sorted(parts, key=lambda part: place[part[0]])):
        rounds = _rounds(waits.subgraph(part).copy(), place)  # in a view counting is slow
        if len(rounds) > 1:
            spawns = [{"spawns": [_called(name, each) for each in row]} for row in rounds]
            lines.append({"session_id": f"{name}#{number}", "orchestrator": True, "rounds": spawns})
        lines += [
            {
                "session_id": _called(name, each),
                "context_mode": ISOLATED,
                "turns": [requests[call] for call in each],
            }
            for row in rounds
            for each in row
        ]
        ordered += _pairs(rounds)
    real = sum(bits.bit_count() - 1 for bits in reached(waits).values())
    return Dag(lines, len(place), ordered, ordered - real)


def _called(name: str, session: Session) -> str:
    return f"{name}:{session[0]}"


def _rounds(waits: nx.DiGraph[str], place: Mapping[str, int]) -> list[list[Session]]:
    """Sessions by the longest way to them."""
    import networkx as nx

    heads = [call for call in sorted(waits, key=place.__getitem__) if _before(waits, call) is None]
    sessions = {head: _session(waits, head) for head in heads}
    head_of = {call: head for head, session in sessions.items() for call in session}
    level: dict[str, int] = {}
    for call in nx.topological_sort(waits):
        head = head_of[call]
        if call == head:
            level[head] = 1 + max((level[head_of[b]] for b in waits.predecessors(call)), default=-1)
    rows: list[list[Session]] = [[] for _ in range(1 + max(level.values()))]
    for head in heads:
        rows[level[head]].append(sessions[head])
    return rows


def _before(waits: nx.DiGraph[str], call: str) -> str | None:
    """The call that this one alone waits for, and that nothing else waits for."""
    if waits.in_degree(call) != 1:
        return None
    (giver,) = waits.predecessors(call)
    return giver if waits.out_degree(giver) == 1 else None


def _session(waits: nx.DiGraph[str], head: str) -> Session:
    found = [head]
    while (readers := list(waits.successors(found[-1]))) and _before(waits, readers[0]):
        found.append(readers[0])
    return tuple(found)


def _pairs(rounds: list[list[Session]]) -> int:
    """How many pairs of calls wait for each other."""
    before = found = 0
    for row in rounds:
        for session in row:
            found += len(session) * before + len(session) * (len(session) - 1) // 2
        before += sum(map(len, row))
    return found
