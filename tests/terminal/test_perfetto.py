"""Traces by the rules of their formats: Chrome's trace events, and OpenTelemetry's spans."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kit import PATIENCE_S, Doomed, computer, finish, slow
from recorded_fixture import begun, program, recorded
from terminal_fixture import Terminal, nlpu

from nlpu.errors import ServerFault, Usage
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.show.archive import Record, find
from nlpu.runtime.terminal.show.edges import shape_of
from nlpu.runtime.terminal.show.perfetto import trace_of
from nlpu.runtime.terminal.show.timeline import timeline_of
from nlpu.testing.scripted import Say, Seen

__all__ = ["nlpu"]  # a fixture


def answer(seen: Seen) -> Say:
    return Say("yes" if "good" in seen.instruction else "a text", seconds=2.0)


def events_of(record: Record) -> dict[str, list[dict[str, Any]]]:
    """The events of a run's trace by phase, each checked for what the format asks of all."""
    trace = json.loads(json.dumps(trace_of(record, shape_of(record))))
    assert trace["displayTimeUnit"] in ("ms", "ns")
    found = defaultdict(list)
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str) and isinstance(event["ph"], str)
        assert all(isinstance(event[field], int) for field in ("pid", "tid", "ts"))
        assert event["ts"] >= 0
        found[event["ph"]].append(event)
    return found


def test_a_trace_keeps_the_rules_of_its_format(tmp_path: Path) -> None:
    events = events_of(recorded(tmp_path, answer))
    assert set(events) == {"M", "X", "C", "s", "f"}
    assert {event["name"] for event in events["M"]} == {
        "process_name",
        "thread_name",
        "thread_sort_index",
    }
    slices = events["X"]
    assert [event["name"] for event in slices] == ["shorten"] * 4 + ["good", "polish"]
    assert all(event["dur"] == 2_000_000 and event["cat"] == "call" for event in slices)
    by_slot = defaultdict(list)
    for event in slices:
        by_slot[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for times in by_slot.values():  # complete events of one thread may not overlap in part
        assert all(end <= start for (_, end), (start, _) in pairwise(times))
    counts = [(event["ts"], event["args"]["calls"]) for event in events["C"]]
    assert counts == [(0, 3), (2_000_000, 1), (4_000_000, 1), (6_000_000, 1), (8_000_000, 0)]


def test_arrows_leave_one_slice_and_arrive_at_another(tmp_path: Path) -> None:
    events = events_of(recorded(tmp_path, answer))
    arrivals = {event["id"]: event for event in events["f"]}
    assert len(arrivals) == len(events["s"]) == len(events["f"]) > 2
    for leaves in events["s"]:
        arrives = arrivals[leaves["id"]]
        assert (leaves["name"], leaves["cat"]) == (arrives["name"], arrives["cat"])
        assert arrives["bp"] == "e" and leaves["ts"] < arrives["ts"]
        for event in (leaves, arrives):
            assert any(
                one["tid"] == event["tid"] and one["ts"] <= event["ts"] < one["ts"] + one["dur"]
                for one in events["X"]
            )
    assert {event["cat"] for event in events["s"]} == {"data", "control"}


def test_a_call_that_is_sent_again_is_one_slice(tmp_path: Path) -> None:
    script = [ServerFault("busy"), Say("a text", seconds=2.0), Say("yes"), Say("end")]
    record = recorded(tmp_path, script, "tides", 1)
    events = events_of(record)
    assert len(events["X"]) == 3
    (again,) = events["i"]
    assert again["name"] == "sent again" and again["s"] == "t"
    assert events["X"][0]["ts"] < again["ts"] < events["X"][0]["ts"] + events["X"][0]["dur"]


def test_lives_follow_one_another(tmp_path: Path) -> None:
    spec, grave = program(tmp_path), tmp_path / "grave"
    engine = Doomed(slow(2.0), tmp_path / "runs", grave, at=4)
    with computer(engine, run_dir=tmp_path / "runs") as machine:
        run = begun(machine, spec, "tides")
        run.wait(PATIENCE_S)
    flights = timeline_of(find(grave, run.name)).flights
    assert [flight.ended for flight in flights] == ["done"] * 3 + ["open"]
    with computer(answer, run_dir=grave) as machine:
        finish(machine.resume(run.name, load(spec).function, "tides"))
    timeline = timeline_of(find(grave, run.name))
    cut, again = (f for f in timeline.flights if f.call.number == flights[-1].call.number)
    assert cut.ended == "open" and again.ended == "done"
    assert cut.end_ms <= timeline.life_ms <= again.start_ms
    assert timeline.in_flight()[-1][1] == 0


# -- OpenTelemetry -----------------------------------------------------------------------------


def spans_of(record: Record) -> Any:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from nlpu.runtime.terminal.show.telemetry import spans_of as made

    return made(record)


def test_spans_keep_the_conventions(tmp_path: Path) -> None:
    *calls, run = spans_of(recorded(tmp_path, answer))
    assert run.name == "invoke_workflow " + run.attributes["gen_ai.workflow.name"]
    assert len(calls) == 6 and run.parent is None
    for span in calls:
        assert span.parent.span_id == run.context.span_id
        assert span.kind.name == "CLIENT" and span.name == "text_completion scripted"
        assert run.start_time <= span.start_time < span.end_time <= run.end_time
        assert span.end_time - span.start_time == 2_000_000_000
        assert span.attributes["gen_ai.usage.input_tokens"] > 0
        assert span.attributes["gen_ai.provider.name"] == "nlpu"
    assert {span.attributes["gen_ai.output.type"] for span in calls} == {"text", "json"}
    assert "a text" not in "".join(span.to_json() for span in calls)  # no content


def test_a_failed_call_is_a_failed_span(tmp_path: Path) -> None:
    *calls, run = spans_of(recorded(tmp_path, {"good": "maybe", "Shorten": "a text"}))
    assert run.status.status_code.name == "ERROR"
    (bad,) = (span for span in calls if span.status.status_code.name == "ERROR")
    assert bad.attributes["error.type"] == "Malformed"


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP and keeps the names of what it got."""

    got: list[Any] = []  # noqa: RUF012  (of one test)

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        spans = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        self.got.append((self.path, spans))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_spans_go_to_a_collector_or_a_file(nlpu: Terminal, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    run: Any = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json
    with collector() as url:
        told = nlpu("show", run["run_id"], "--otel", url, "--json").json
    ((path, spans),) = Collector.got
    assert told["spans"] == len(spans) == 7 and path == "/v1/traces"
    assert nlpu("show", run["run_id"], "--otel", "spans.jsonl").code == 0
    lines = [json.loads(line) for line in Path("spans.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [span.name for span in spans]


def test_a_collector_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from nlpu.runtime.terminal.show.telemetry import send

    record = recorded(tmp_path, answer)
    with pytest.raises(Usage, match="no collector's URL"):
        send(record, "ftp://host")


def test_a_collector_that_does_not_answer_is_told_once(nlpu: Terminal) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    run: Any = nlpu("run", "ask", "What?", "--engine", "scripted", "--json").json
    command = [sys.executable, "-m", "nlpu.runtime.terminal", "show", run["run_id"]]
    ended = subprocess.run(
        [*command, "--otel", "http://127.0.0.1:1"],
        env={**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert "did not take the spans" in ended.stderr
