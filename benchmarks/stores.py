"""What a journal costs by where it is kept: ``python -m benchmarks.stores --store URL``.

The scripted engine answers at once, so what is left of a call is this runtime and its journal. For
each place (none, a folder, the database) in turn, round by round, medians:

    chain    one call after another: each waits for its commits, so time a call is their latency
    at once  all calls together: commits are few and large, so CPU a call is the cost of rows
    commits  of 32 rows by the store alone, without a runtime: transactions and rows a second

CPU is of this process with all its threads; that of the database's process, where it is on this
machine, is beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from benchmarks.database_cpu import database_cpu_s
from nlpu import MissingPart, op
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import opened, place_of, where_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database, Place
from nlpu.testing import Scripted

_ROWS = 32  # of a commit
echo: Any = op("Repeat the text.", str, name="echo")


def chain(count: int) -> str:
    text: Any = "a"
    for n in range(count):
        text = echo(f"{n} {text}"[:40])
    return str(text)


def at_once(count: int) -> int:
    return len(list(echo.map([f"text {n}" for n in range(count)])))


def of_run(place: Place | None, program: Callable[[int], Any], count: int) -> dict[str, float]:
    """Time and CPU of a call, in microseconds."""
    with Computer(Scripted("An answer of some words."), store=place) as computer:
        computer.run(program, 10)
        before = _now(place)
        computer.run(program, count)
        return _us(before, _now(place), count)


def of_commits(place: Place, count: int) -> dict[str, float]:
    """Time and CPU of a commit of 32 rows, in microseconds, and what that is a second."""
    body = "x" * 80
    where = where_of(place, f"bench{time.time_ns():x}")
    with closing(opened(where)) as store:
        log = RunLog(store, 1)
        before = _now(place)
        for n in range(count):
            for row in range(_ROWS):
                log.append("call", n, row, body)
            done = store.flush()
            if done is not None:
                done.result()
        found = _us(before, _now(place), count)
    return found | {"commits_s": 1e6 / found["us"], "rows_s": _ROWS * 1e6 / found["us"]}


def _now(place: Place | None) -> tuple[float, float, float]:
    return time.perf_counter(), time.process_time(), _database_cpu(place)


def _us(before: tuple[float, ...], after: tuple[float, ...], count: int) -> dict[str, float]:
    took = [1e6 * (b - a) / count for a, b in zip(before, after, strict=True)]
    return {"us": took[0], "cpu_us": took[1], "server_cpu_us": took[2]}


def _database_cpu(place: Place | None) -> float:
    """0 where it is none, or not on this machine."""
    with suppress(MissingPart):
        return database_cpu_s(place) if isinstance(place, Database) else 0.0
    return 0.0


def measured(places: dict[str, Place | None], rounds: int, calls: int) -> dict[str, Any]:
    """Medians of all rounds, by what was done and where."""
    kinds: dict[str, Callable[[Place | None], dict[str, float]]] = {
        "chain": lambda place: of_run(place, chain, calls),
        "at once": lambda place: of_run(place, at_once, calls * 4),
        "commits": lambda place: of_commits(place, calls) if place else {},
    }
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(rounds):
        for kind, measure in kinds.items():
            for name, place in places.items():
                found.setdefault(kind, {}).setdefault(name, []).append(measure(place))
    return {
        kind: {
            name: {key: statistics.median(each[key] for each in every) for key in every[0]}
            for name, every in by_place.items()
            if every[0]
        }
        for kind, by_place in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--store", required=True, help="postgresql://USER@HOST/NAME, to be written to"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places: dict[str, Place | None] = {
            "none": None,
            "folder": Path(folder),
            "database": place_of(given.store),
        }
        found = measured(places, given.rounds, given.calls)
    if given.json:
        json.dump(found, sys.stdout, indent=1)
        return
    for kind, by_place in found.items():
        for name, facts in by_place.items():
            told = "  ".join(f"{key} {value:9,.1f}" for key, value in facts.items())
            print(f"{kind:8} {name:9} {told}")


if __name__ == "__main__":
    main()
