"""``nlpu show RUN --program``: a recorded run as a program in text, for ``nlpu run FILE.nl``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from nlpu.errors import ProgramError
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.plans.format import write
from nlpu.runtime.plans.plan import Outside, Plan
from nlpu.runtime.plans.trace import plan_of
from nlpu.runtime.terminal import output
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.edges import replayed
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr


def write_out(record: Record, as_json: bool) -> None:
    """Print the program's text, and say what is left out of it. Raises NlpuError."""
    lead_prints_to_stderr()

    def look(computer: Computer, run: Run, arguments: dict[str, Any]) -> Plan:

        return plan_of(state_of(run), arguments)

    try:
        plan = replayed(record, look)
    except (TimeoutError, sqlite3.Error, OSError) as error:
        raise ProgramError(f"the run {record.name} cannot be replayed: {error}") from error
    text, notes = write(plan), list(_notes(plan))
    for note in notes:
        output.say(f"note: {note}")
    output.write_result(as_json, {"run_id": record.name, "program": text, "notes": notes}, text)


def _notes(plan: Plan) -> Iterator[str]:
    outside = [thing for thing in plan.uses.values() if isinstance(thing, Outside)]
    functions = [thing.name for thing in outside if thing.kind == "function"]
    if functions:
        yield f"it runs only from Python, which gives it these functions: {', '.join(functions)}"
    drivers = [thing.name for thing in outside if thing.kind == "driver"]
    if drivers:
        yield f"whoever runs it gives it these drivers: {', '.join(drivers)}"
    if any(step.how == "sample" for step in plan.steps):
        yield "of votes the draw that won is written: run again, there is no vote"
    if any(getattr(thing, "reliability", None) for thing in plan.uses.values()):
        yield "how reliable its answers must be is not written: nlpu run --reliability"
    if any(step.given for step in plan.steps):
        yield "branches are written as they fell; a step whose condition does not hold fails"
