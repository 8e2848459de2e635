"""``nlpu show RUN --labels``: whose word each Value of a run is, and why a call was refused.

Theory of operation
-------------------
A journal holds no label, so the run is replayed on a copy. For each objection to a refused call the
graph is searched backwards from the call, along everything whose label breaks the same rule, until
something is met that brought this label into the run:

    main/0  read_file  brings it                 a driver, or a content with a label
    main    go         saw it at post.py:14      control: what is issued after that depends on it
    main/1  shorten    is issued after that
    main/2  send       reads it as 'to'          data

Rules
1. Of several paths a shortest is shown; data comes before control.
2. Nothing is shown that could drive a terminal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from nlpu.errors import ProgramError, Refused
from nlpu.label import USER, Label
from nlpu.ops.op import Call
from nlpu.printing import columns
from nlpu.runtime.computer import Computer
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import Drive
from nlpu.runtime.graph.node import Node, Scope
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.journal.edits import label_of_text
from nlpu.runtime.terminal import output
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import in_order
from nlpu.runtime.terminal.show.edges import replayed
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr
from nlpu.value import Value, peek_error, peek_label

_GROWN = ("map", "reduce")  # scopes that are no program: calls of a list's items
_MOST_NODES = 12  # listed, unless all are asked for
Breaks = Callable[[Label], bool]
Steps = tuple[dict[str, str], ...]


class Sighted(NamedTuple):
    """A scope as it was when it had issued so many nodes."""

    scope: Scope
    issued: int


class Arc(NamedTuple):
    """How a label came to a node or scope: from what (None: from outside the graph)."""

    giver: Node | Sighted | None
    how: str


def show_labels(record: Record, every: bool, as_json: bool) -> None:
    """Print refused calls with their reasons, and labels by node. Raises NlpuError."""
    lead_prints_to_stderr()
    try:
        told = {"run_id": record.name, **replayed(record, _told)}
    except (TimeoutError, sqlite3.Error, OSError) as error:
        raise ProgramError(f"the run {record.name} cannot be replayed: {error}") from error
    if as_json:
        output.write_json(told)
    else:
        for line in _lines(told, every):
            output.write(output.safe(line) + "\n")


def _told(computer: Computer, run: Run, arguments: dict[str, Any]) -> dict[str, Any]:

    nodes = sorted(state_of(run).root.subtree(), key=lambda node: in_order(node.issue_position))
    refused = [
        _refusal(node, error.call)
        for node in nodes
        if isinstance(error := peek_error(node), Refused) and error.call is not None
    ]
    labels = [_facts(node) for node in nodes if node.ready]
    return {"refused": refused, "result": str(run.label), "labels": labels}


def _facts(node: Node) -> dict[str, str]:
    return {"position": node.issue_position, "op": node.work_name, "label": str(peek_label(node))}


def _refusal(node: Node, call: Any) -> dict[str, Any]:
    exact: ExactCall = call
    objections = []
    for each in exact.objections:
        start = _given(node, each.argument)
        told = {"argument": each.argument, "role": each.role, "label": str(each.label)}
        objections.append({**told, "why": each.why, "path": _path(node, start, each.breaks)})
    return {"position": exact.position, "call": exact.text, "objections": objections}


def _given(node: Node, argument: str | None) -> list[Arc]:
    """What a refused call has from an argument, or from its scope."""
    given = None if argument is None else node.work_operands[node.node_work.names.index(argument)]
    arcs = [_taken(given, repr(argument))] if isinstance(given, Value) else []
    return arcs or [_issued(node)]


def _path(call: Node, start: list[Arc], breaks: Breaks) -> list[dict[str, str]]:
    """The steps of a shortest way from outside to the call, breadth first (rule 1)."""
    ways: list[tuple[Arc, Steps]] = [(arc, (_step(call, arc.how),)) for arc in start]
    met: set[int | tuple[int, int]] = set()
    for arc, steps in ways:  # it grows while it is walked
        place = arc.giver
        if place is None:
            return list(reversed(steps))
        which = id(place) if isinstance(place, Node) else (id(place.scope), place.issued)
        if which not in met:
            met.add(which)
            ways += [(into, (*steps, _step(place, into.how))) for into in _into(place, breaks)]
    return []


def _step(place: Node | Sighted, how: str) -> dict[str, str]:
    if isinstance(place, Node):
        return {**_facts(place), "how": how}
    scope = place.scope
    return {"position": scope.path, "op": scope.name, "label": str(scope.label), "how": how}


def _into(place: Node | Sighted, breaks: Breaks) -> Iterator[Arc]:
    """Where a label that breaks the rule came from."""
    if isinstance(place, Node):
        yield from _read(place, breaks)
        if isinstance(place.node_work, Drive) and breaks(place.node_work.driver.brings):
            yield Arc(None, "brings it")
        if _is_set(place, breaks):
            yield Arc(None, "is made of a text that --set gave")
        if place.inner_scope is not None and breaks(place.inner_scope.label):
            yield Arc(Sighted(place.inner_scope, place.inner_scope.issued), "is made in it")
        if breaks(place.issue_scope.label):
            yield _issued(place)
        return
    scope, issued = place
    for sight in scope.sights:
        if sight.issued <= issued and breaks(sight.label):
            what = "saw it" if sight.node is not None else "saw something of that label"
            how = "grew from it" if scope.name in _GROWN else f"{what} at {sight.line}"
            yield Arc(sight.node, how)
    grown = (
        [node for node in scope.parent.nodes if node.inner_scope is scope] if scope.parent else []
    )
    yield from (_issued(node)._replace(how="began after that") for node in grown)


def _is_set(node: Node, breaks: Breaks) -> bool:
    """Whether its result, or its op's text, is an edit that nobody vouches for."""
    ancestor = node.issue_scope.run.replay.ancestor
    if ancestor is None:
        return False
    edited = ancestor.was_edited(node.issue_position)
    label = ancestor.edits.label(node.issue_position) if edited else USER
    return breaks(label) or breaks(label_of_text(ancestor, node.node_work))


