"""``nlpu bench``: the benchmarks, each imported only when it is asked for.

To add one, write ``runtime/bench/NAME.py`` with a typer ``app``, or with a function of the same
name that gives its figures as plain data, and enter it in ``BENCHES``. The function's parameters of
plain types become options.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nlpu.runtime.terminal.options import Json

BENCHES = {
    "throughput": "A processor at rising concurrency: nlops/s, latency, knee.",
    "programs": "Makespans against bounds, big prompts against small ones, other frameworks.",
    "overhead": "CPU a call costs in this runtime, over a bare client's.",
    "answers": "How often ops are right: the default layout, that of before, plain words, DSPy.",
    "datasheet": "What a model's draws of ops are worth: for the planner, and for people.",
    "saturation": "The share of a fast server's rate that one process reaches.",
    "priority": "Priorities on against off, on vLLM with more programs than slots.",
    "memory": "Recall of evidence in long conversations, by firmware.",
    "memory_scale": "Look-ups in a large store against a small one.",
    "memory_credit": "What helped before, found with and without credit.",
    "memory_traces": "Page caches on programs' own traces, against the offline optimum.",
    "memory_portable": "A store whose embedder is changed without embedding it again.",
    "forecast": "Forecasts of dry runs against what runs took.",
    "compare": "What changed beyond noise between two results.",
    "all": "Throughput, programs and overhead of one processor, in one result.",
}
_PLAIN = (str, int, float, bool, str | None, int | None, float | None)


class _Lazy(TyperGroup):
    """Lists the table, and imports the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(BENCHES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _outline(cmd_name) if cmd_name in BENCHES else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: _outline(name) for name in BENCHES}  # for one that is misspelled
        name, outline, rest = super().resolve_command(ctx, args)
        return name, outline if name is None else _command(name), rest


app = typer.Typer(cls=_Lazy, no_args_is_help=True, help="Measure this runtime.")


@app.callback()
def _bench() -> None:
    """Measure this runtime."""


def _outline(name: str) -> Any:
    """Enough of a command to be listed."""
    return _as_command(name, lambda: None)


def _as_command(name: str, function: Callable[..., Any]) -> Any:
    outline = typer.Typer(add_completion=False)
    outline.command(name, help=BENCHES[name])(function)
    return typer.main.get_command(outline)


def _command(name: str) -> Any:
    """The benchmark's command. Raises MissingPart."""
    from nlpu.errors import MissingPart

    try:
        module = import_module(f"nlpu.runtime.bench.{name}")
    except ModuleNotFoundError as error:
        raise MissingPart(
            f"the benchmark {name} needs {error.name}, which is not installed here"
        ) from error
    found = getattr(module, "app", None)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    return _as_command(name, _printing(getattr(module, name)))


def _printing(measure: Callable[..., Any]) -> Callable[..., Any]:
    """A command that prints what ``measure`` gives."""

    def command(as_json: bool = False, **options: Any) -> None:
        from nlpu.runtime.terminal.output import as_text, write, write_json

        figures = measure(**options)
        if as_json:
            write_json(figures)
        else:
            write(as_text(figures) + "\n")

    parameters = [*_options(measure), _option("as_json", Json, False)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _options(measure: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(measure)
    found = []
    for name, parameter in inspect.signature(measure).parameters.items():
        if hints.get(name) in _PLAIN:
            default = None if parameter.default is parameter.empty else parameter.default
            found.append(_option(name, Annotated[hints[name], typer.Option()], default))
    return found


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
