"""``benchmarks.overhead``: CPU a call and a node cost in this runtime, over doing it by hand.

Three parts: calls over HTTP (``requests``: five shapes, this runtime against a bare aiohttp
client), calls on a long document that was sent before (``remembered``: the same), and nodes without
HTTP (``graphs``: this runtime against bare asyncio tasks). Each says in its file what is fair about
it and what is not.

Rules
1. Nothing is tuned for the benchmark; the programs are written as a user would.
2. Gates are printed beside their figures, met or not; they are for prompts of 50 tokens.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out
from benchmarks.gates import at_most
from benchmarks.overhead.graphs import measure_graph
from benchmarks.overhead.remembered import CALLS, WAYS, WINDOW, measure_document
from benchmarks.overhead.requests import measure_shape
from benchmarks.overhead.shapes import SHAPES
from benchmarks.servers import instant_server, tokenizer
from nlpu.runtime.bench.report import circumstances, show, show_circumstances

RATIO, NODE_RATIO, FLAT, KIB, JOURNAL = 1.5, 4.0, 1.2, 3.0, 1.5
SIZES = (10_000, 100_000)
QUICK_SIZES = (1_000, 10_000)
app = typer.Typer(add_completion=False)

Quick = Annotated[bool, typer.Option("--quick", help="One repeat of little: only to see it run.")]
Repeats = Annotated[
    int, typer.Option("--repeats", min=1, metavar="N", help="Turns of each client.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command(help="CPU a call costs in this runtime, over a bare client's.")
def command(as_json: AsJson = False, repeats: Repeats = 7, quick: Quick = False) -> None:
    from nlpu.runtime.terminal.output import write_json

    figures = overhead(1, QUICK_SIZES, long=False) if quick else overhead(repeats)
    if as_json:
        write_json(figures)
    else:
        tables(figures)


def overhead(
    repeats: int = 7, sizes: tuple[int, ...] = SIZES, *, long: bool = True
) -> dict[str, Any]:
    """Everything the command prints. ``long``: prompts of 2,000 tokens and documents, too."""
    facts, documents = circumstances(), list[dict[str, Any]]()
    with tokenizer() as (directory, name), instant_server("yes", window=WINDOW) as url:
        facts["versions"]["tokenizer"] = name
        shapes = [measure_shape(shape, url, directory, 50, repeats) for shape in SHAPES]
        per_call = statistics.fmean(row["cpu_us_per_call"] for row in shapes)
        few = max(1, repeats // 2)
        if long:
            shapes += [measure_shape(shape, url, directory, 2000, few) for shape in SHAPES]
            documents = [
                measure_document(url, directory, size, repeats, way)
                for way in WAYS
                for size in CALLS
            ]
    return {
        "shapes": shapes,
        "documents": documents,
        "graphs": [measure_graph(nodes, repeats) for nodes in sizes],
        "calls_per_second_per_core": round(1e6 / per_call),
        **facts,
    }


# -- printing --------------------------------------------------------------------------------------


def tables(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    print(f"tokenizer: {figures['versions']['tokenizer']}; medians; CPU of the client's process")
    shortest = min(row["prompt_tokens"] for row in figures["shapes"])
    show(
        "Calls over HTTP: this runtime over a bare aiohttp client",
        ("shape", "prompt tokens", "us a call", "bare", f"ratio (<= {RATIO:g})", "least - most"),
        [_shape_cells(row, gated=row["prompt_tokens"] < 2 * shortest) for row in figures["shapes"]],
    )
    print(f"{figures['calls_per_second_per_core']:,} calls per second per core (short prompts)\n")
    if figures["documents"]:
        show(
            "Questions on a document that was sent before: this runtime over bare aiohttp",
            (
                "questions",
                "prompt tokens",
                "us a call",
                "bytes ready",
                f"ratio (<= {RATIO:g})",
                "least - most",
                "bare dumps",
                "ratio",
            ),
            [_document_cells(row) for row in figures["documents"]],
        )
    show(
        "Graphs in the process: this runtime over bare asyncio tasks",
        (
            "nodes",
            "us a node",
            "bare",
            f"ratio (<= {NODE_RATIO:g})",
            "journaled",
            f"KiB a node (<= {KIB:g})",
            f"journal / text (<= {JOURNAL:g})",
        ),
        [_graph_cells(row) for row in figures["graphs"]],
    )
    costs = [row["us_per_node"] for row in figures["graphs"]]
    flat = at_most(round(max(costs) / min(costs), 2), FLAT)
    print(f"largest over smallest cost a node (<= {FLAT:g}): {flat}")


def _shape_cells(row: dict[str, Any], gated: bool) -> tuple[Any, ...]:
    return (
        row["shape"],
        row["prompt_tokens"],
        row["cpu_us_per_call"],
        row["bare_cpu_us_per_call"],
        at_most(row["ratio"], RATIO) if gated else f"{row['ratio']:g} no gate",
        f"{row['ratio_least']:g} - {row['ratio_most']:g}",
    )


def _document_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["way"],
        row["prompt_tokens"],
        row["cpu_us_per_call"],
        row["ready_us_per_call"],
        at_most(row["ratio"], RATIO),
        f"{row['ratio_least']:g} - {row['ratio_most']:g}",
        row["dumping_us_per_call"],
        f"{row['ratio_dumping']:g}",
    )


def _graph_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        f"{row['nodes']:,}",
        row["us_per_node"],
        row["bare_us_per_node"],
        at_most(row["ratio"], NODE_RATIO),
        row["journal_ratio"],
        at_most(row["kib_per_node"], KIB),
        at_most(row["journal_bytes_over_text"], JOURNAL),
    )


if __name__ == "__main__":
    carry_out(app)