def _issued(node: Node) -> Arc:
    return Arc(Sighted(node.issue_scope, node.issue_ordinal), "is issued after that")


def _read(node: Node, breaks: Breaks) -> Iterator[Arc]:
    """What a node reads."""
    work, names = node.node_work, tuple[str, ...]()
    if isinstance(work, Call):
        names = tuple(repr(place.name) for place in work.op.operands)
    elif isinstance(work, Drive):
        names = tuple(map(repr, work.names))
    for name, operand in zip_longest(names, node.work_operands, fillvalue="a part"):
        for value in operand if type(operand) is list else (operand,):
            if isinstance(value, Value) and breaks(peek_label(value)):
                if node.issue_scope.name in _GROWN and not isinstance(value, Node):
                    yield Arc(Sighted(node.issue_scope, 0), f"reads a part of it as {name}")
                else:
                    yield _taken(value, name)


def _taken(value: Value[Any], name: str) -> Arc:
    if isinstance(value, Node):
        return Arc(value, f"reads it as {name}")
    return Arc(None, f"was given a text with that label as {name}")


def _lines(told: dict[str, Any], every: bool) -> Iterator[str]:
    for refused in told["refused"]:
        yield f"refused at {refused['position']}: {refused['call']}"
        for objection in refused["objections"]:
            yield f"- {objection['why']}"
            yield from _columns(objection["path"], ("position", "op", "how", "label"), "    ")
    below = [facts for facts in told["labels"] if every or facts["label"] != str(USER)]
    yield "labels:" if every else f"{len(below)} of {len(told['labels'])} nodes are not the user's:"
    shown = below if every else below[:_MOST_NODES]
    yield from _columns(shown, ("position", "op", "label"), "  ")
    if len(shown) < len(below):
        yield f"  ... and {len(below) - len(shown)} more (see them with --all)"
    yield f"the result is {told['result']}"


def _columns(rows: list[dict[str, str]], names: tuple[str, ...], indent: str) -> list[str]:
    width = output.console().width - len(indent)
    return [
        indent + line for line in columns([[row[n] for n in names] for row in rows], most=width)
    ]
