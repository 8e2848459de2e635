"""What the benchmarks do with their figures: options, JSON, files and pictures.

A result is one JSON object: circumstances (date, machine, versions, engine, model, flags, seed) and
figures. A figure that was measured holds all its repeats (``report.measured``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from nlpu import MissingPart, Usage
from nlpu.engines.models.known import model_name
from nlpu.extras import adding
from nlpu.owner_only import make_file
from nlpu.runtime.settings import read as read_settings

Figures = dict[str, Any]
_PICTURES = (".png", ".svg", ".pdf")


def _file(path: Path | None) -> Path | None:
    """A file that can be written: said before the measurement, which may take an hour."""
    if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise Usage(f"{path} cannot be written; name a file in a directory that can be")
    return path


def _picture(path: Path | None) -> Path | None:
    """The same of a picture, and that it can be drawn."""
    if path is not None and path.suffix not in _PICTURES:
        raise Usage(f"{path} is no picture; its name ends with one of {', '.join(_PICTURES)}")
    if path is not None and find_spec("matplotlib") is None:
        raise MissingPart(f"a picture needs matplotlib: {adding('plot')}")
    return _file(path)


AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quick = Annotated[bool, typer.Option("--quick", help="Smaller and less often, in minutes.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write the JSON there, too.", callback=_file),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE.png", help="Draw it (needs the extra 'plot').", callback=_picture
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="local|vllm|URL",
        help="What is measured. Default: $NLPU_ENGINE, else nlpu.toml, else local.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Which model of the engine. Default: $NLPU_MODEL, else nlpu.toml, else its own.",
    ),
]


def processor(engine: str | None, model: str | None) -> tuple[str, str | None]:
    """What is measured: as given, else as set; a set model goes with the set engine."""
    model, now = model_name(model), read_settings(("engine", "model"))
    if engine in (None, now.engine):
        return now.engine, model or now.model
    return str(engine), model


def deliver(
    kind: str,
    figures: Figures,
    show: Callable[[Figures], None],
    *,
    as_json: bool,
    output: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Print figures as tables or JSON, write them, draw them. Raises Usage, MissingPart."""
    from nlpu.runtime.terminal.output import say, write_json

    figures = {"bench": kind, **figures}
    if not as_json:
        show(figures)  # first: a disk that is full now does not lose them
    if output is not None:
        _written(output, figures)
    if as_json:
        write_json(figures)
    if plot is not None:
        from nlpu.runtime.bench.plots import draw  # needs matplotlib, only then

        draw(figures, plot)
        say(f"drawn: {plot}")


def _written(path: Path, figures: Figures) -> None:
    try:
        make_file(path)
        path.write_text(json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise Usage(f"cannot write {path}: {error.strerror}; give another --output") from error


def read(path: Path) -> Figures:
    """The figures of a file that ``--output`` or ``--json`` made. Raises Usage."""
    try:
        figures = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Usage(f"{path} is no result of nlpu bench: {error}") from None
    if not isinstance(figures, dict) or "bench" not in figures:
        raise Usage(f"{path} is no result of nlpu bench; make one with --output")
    return figures
