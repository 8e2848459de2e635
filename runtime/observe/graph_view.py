"""A run as a networkx graph, for looking and for programs that analyse runs.

Nodes are positions; attributes: ``op``, ``kind`` (call, lift, ...), ``state``, ``label``,
``estimate``, ``path_tokens``, ``path_s``, ``depth``, and for calls those of ``usage.Cost``. Edges
have ``kind``: "data" (reads its result) or "control" (issued after the program had seen it).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import networkx as nx

from nlpu.runtime.graph.node import Node
from nlpu.runtime.run import RunState
from nlpu.value import peek_error, peek_label


def graph_of(run: RunState) -> nx.DiGraph[str]:
    """Build the graph of everything issued so far."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    nodes = list(run.root.subtree())
    for node in nodes:
        graph.add_node(node.issue_position, **_attributes(node))
    for node in nodes:
        if node.control_cell is not None:
            for seen in node.control_cell.nodes():
                graph.add_edge(seen.issue_position, node.issue_position, kind="control")
        for value in node.data_edges():
            graph.add_edge(value.issue_position, node.issue_position, kind="data")
    return graph


def _attributes(node: Node) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "op": node.work_name,
        "kind": type(node.node_work).__name__.lower(),
        "state": _state_of(node),
        "label": str(peek_label(node)),
        "estimate": node.estimated_tokens,
        "path_tokens": node.path_tokens,
        "path_s": node.path_s,
        "depth": node.path_depth,
    }
    if node.call_cost is not None:
        facts |= asdict(node.call_cost)
    return facts


def _state_of(node: Node) -> str:
    if not node.ready:
        return "pending"
    return "done" if peek_error(node) is None else "failed"
