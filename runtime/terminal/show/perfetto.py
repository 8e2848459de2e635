"""A recorded run in the trace event format that Perfetto and Chrome's tracing page read.

Theory of operation
-------------------
Each slot is a thread, each flight a complete event on it, and a flight's second and later attempts
are instant events. A counter says how many calls are in flight. An arrow goes to a call from each
that it read; where that went through other nodes (a map, a gather), from the one that ended last.

Rules
1. Times are microseconds of the run, its lives one after another.
2. An arrow leaves at the end of a flight and arrives at the start of another, later one.
"""

from __future__ import annotations

from typing import Any

from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import Call, calls_of
from nlpu.runtime.terminal.show.edges import Shape
from nlpu.runtime.terminal.show.timeline import Flight, timeline_of

_PROCESS = 1
_LONGEST_TEXT = 2000  # characters of a result in a slice's arguments

Event = dict[str, Any]


def trace_of(record: Record, shape: Shape) -> dict[str, Any]:
    """The whole trace as plain data."""
    timeline = timeline_of(record)
    flights = timeline.flights
    calls = {call.position: call for call in calls_of(record)}
    events = _names(record, flights)
    for flight in flights:
        events += _flight(flight, calls[flight.call.position])
    events += [
        _event("C", "calls in flight", at, 0, args={"calls": count})
        for at, count in timeline.in_flight()
    ]
    events += _arrows(flights, shape)
    facts = {"run": record.name, "program": record.title, "status": record.status}
    if shape.partial:
        facts["edges"] = f"partial: {shape.partial}"
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": facts}


def _event(kind: str, name: str, ms: int, slot: int, **more: Any) -> Event:
    return {"ph": kind, "name": name, "ts": ms * 1000, "pid": _PROCESS, "tid": slot, **more}


def _names(record: Record, flights: list[Flight]) -> list[Event]:
    named = [_event("M", "process_name", 0, 0, args={"name": f"{record.title} {record.name}"})]
    for slot in range(1 + max((flight.slot for flight in flights), default=-1)):
        named.append(_event("M", "thread_name", 0, slot, args={"name": f"slot {slot}"}))
        named.append(_event("M", "thread_sort_index", 0, slot, args={"sort_index": slot}))
    return named


def _flight(flight: Flight, call: Call) -> list[Event]:
    args = {**call.details(), "cached_tokens": call.cost.cached_tokens, "ended": flight.ended}
    args["text"] = call.text[:_LONGEST_TEXT]
    args["queue_ms"] = round(call.cost.queue_s * 1000)
    lasted = (flight.end_ms - flight.start_ms) * 1000
    whole = _event("X", call.op, flight.start_ms, flight.slot, cat="call", dur=lasted, args=args)
    again = [_event("i", "sent again", at, flight.slot, s="t") for at in flight.resent_ms]
    return [whole, *again]


def _arrows(flights: list[Flight], shape: Shape) -> list[Event]:
    import networkx as nx  # slow to import

    first: dict[str, Flight] = {}
    last: dict[str, Flight] = {}
    for flight in flights:
        first.setdefault(flight.call.position, flight)
        last[flight.call.position] = flight
    events: list[Event] = []
    behind: dict[str, Flight] = {}  # of each node, the flight that it waited for last
    for position in nx.topological_sort(shape.graph):
        came = [(behind[giver], kind) for giver, _, kind in shape.into(position) if giver in behind]
        if position in first:
            for giver, kind in came:
                events += _arrow(giver, first[position], kind, len(events))
            behind[position] = last[position]
        elif came:
            behind[position] = max((giver for giver, _ in came), key=lambda giver: giver.end_ms)
    return events


def _arrow(giver: Flight, reader: Flight, kind: str, number: int) -> list[Event]:
    if giver.end_ms > reader.start_ms:  # rule 2
        return []
    leaves = _event("s", kind, giver.end_ms, giver.slot, cat=kind, id=number)
    leaves["ts"] = max(giver.start_ms * 1000, giver.end_ms * 1000 - 1)  # within its slice
    return [leaves, _event("f", kind, reader.start_ms, reader.slot, cat=kind, id=number, bp="e")]
