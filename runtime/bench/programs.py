"""``nlpu bench programs``: whole programs and their bounds, big prompts and small ones.

    makespans   of the standard programs against work and span   ``programs_standard``
    quality     one big prompt against many small ones           ``programs_quality``

Every part prints what it found, met or not.
"""

from __future__ import annotations

from typing import Any

import typer

from nlpu import Computer
from nlpu.runtime.bench.programs_quality import SEED as FACTS_SEED
from nlpu.runtime.bench.programs_quality import quality
from nlpu.runtime.bench.programs_standard import Whole, standard
from nlpu.runtime.bench.programs_work import ON_CPU, SEED, SMALL
from nlpu.runtime.bench.report import circumstances, median_of, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Quick, Where, deliver, processor
from nlpu.runtime.bench.servers import Target, target

FLAGS = ("--max-model-len", "4096", "--max-num-seqs", "16")
IN_FLIGHT = 16
app = typer.Typer(add_completion=False)


@app.command(help="Makespans against bounds, big prompts against small ones.")
def command(
    engine: Where = None,
    model: Model = None,
    quick: Quick = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    with target(*processor(engine, model), *FLAGS) as found:
        figures = measure(found, quick=quick)
    deliver("programs", figures, tables, as_json=as_json, output=output)


def measure(found: Target, *, quick: bool) -> dict[str, Any]:
    """Makespans and quality on one target."""
    from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

    repeats = 1 if quick else 3
    size, sentences = (SMALL, 30) if quick else (ON_CPU, 120)
    with Computer(Whole(found.open(IN_FLIGHT))) as computer:
        facts = facts_of(found, computer, quick)
        say("measuring quality and makespans ...")
        asked = quality(computer, 3 if quick else 8, 6, repeats)
        made = standard(computer, size, sentences, repeats)
    return {"makespans": made, "quality": asked, **facts}


def facts_of(found: Target, computer: Computer, quick: bool) -> dict[str, Any]:
    """When, where and of what it is measured."""
    return circumstances(
        engine=found.name,
        model=computer.processors["main"].capabilities.model,
        quick=quick,
        flags=FLAGS if found.name == "vllm" else (),
        seed={"work": SEED, "facts": FACTS_SEED},
    )


# -- printing --------------------------------------------------------------------------------------


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    print(f"engine: {figures['engine']}; model: {figures['model']}; seeds: {figures['seed']}")
    show(
        "Makespans against the bound of work and span (generated tokens only)",
        (
            "program",
            "calls",
            "depth",
            "tokens in",
            "cached",
            "out",
            "seconds",
            "bound s",
            "over it",
        ),
        [_makespan_cells(row) for row in figures["makespans"]],
    )
    show(
        "One big prompt against many small ones",
        ("job", "right", "items", "calls", "failed", "tokens in", "cached", "out", "seconds"),
        [_quality_cells(row) for row in figures["quality"]],
    )


def _makespan_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["name"],
        row["calls"],
        row["depth"],
        row["prompt_tokens"],
        row["cached_tokens"],
        row["completion_tokens"],
        median_of(row["makespan_s"]),
        median_of(row["bound_s"]),
        f"{row['over_bound']['median']:.2f}",
    )


def _quality_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["name"],
        f"{row['quality']['median']:.0%}",
        row["items"],
        row["calls"],
        row["failed"],
        row["prompt_tokens"],
        row["cached_tokens"],
        row["completion_tokens"],
        median_of(row["makespan_s"]),
    )
