"""``nlpu bench programs``: whole programs, their bounds, their prompts, and other frameworks.

    makespans   of the standard programs against work and span   ``programs_standard``
    quality     one big prompt against many small ones           ``programs_quality``
    peers       the same programs in LangGraph and DSPy          ``programs_peers``, ``peers/``

Rules
1. Every part prints what it found, met or not.
2. The peers are measured only when asked for, and then alone: they need an environment of their own
   and a quarter of an hour.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from benchmarks.peers.ours import Whole
from benchmarks.peers.running import (
    CHEAPER,
    FASTER,
    GPU,
    OURS,
    against,
    peers_python,
    versions,
)
from nlpu import Computer
from nlpu.runtime.bench.programs_quality import SEED as FACTS_SEED
from nlpu.runtime.bench.programs_quality import quality
from nlpu.runtime.bench.programs_standard import standard
from nlpu.runtime.bench.programs_work import FULL, ON_CPU, QUICK, SEED, Size
from nlpu.runtime.bench.report import at_least, circumstances, median_of, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Plot, Quick, Where, deliver, processor
from nlpu.runtime.bench.servers import Served, Target, scripted_server, target

FLAGS = ("--max-model-len", "4096", "--max-num-seqs", "16")
IN_FLIGHT = 16
SMALL = Size(4, 3, 4, 3, short=6, long=32, text=40)
app = typer.Typer(add_completion=False)

Peers = Annotated[bool, typer.Option("--peers", help="Beside LangGraph and DSPy (`make peers`).")]


@app.command(help="Makespans against bounds, big prompts against small ones, other frameworks.")
def command(
    engine: Where = None, model: Model = None, peers: Peers = False, quick: Quick = False,
    as_json: AsJson = False, output: Output = None, plot: Plot = None,
) -> None:  # fmt: skip
    figures = programs(*processor(engine, model), peers=peers, quick=quick)
    deliver("programs", figures, tables, as_json=as_json, output=output, plot=plot)


def programs(
    engine: str = "local", model: str | None = None, *, peers: bool = False, quick: bool = False
) -> dict[str, Any]:
    """Everything the command prints. Raises MissingPart, Unreachable."""
    python = peers_python() if peers else None
    with target(engine, model, *FLAGS) as found:
        if python is None:
            return measure(found, quick=quick)
        return compared(found, python, quick=quick)


def measure(found: Target, *, quick: bool) -> dict[str, Any]:
    """Makespans and quality on one target."""
    from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

    repeats = 1 if quick else 3
    size, sentences = (SMALL, 30) if quick else (ON_CPU, 120)
    with Computer(Whole(found.open(IN_FLIGHT))) as computer:
        facts = _facts(found, computer, quick)
        say("measuring quality and makespans ...")
        asked = quality(computer, 3 if quick else 8, 6, repeats)
        made = standard(computer, size, sentences, repeats)
    return {"makespans": made, "quality": asked, "peers": [], **facts}


def compared(found: Target, python: str, *, quick: bool) -> dict[str, Any]:
    """All frameworks, against the server that steps like a GPU's and the target if it is one."""
    with Computer(Whole(found.open(1))) as computer:
        facts = _facts(found, computer, quick)
    facts["versions"] |= versions(python)
    size, repeats = (QUICK, 2) if quick else (FULL, 3)
    with scripted_server("--gpu", GPU, "--full", "--window", "16384") as url:
        rows = _against("fake GPU", Served(url, None), "fault-1", size, repeats, python)
    if found.served is not None:
        size, repeats = (SMALL, 1) if quick else (ON_CPU, 3)
        rows += _against(found.name, found.served, facts["model"], size, repeats, python)
    return {"makespans": [], "quality": [], "peers": rows, **facts}


def _facts(found: Target, computer: Computer, quick: bool) -> dict[str, Any]:
    return circumstances(
        engine=found.name,
        model=computer.processors["main"].capabilities.model,
        quick=quick,
        flags=FLAGS if found.name == "vllm" else (),
        seed={"work": SEED, "facts": FACTS_SEED},
    )


def _against(
    name: str, served: Served, model: str, size: Size, repeats: int, python: str
) -> list[dict[str, Any]]:
    from nlpu.runtime.terminal.output import say  # as above

    say(f"measuring the frameworks on {name} ...")
    rows = against(served, model, size, repeats, python)
    return [{**row, "server": name, "name": f"{name} {row['name']}"} for row in rows]


# -- printing --------------------------------------------------------------------------------------


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    print(f"engine: {figures['engine']}; model: {figures['model']}; seeds: {figures['seed']}")
    if figures["makespans"]:
        show(
            "Makespans against the bound of work and span (generated tokens only)",
            ("program", "calls", "depth", "tokens in", "cached", "out", "seconds", "bound s",
             "over it"),
            [_makespan_cells(row) for row in figures["makespans"]],
        )  # fmt: skip
    if figures["quality"]:
        show(
            "One big prompt against many small ones",
            ("job", "right", "items", "calls", "failed", "tokens in", "cached", "out", "seconds"),
            [_quality_cells(row) for row in figures["quality"]],
        )
    for server in dict.fromkeys(row["server"] for row in figures["peers"]):
        rows = [row for row in figures["peers"] if row["server"] == server]
        gated = server == "fake GPU"
        show(
            f"The same programs in other frameworks, on {server}"
            + (f" (times ours: seconds >= {FASTER:g}, CPU >= {CHEAPER:g})" if gated else ""),
            ("calls", "seconds", "x ours", "steps", "tokens in", "cached", "out", "CPU ms",
             "x ours"),
            [_peer_cells(row, gated) for row in rows],
        )  # fmt: skip


def _makespan_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["name"], row["calls"], row["depth"], row["prompt_tokens"], row["cached_tokens"],
        row["completion_tokens"], median_of(row["makespan_s"]), median_of(row["bound_s"]),
        f"{row['over_bound']['median']:.2f}",
    )  # fmt: skip


def _quality_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["name"], f"{row['quality']['median']:.0%}", row["items"], row["calls"], row["failed"],
        row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"],
        median_of(row["makespan_s"]),
    )  # fmt: skip


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
