"""What runs a benchmark of this folder: ``python -m benchmarks.NAME``, ending as ``nlpu`` ends."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from nlpu.runtime.terminal.app import main
from nlpu.runtime.terminal.options import Json
from nlpu.runtime.terminal.output import as_text, write, write_json


def carry_out(app: typer.Typer) -> None:
    """Carry out the command line with a benchmark's command. Always ends in SystemExit."""
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "benchmarks are run as `python -m benchmarks.NAME`"
    main(app=app, name=f"python -m {spec.name.removesuffix('.__main__')}")


def printing(measure: Callable[..., dict[str, Any]]) -> typer.Typer:
    """A command that prints what ``measure`` gives; its parameters become options."""

    def command(as_json: bool, **options: Any) -> None:
        figures = measure(**options)
        if as_json:
            write_json(figures)
        else:
            write(as_text(figures) + "\n")

    hints = typing.get_type_hints(measure)
    parameters = [
        each.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[hints[each.name], typer.Option()],
        )
        for each in inspect.signature(measure).parameters.values()
    ]
    parameters.append(
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False)
    app.command(help=inspect.getdoc(measure))(command)
    return app
