"""``nlpu tune``: the program ``tune``, with options in place of its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.run.command import run


def tune(
    op: Annotated[
        str, typer.Argument(metavar="OP", help="A standard op, or one of a file: FILE.py:NAME")
    ],
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Cases with known answers, .jsonl or .csv.")
    ],
    nlops: Annotated[
        float, typer.Option(metavar="N", help="Most generated tokens, in hundreds, of all of it.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the variant there, as JSON.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Most that are shown; 0: words alone.")] = 4,
    metric: Annotated[
        str, typer.Option(metavar="NAME|FILE.py:SCORE", help="Of all cases, as in eval.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the division of the cases, and all.")] = 0,
    engine: o.Engine = None,
    model: o.Model = None,
    seconds: o.Seconds = None,
    run_dir: o.RunDir = None,
    as_json: o.Json = False,
) -> int:
    """Seek better words and examples for an op on half of the cases; show them on the others.

    It is a run like any other: journaled, within its limits, and resumed by nlpu resume.
    """
    given = {"op": op, "data": data.absolute(), "nlops": nlops, "examples": examples, "seed": seed}
    if output is not None:
        given["output"] = output.absolute()
    if metric:
        given["metric"] = metric
    words = [f"{name}={value}" for name, value in given.items()]
    return run(
        "tune",
        words,
        engine=engine,
        model=model,
        nlops=nlops,
        seconds=seconds,
        run_dir=run_dir,
        as_json=as_json,
    )
