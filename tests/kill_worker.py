"""A process that runs, resumes or replays one run, made to be killed: ``python kill_worker.py``.

It imports what it needs, then reads orders (lines of JSON) and prints what came of each as a line.
So a test can have the next process ready while it kills this one, and the moment of the kill falls
into the run and not into the imports. Nothing is left behind: it ends when its stdin closes.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kill_programs import ACTS, SHAPES, acts
from pydantic_core import to_json

from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import NlpuError
from nlpu.processor import Limits
from nlpu.runtime.computer import Computer
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from nlpu.testing.scripted import Scripted

IN_FLIGHT = 24


@dataclass(frozen=True, slots=True)
class Order:
    """What to do.

    url:        of the server; "scripted" is the engine in the process.
    name:       the run to resume; None starts one.
    file_bytes: the largest file that may be written: a disk that is full.
    nobody:     do it as a user who may write nothing here.
    lease_s:    of a journal in a database.
    """

    url: str
    run_dir: str
    shape: str
    size: int
    name: str | None = None
    replay: bool = False
    file_bytes: int | None = None
    nobody: bool = False
    lease_s: float | None = None

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def live(order: Order) -> dict[str, Any]:
    """Do it and say what came of it."""
    program = {**SHAPES, "acts": acts}[order.shape]
    scripted = order.url == "scripted"
    engine = Scripted() if scripted else HttpEngine(order.url, max_in_flight=IN_FLIGHT)
    limits = Limits(max_in_flight=IN_FLIGHT)
    try:
        with Computer(engine, store=_place(order), limits=limits, person=LOOKS) as computer:
            if order.name is None:
                run = computer.run(program, order.size)
            else:
                run = computer.resume(order.name, program, order.size, replay=order.replay).wait()
            error = run.error
            return {
                "name": run.name,
                "status": run.status,
                "result": None if error else to_json(run.result).decode(),
                "calls": run.receipt.calls,
                "reused": run.receipt.reused,
                "error": None if error is None else f"{type(error).__name__}: {error}",
            }
    except NlpuError as error:
        return {"status": "refused", "error": f"{type(error).__name__}: {error}"}


def _place(order: Order) -> Any:
    place = place_of(order.run_dir)
    if order.lease_s is not None and isinstance(place, Database):
        return replace(place, lease_s=order.lease_s)
    return place


def _looks(call: ExactCall) -> Any:
    """Say what became of an effect, as a person who goes and looks."""
    done = Path(os.environ[ACTS]).read_text().split()
    return "done" if str(json.loads(call.arguments)["number"]) in done else "again"


LOOKS = ScriptedPerson(settle=_looks)


@contextmanager
def limited(order: Order) -> Iterator[None]:
    """In a process of its own: take away what the order says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    user = os.geteuid()
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, hard))
    if order.nobody and user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def main() -> None:
    faulthandler.enable()
    for line in sys.stdin.buffer:
        order = Order(**json.loads(line))
        with limited(order):
            outcome = live(order)
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
