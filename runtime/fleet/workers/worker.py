"""A worker: a process that works at a batch, as its facts say, until nothing of it is left.

Rules
1. Its program is found by name, and must be what the driver's is, by the digest of its file, and
   of what it imports beside it.
2. A secret is in no fact of a batch: the key for a server is read from the worker's environment.
3. Whatever ends it is told in its row, for whoever drives the batch, and on stderr.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import Any

from nlpu.errors import HostError, NlpuError, ProgramError, Usage, described
from nlpu.printing import one_line
from nlpu.processor import Limits, Price
from nlpu.prompt.convention import of_version
from nlpu.runtime.fleet.items import side_of
from nlpu.runtime.fleet.neighbours import differing, neighbours_in
from nlpu.runtime.fleet.workers.claims import Claims
from nlpu.runtime.fleet.workers.common import Commons
from nlpu.runtime.fleet.workers.sealed import check, check_same
from nlpu.runtime.fleet.workers.worker_loop import Shift, WorkingComputer
from nlpu.runtime.journal.header import source_digest
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import Program, file_of, load
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.settings import api_key


def work(
    database: Database, stem: str, name: str = "", *, seal: str = "", heed: bool = True
) -> int:
    """Work at a batch; gives how many outcomes were told. Raises what stopped it.

    seal: what must be known of what it runs (``sealed``). heed: end in order at SIGTERM, SIGINT.
    """
    claims, said = Claims(database, stem, name), ""
    try:
        return _carry_out(claims, seal, heed)
    except BaseException as error:
        typed = (
            error if isinstance(error, NlpuError) else HostError(f"it ended by {described(error)}")
        )
        said = json.dumps([type(typed).__name__, str(typed), side_of(typed)])
        raise
    finally:
        claims.close(said)


def _carry_out(claims: Claims, seal: str, heed: bool) -> int:
    facts = claims.facts()
    check(facts, seal)
    program = found(facts)
    computer = computer_of(facts, claims)
    with computer:
        computer.station.open(claims.stem)
        _check_same(facts, claims, program, computer)
        server = facts["engine"] if str(facts["engine"]).startswith("http") else ""
        commons = Commons(claims, Budget(**facts["budget"]), server)
        shift = Shift(
            computer,
            program.function,
            claims,
            commons,
            at_once=facts.get("at_once", 0),
            workers=facts.get("workers", 1),
            header=facts["header"],
            changed=facts.get("changed", False),
        )
        if heed:
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.signal(each, lambda *_: setattr(shift, "leaving", True))
        shift.carry_out()
        return shift.ended


def found(facts: dict[str, Any]) -> Program:
    """Load the batch's program (rule 1). Raises Usage, ProgramError."""
    spec, digest = facts["header"]["program"], facts["header"].get("file", "")
    file, was = file_of(spec), facts.get("neighbours")
    if was is not None and file is not None and file.is_file():
        others = differing(was, neighbours_in(file))  # before any of it is run
        if others:
            raise Usage(
                f"what the program {spec} of this batch imports is not the same on this worker as "
                f"where the batch was begun: {others}. Bring it up to date there, or begin again"
            )
    try:
        return load(spec, only=digest)
    except Usage as error:
        raise Usage(
            f"the program {spec} of this batch cannot be found on this worker: "
            f"{one_line(str(error), 200)}. Put its file there, at the same place, as it is where "
            "the batch was begun"
        ) from None
    except ProgramError as error:
        if "changed while" not in str(error):
            raise
        raise Usage(
            f"the program {spec} is another on this worker than where the batch was begun; bring "
            "its file up to date, then run the same command again (--changed if it is meant to be "
            "new)"
        ) from None


def computer_of(facts: dict[str, Any], claims: Claims) -> WorkingComputer:
    """Make the computer that the batch is to be carried out on."""
    price, most = facts.get("price"), facts.get("in_flight")
    return WorkingComputer(
        facts["engine"],
        model=facts.get("model"),
        api_key=api_key(),
        store=claims.joined,
        prices=None if price is None else {"main": Price(**price)},
        limits=Limits(max_in_flight=most) if most else Limits(),
        system=facts.get("system"),
        convention=of_version(facts["convention"]) if facts.get("convention") else None,
        sheets=facts.get("sheets"),
    )


def _check_same(
    facts: dict[str, Any], claims: Claims, program: Program, computer: WorkingComputer
) -> None:
    """Raises Usage where it would not go on with what the batch was begun with."""
    now = {
        "source": source_digest(program.function),
        "processors": computer.station.facts({})["processors"],
    }
    if not facts.get("changed"):
        check_same(facts, now, claims.stem)
    claims.note(**now)


def main(say: Callable[[str], object]) -> int:
    """``python -m nlpu.runtime.fleet.workers BATCH NAME SEAL``; NLPU_RUN_DIR names its store."""
    from nlpu.runtime.settings import read

    place = read(("run_dir",)).run_dir
    _, stem, name, seal = sys.argv
    try:
        if not isinstance(place, Database):
            raise Usage("a worker's batch is in a database: name it by NLPU_RUN_DIR")
        work(place, stem, name, seal=seal)
    except NlpuError as error:
        say(f"{type(error).__name__}: {error}")
        return error.exit_code
    return 0
