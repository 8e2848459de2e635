"""``python -m benchmarks.peers``: the programs of ``nlpu bench programs`` in other frameworks.

Against the fake server that steps like a GPU's, and against --engine if that is a server. LangGraph
and DSPy need an environment of their own (``make peers``), and all of it a quarter of an hour.
"""

from __future__ import annotations

from typing import Any

import typer

from benchmarks.command import carry_out
from benchmarks.gates import at_least
from benchmarks.peers.running import CHEAPER, FASTER, GPU, OURS, against, peers_python, versions
from benchmarks.peers.work import FULL, QUICK
from benchmarks.servers import scripted_server
from nlpu import Computer
from nlpu.runtime.bench.programs import FLAGS, facts_of
from nlpu.runtime.bench.programs_standard import Whole
from nlpu.runtime.bench.programs_work import ON_CPU, SMALL, Size
from nlpu.runtime.bench.report import median_of, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Quick, Where, deliver, processor
from nlpu.runtime.bench.servers import Served, Target, target

app = typer.Typer(add_completion=False)


@app.command(help="The same programs in LangGraph, in DSPy and here.")
def command(
    engine: Where = None,
    model: Model = None,
    quick: Quick = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    python = peers_python()
    with target(*processor(engine, model), *FLAGS) as found:
        figures = compared(found, python, quick=quick)
    deliver("peers", figures, tables, as_json=as_json, output=output)


def compared(found: Target, python: str, *, quick: bool) -> dict[str, Any]:
    """All frameworks, against the server that steps like a GPU's and the target if it is one."""
    with Computer(Whole(found.open(1))) as computer:
        facts = facts_of(found, computer, quick)
    facts["versions"] |= versions(python)
    size, repeats = (QUICK, 2) if quick else (FULL, 3)
    with scripted_server("--gpu", GPU, "--full", "--window", "16384") as url:
        rows = _against("fake GPU", Served(url, None), "fault-1", size, repeats, python)
    if found.served is not None:
        size, repeats = (SMALL, 1) if quick else (ON_CPU, 3)
        rows += _against(found.name, found.served, facts["model"], size, repeats, python)
    return {"peers": rows, **facts}


def _against(
    name: str, served: Served, model: str, size: Size, repeats: int, python: str
) -> list[dict[str, Any]]:
    from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

    say(f"measuring the frameworks on {name} ...")
    rows = against(served, model, size, repeats, python)
    return [{**row, "server": name, "name": f"{name} {row['name']}"} for row in rows]


# -- printing --------------------------------------------------------------------------------------


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    print(f"engine: {figures['engine']}; model: {figures['model']}; seeds: {figures['seed']}")
    for server in dict.fromkeys(row["server"] for row in figures["peers"]):
        rows = [row for row in figures["peers"] if row["server"] == server]
        gated = server == "fake GPU"
        show(
            f"The same programs in other frameworks, on {server}"
            + (f" (times ours: seconds >= {FASTER:g}, CPU >= {CHEAPER:g})" if gated else ""),
            (
                "calls",
                "seconds",
                "x ours",
                "steps",
                "tokens in",
                "cached",
                "out",
                "CPU ms",
                "x ours",
            ),
            [_peer_cells(row, gated) for row in rows],
        )


def _peer_cells(row: dict[str, Any], gated: bool) -> tuple[Any, ...]:
    wall, cpu = round(row["wall_s_over_ours"], 2), round(row["cpu_s_over_ours"], 1)
    peer = row["who"] != OURS
    return (
        f"{row['calls']:,} {row['program']} {row['who']}",
        median_of(row["wall_s"]),
        "" if not peer else at_least(wall, FASTER) if gated else f"{wall:g}",
        *(f"{row[name]['median']:,.0f}" for name in ("steps", "prompt_tokens", "cached_tokens")),
        f"{row['completion_tokens']['median']:,.0f}" + ("" if row["as_asked"] else " (!)"),
        row["cpu_ms_per_call"],
        "" if not peer else at_least(cpu, CHEAPER) if gated else f"{cpu:g}",
    )


if __name__ == "__main__":
    carry_out(app)
