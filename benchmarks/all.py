"""``benchmarks.all``: the benchmarks of one processor, into one result.

Throughput and programs share one engine or server; then the overhead of this runtime.
"""

from __future__ import annotations

import time
from typing import Any

import typer

from benchmarks.command import carry_out
from benchmarks.overhead import __main__ as overhead
from nlpu.runtime.bench import programs, throughput
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Plot, Quick, Where, deliver, processor
from nlpu.runtime.bench.servers import target
from nlpu.runtime.bench.throughput_profiles import PROFILES
from nlpu.runtime.bench.throughput_runs import FLAGS, FULL, QUICK, measure

app = typer.Typer(add_completion=False)


@app.command(help="Throughput, programs and overhead of one processor, in one result.")
def command(
    engine: Where = None,
    model: Model = None,
    quick: Quick = False,
    as_json: AsJson = False,
    output: Output = None,
    plot: Plot = None,
) -> int:
    figures = everything(*processor(engine, model), quick=quick)
    deliver("all", figures, tables, as_json=as_json, output=output, plot=plot)
    return throughput.code_of(figures["throughput"])


def everything(engine: str, model: str | None, *, quick: bool = False) -> dict[str, Any]:
    """Everything the command prints. Raises MissingPart, Unreachable."""
    start = time.perf_counter()
    with target(engine, model, *FLAGS) as found:
        rates = measure(found, tuple(PROFILES), QUICK if quick else FULL, quick=quick)
        whole = programs.measure(found, quick=quick)
    cost = overhead.overhead(1, overhead.QUICK_SIZES, long=False) if quick else overhead.overhead()
    figures = {"throughput": rates, "programs": whole, "overhead": cost}
    same = {name: rates[name] for name in ("engine", "model", "window", "quick", "flags", "seed")}
    return {**circumstances(**same), **figures, "minutes": (time.perf_counter() - start) / 60}


def tables(figures: dict[str, Any]) -> None:
    """Every benchmark's own tables."""
    parts = {"throughput": throughput, "programs": programs, "overhead": overhead}
    for name, bench in parts.items():
        if name in figures:
            print(f"\n=== {name} ===\n")
            bench.tables(figures[name])
    print(f"\n{figures['minutes']:.1f} minutes in all")


if __name__ == "__main__":
    carry_out(app)
