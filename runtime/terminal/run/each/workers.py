"""``--each`` in a database: the same batch, carried out by workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nlpu.runtime.fleet.driving.crew import Crew
from nlpu.runtime.fleet.driving.fleet import hands_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.terminal.output import say

if TYPE_CHECKING:
    from nlpu.runtime.fleet.plan import Entry, Plan
    from nlpu.runtime.terminal.run.each.batch_job import BatchJob


def crew(job: BatchJob, entries: Iterable[Entry | None], plan: Plan) -> Crew:
    """Make the batch that a command asks for. Raises Usage, MissingPart."""
    machine, database = job.machine, job.machine.run_dir
    assert isinstance(database, Database)
    facts: dict[str, Any] = {
        "header": dict(plan.facts),
        "engine": machine.engine,
        "model": machine.model,
        "price": None if machine.price is None else asdict(machine.price),
        "system": machine.system,
        "convention": machine.convention,
        "sheets": None if machine.sheets is None else str(machine.sheets),
    }
    hands = hands_of(database, plan.name, job.asked.ray, lambda text: say(f"note: {text}"))
    return Crew(
        job.program.function,
        entries,
        plan,
        database,
        facts,
        hands=hands,
        workers=job.asked.workers or 1,
    )
