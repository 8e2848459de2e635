"""What a worker more costs: ``python -m benchmarks.fleet --store URL [--workers 1,2]``.

A batch of runs of eight calls each, against a server that answers at once, or no faster than so
many calls a second, by one worker and by two, or by as many as are named. CPU is of the workers
with all their threads, and of the database with all its processes; what they need to begin is taken
out by carrying out two sizes of batch, and taking the difference. Rounds take turns; medians. Rows
and commits a second are of the larger batch, by the workers' own counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.database_cpu import database_cpu_s
from benchmarks.servers import instant_server
from nlpu import Fleet
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load

CALLS = 8  # of a run
PROGRAM = """
from nlpu import nlop

@nlop(max_tokens=32)
def step(text: str, number: int) -> str:
    '''Go on from the text.'''

def go(text: str) -> int:
    return len([str(each) for each in [step(text, n) for n in range(8)]])
"""


def carried_out(store: str, url: str, folder: Path, workers: int, runs: int) -> dict[str, float]:
    """Seconds, CPU seconds of the workers, and their rows and commits."""
    name = f"b{time.time_ns():x}"
    program = load(f"{folder / 'prog.py'}:go").function
    inputs = [f"{name} {n}" for n in range(runs)]
    place = place_of(store)
    assert isinstance(place, Database)
    before_s, before, database_s = time.perf_counter(), _cpu_s(), database_cpu_s(place)
    with Fleet(program, inputs, store=store, name=name, workers=workers, engine=url) as fleet:
        assert all(item.status == "done" for item in fleet)
    took = {"s": time.perf_counter() - before_s, "cpu_s": _cpu_s() - before}
    took["database_cpu_s"] = database_cpu_s(place) - database_s
    return took | _counted(place, name)


def _cpu_s() -> float:
    """Of children that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counted(database: Database, name: str) -> dict[str, float]:
    from nlpu.postgres.connection import connect

    query = """SELECT coalesce(sum(w.rows), 0)::int8, coalesce(sum(w.commits), 0)::int8
        FROM nlpu.worker w JOIN nlpu.journal j ON j.id = w.journal WHERE stem = %s"""
    with connect(database) as db:
        rows, commits = db.execute(query, (name,)).fetchone()
    return {"rows": rows, "commits": commits}


def measured(
    store: str, rounds: int, runs: int, calls_per_s: float, crews: tuple[int, ...] = (1, 2)
) -> dict[str, Any]:
    """Medians, by the number of workers."""
    found: dict[int, list[dict[str, float]]] = {workers: [] for workers in crews}
    with TemporaryDirectory() as name, instant_server("Some words.", calls_per_s) as url:
        folder = Path(name)
        (folder / "prog.py").write_text(PROGRAM)
        for _ in range(rounds):
            for workers, every in found.items():
                small = carried_out(store, url, folder, workers, runs // 4)
                large = carried_out(store, url, folder, workers, runs)
                more = {each: large[each] - small[each] for each in large}
                calls = CALLS * (runs - runs // 4)  # that these are more
                every.append(
                    {
                        "cpu_us_a_call": 1e6 * more["cpu_s"] / calls,
                        "database_cpu_us_a_call": 1e6 * more["database_cpu_s"] / calls,
                        "calls_s": CALLS * runs / large["s"],
                        "calls_s_when_begun": calls / more["s"],
                        "rows_s": large["rows"] / large["s"],
                        "commits_s": large["commits"] / large["s"],
                        "rows_a_commit": more["rows"] / more["commits"],
                    }
                )
    medians = {
        str(workers): {key: statistics.median(each[key] for each in every) for key in every[0]}
        for workers, every in found.items()
    }
    first, last = crews[0], crews[-1]
    both = zip(found[first], found[last], strict=True)
    ratio = statistics.median(b["cpu_us_a_call"] / a["cpu_us_a_call"] for a, b in both)
    return {"workers": medians, f"cpu of {last} to that of {first}": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="postgresql://USER@HOST/NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--calls-per-s", type=float, default=0.0, help="of the server; 0: no limit")
    parser.add_argument("--workers", default="1,2", help="how many, in turn")
    given = parser.parse_args()
    crews = tuple(map(int, given.workers.split(",")))
    found = measured(given.store, given.rounds, given.runs, given.calls_per_s, crews)
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
