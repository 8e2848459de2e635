"""``nlpu show RUN`` with --html, --trace, --dag or --otel: a run in other people's formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpu.printing import counted
from nlpu.runtime.terminal.files import write_file
from nlpu.runtime.terminal.output import say, write_json
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.edges import Shape, shape_of
from nlpu.runtime.terminal.show.perfetto import trace_of
from nlpu.runtime.terminal.show.report import report_of
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr


def export(record: Record, wanted: Mapping[str, Any], as_json: bool) -> None:
    """Write what is wanted, by kind: where to. Raises Usage, MissingPart, HostError."""
    lead_prints_to_stderr()
    told: dict[str, Any] = {"run_id": record.name}
    if "otel" in wanted:
        from nlpu.runtime.terminal.show.telemetry import send  # an extra, and slow to import

        told |= {"otel": wanted["otel"], "spans": send(record, wanted["otel"])}
        say(f"{told['spans']} spans went to {wanted['otel']}")
    if "dag" in wanted:
        told |= {"dag": str(wanted["dag"]), **_write_dag(record, wanted["dag"])}
    files = {kind: where for kind, where in wanted.items() if kind not in ("otel", "dag")}
    if files:
        shape = shape_of(record)
        told |= {kind: str(where) for kind, where in files.items()}
        told["partial"] = shape.partial
        if shape.partial:
            say(f"note: edges are partial, guessed from equal texts: {shape.partial}")
        for kind, where in files.items():
            _write(kind, where, record, shape)
    if as_json:
        write_json(told)


def _write_dag(record: Record, where: Path) -> dict[str, int]:
    from nlpu.runtime.terminal.show.dag import dag_of  # the scheduler, and a library of graphs

    found = dag_of(record)
    write_file(where, found.text())
    say(
        f"{counted(found.calls, 'call')} in {counted(len(found.lines), 'line')} are in {where}; "
        "replay them with nlpu run dag or AIPerf (--custom-dataset-type dag_jsonl)"
    )
    if found.forced:
        say(
            f"note: the format starts calls in rounds: of {found.ordered:,} pairs that wait for "
            f"each other there, {found.forced:,} did not in the run"
        )
    return {"calls": found.calls, "ordered": found.ordered, "forced": found.forced}


def _write(kind: str, where: Path, record: Record, shape: Shape) -> None:
    if kind == "html":
        write_file(where, report_of(record, shape))
        say(f"the report is in {where}; open it in any browser")
    else:
        write_file(where, json.dumps(trace_of(record, shape)))
        say(f"the trace is in {where}; open it at https://ui.perfetto.dev")
