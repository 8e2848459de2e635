"""``nlpu bench throughput``: nlops a second, latencies and the knee of a processor, as tables.

What is measured, and how, is in ``throughput_runs`` (correct calls a second: in
``throughput_correct``); the profiles are in ``throughput_profiles``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nlpu import Usage
from nlpu.runtime.bench.report import median_of, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Plot, Quick, Where, deliver, processor
from nlpu.runtime.bench.throughput_correct import Wanted, correct_calls
from nlpu.runtime.bench.throughput_correct import tables as correct_tables
from nlpu.runtime.bench.throughput_profiles import PROFILES
from nlpu.runtime.bench.throughput_runs import throughput

app = typer.Typer(add_completion=False)
_RATES = ("calls_per_s", "nlops_per_s", "tokens_in_per_s", "tokens_out_per_s", "p50_s", "p95_s")

OpSpec = Annotated[
    str | None,
    typer.Option("--op", metavar="OP", help="Correct calls a second of an op; needs --sheet."),
]
Sheet = Annotated[
    Path | None,
    typer.Option("--sheet", metavar="FILE", help="The op's datasheet, of this model."),
]
Data = Annotated[Path | None, typer.Option("--data", metavar="FILE", help="The op's cases.")]
Target = Annotated[float, typer.Option(metavar="SHARE", help="With --op: right so often.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--profile", metavar="P", help=f"Of {', '.join(PROFILES)}; may be repeated."),
]


@app.command(help="A processor at rising concurrency: nlops/s, latency, knee.")
def command(
    engine: Where = None,
    model: Model = None,
    profile: Names = None,
    op: OpSpec = None,
    sheet: Sheet = None,
    data: Data = None,
    target: Target = 0.9,
    quick: Quick = False,
    as_json: AsJson = False,
    output: Output = None,
    plot: Plot = None,
) -> int:
    if op is not None or sheet is not None:
        if op is None or sheet is None or profile or plot:
            raise Usage("--op OP and --sheet FILE go together, without --profile and --plot")
        wanted = Wanted(op, sheet, target, data)
        found = correct_calls(*processor(engine, model), wanted, quick=quick)
        deliver("correct calls", found, correct_tables, as_json=as_json, output=output)
        return 0
    figures = throughput(*processor(engine, model), profile or (), quick=quick)
    deliver("throughput", figures, tables, as_json=as_json, output=output, plot=plot)
    return code_of(figures)


def code_of(figures: dict[str, Any]) -> int:
    """The exit code: 1 where a profile failed."""
    return int(any("failed" in found for found in figures["profiles"]))


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    measured = [found for found in figures["profiles"] if found["rows"]]
    print(
        f"engine: {figures['engine']}; model: {figures['model']}, window {figures['window']:,}; "
        f"medians of {len(measured[0]['rows'][0]['calls_per_s']['each'])} repeats; "
        "of bare: the rate over a bare client's, and its least - most"
    )
    columns = (
        "in flight",
        "calls/s",
        "nlops/s",
        "tok/s in",
        "out",
        "p50 s",
        "p95 s",
        "cached",
        "of bare",
    )
    for found in measured:
        free = "" if found["forced"] else "; lengths NOT forced: the engine takes no expressions"
        sent = found["rows"][0]
        turns = f", {found['turns']} one after the other" if found["turns"] > 1 else ""
        show(
            f"{found['name']}: {sent['prompt_tokens_per_call']:,.0f} tokens in, "
            f"{sent['completion_tokens_per_call']:,.0f} out a call{turns}; "
            f"knee at {found['knee']} in flight{free}",
            columns,
            [_cells(row) for row in found["rows"]],
        )
    for found in figures["profiles"]:
        if "failed" in found:
            print(f"{found['name']} failed: {found['failed']}")


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    ratio = row.get("ratio")
    return (
        row["name"],
        *(median_of(row[name]) for name in _RATES),
        f"{row['cached']:.0%}",
        f"{ratio['median']:.2f}: {min(ratio['each']):.2f} - {max(ratio['each']):.2f}"
        if ratio
        else "",
    )
