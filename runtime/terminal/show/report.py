"""A recorded run as one HTML file that any browser opens, offline.

Theory of operation
-------------------
The file is a template with its style, its script and the run's data as JSON. The script draws the
graph and the timeline, shows prompts and results, and searches in them. What models wrote is data:
it stands in a block that browsers do not execute, with ``<`` written as an escape, and the script
puts it on the page as text nodes only. A policy in the page names the one style and the one script
by hash, so even a mistake in either rule could run and load nothing.

Rules
1. No external resource, no markup made of data.
2. Every node and every call up to ``MOST``; of a larger run the graph is drawn by op and layer,
   the first calls are listed, and the report says so. The timeline is whole.
3. A layer is the longest path that leads to a node, so edges always point to the right.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any, Generic, TypeVar

from nlpu.printing import figure
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import Call, calls_of, in_order, sums_of
from nlpu.runtime.terminal.show.edges import Layout, Shape
from nlpu.runtime.terminal.show.timeline import timeline_of

MOST = 12_000
Part = TypeVar("Part")
_COSTS = {
    "calls": "calls",
    "failed": "failed",
    "retries": "sent again",
    "prompt_tokens": "tokens in",
    "cached_tokens": "of them cached",
    "completion_tokens": "tokens out",
    "service_s": "service, s",
    "queue_s": "in queue, s",
}


def report_of(record: Record, shape: Shape, most: int = MOST) -> str:
    """The whole file."""
    page, style, script = (_part(kind) for kind in ("html", "css", "js"))
    filled = {
        "{style_hash}": _hash(style),
        "{script_hash}": _hash(script),
        "{style}": style,
        "{script}": script,
        "{data}": json.dumps(data_of(record, shape, most)).replace("<", "\\u003c"),
    }
    marks = re.compile("|".join(map(re.escape, filled)))
    return marks.sub(lambda mark: filled[mark[0]], page)  # in one pass: a mark in data is only text


def _part(kind: str) -> str:
    return (
        files("nlpu.runtime.terminal.show").joinpath(f"report.{kind}").read_text(encoding="utf-8")
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def data_of(record: Record, shape: Shape, most: int = MOST) -> dict[str, Any]:
    """Everything the page shows, as plain data; of a run larger than ``most``, less (rule 2)."""
    calls = calls_of(record)
    listed, sums = calls[:most], sums_of(calls)
    texts, layouts = _Kept[int](), _Kept[Layout]()
    places = {call.position: i for i, call in enumerate(listed)}
    return {
        "run": {
            "name": record.name,
            "program": record.title,
            "about": _about(record),
        },
        "figures": _figures(record, sums[-1]),
        "notes": _notes(shape, len(calls), most),
        "ops": [
            {"name": op.name, "text": record.texts[op.text]}
            for _, op in sorted(record.past.ops.items())
        ],
        "calls": [_row(call, shape, texts, layouts) for call in listed],
        "layouts": [asdict(each) for each in layouts.places],
        "flights": _flights(record, places),
        **_drawn(record, shape, places, most),
        "costs": [["op", *_COSTS.values()], [_cost(line) for line in sums]],
        "forced": [
            [each[name] for name in ("line", "times", "seconds")]
            for each in (record.receipt or {}).get("forced", [])
        ],
        "texts": [record.texts[number] for number in texts.places],  # those of the rows above
    }


class _Kept(Generic[Part]):
    """What the page needs of a kind, each once: texts by their numbers, layouts of prompts."""

    def __init__(self) -> None:
        self.places: dict[Part, int] = {}

    def place(self, part: Part | None) -> int:
        """Where it is in the page; -1 for what there is not."""
        return -1 if part is None else self.places.setdefault(part, len(self.places))


def _about(record: Record) -> str:
    header = record.past.header
    began = datetime.fromtimestamp(record.started_s).astimezone().isoformat(" ", "minutes")
    models = ", ".join(str(name).partition("|")[0] for name in header["processors"].values())
    facts = [f"run {record.name}", record.status, f"started {began}", f"on {models}"]
    facts += [f"edited from run {record.origin}"] if record.origin else []
    end = record.past.end
    return ", ".join(facts) + (f". {': '.join(end.error)}" if end is not None and end.error else "")


def _figures(record: Record, whole: dict[str, Any]) -> list[tuple[str, str]]:
    receipt = record.receipt or {}
    cached = whole["cached_tokens"] / (whole["prompt_tokens"] or 1)
    return [
        ("calls", f"{whole['calls']:,}"),
        ("nlops", figure(whole["nlops"])),
        ("tokens in", f"{whole['prompt_tokens']:,}"),
        ("cached", f"{cached:.0%}"),
        ("tokens out", f"{whole['completion_tokens']:,}"),
        ("seconds", figure(record.seconds)),
        *((name, figure(receipt[name])) for name in ("parallelism", "depth") if name in receipt),
        *((_COSTS[name], f"{whole[name]:,}") for name in ("retries", "failed") if whole[name]),
    ]


def _notes(shape: Shape, calls: int, most: int) -> list[str]:
    notes = []
    if shape.partial:
        notes.append(
            f"Edges are partial, guessed from equal texts, because the program could not be "
            f"replayed: {shape.partial}. Labels and exact prompts are not known."
        )
    if calls > most:
        notes.append(f"Of {calls:,} calls the first {most:,} are listed and searched.")
    return notes


def _row(call: Call, shape: Shape, texts: _Kept[int], layouts: _Kept[Layout]) -> list[Any]:
    cost, node = call.cost, shape.graph.nodes.get(call.position, {})
    result = texts.place(call.result or None)
    return [
        call.position,
        call.past.op,
        call.state,
        node.get("label", ""),
        [texts.place(text) for text in call.past.texts],
        result,
        "" if call.result else call.text,
        cost.prompt_tokens,
        cost.completion_tokens,
        cost.cached_tokens,
        int(cost.service_s * 1000),
        int(cost.queue_s * 1000),
        cost.attempts,
        cost.again,
        layouts.place(shape.layouts.get(call.position)),
    ]


def _flights(record: Record, places: dict[str, int]) -> list[list[Any]]:
    return [
        [
            places.get(flight.call.position, -1),
            flight.call.op,
            flight.start_ms,
            flight.end_ms,
            flight.slot,
            flight.ended,
            flight.resent_ms,
        ]
        for flight in timeline_of(record).flights
    ]


def _cost(line: dict[str, Any]) -> list[str]:
    return [line["name"], *(f"{round(line[name], 1):,}" for name in _COSTS)]


# -- the graph ---------------------------------------------------------------------------------


def _drawn(record: Record, shape: Shape, listed: dict[str, int], most: int) -> dict[str, Any]:
    """Nodes [position, op, layer, call, kind, count], and edges [from, to, 1 if by control]."""
    import networkx as nx  # slow to import

    graph = shape.graph
    layers = {
        position: layer
        for layer, generation in enumerate(nx.topological_generations(graph))
        for position in generation
    }
    ops = {op.name: number for number, op in record.past.ops.items()}
    kinds = {at: (facts.get("kind", ""), facts.get("op", "")) for at, facts in graph.nodes.items()}
    summarised = len(graph) > most
    nodes: Counter[tuple[Any, ...]] = Counter()
    place: dict[str, tuple[Any, ...]] = {}
    for at in sorted(graph, key=in_order):
        kind, name = kinds[at]
        op, call = ops.get(name, -1) if kind == "call" else -1, listed.get(at, -1)
        one = (name, op, layers[at], -1, kind) if summarised else (at, op, layers[at], call, kind)
        place[at] = one
        nodes[one] += 1
    rank = {node: i for i, node in enumerate(nodes)}
    edges = {
        (rank[place[giver]], rank[place[reader]], int(facts["kind"] == "control"))
        for giver, reader, facts in graph.edges(data=True)
    }
    told = f"{len(graph):,} nodes, {graph.number_of_edges():,} edges"
    return {
        "nodes": [[*node, count] for node, count in nodes.items()],
        "edges": sorted(edges),
        "graph": told + (", summarised by op and layer" if summarised else ""),
    }
