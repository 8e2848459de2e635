"""``nlpu bench``: the benchmarks, each imported only when it is asked for.

To add one, write ``runtime/bench/NAME.py`` with a typer ``app``, and enter it in ``BENCHES``. What
measures the project rather than a user's processor belongs in ``benchmarks/``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

BENCHES = {
    "throughput": "A processor at rising concurrency: nlops/s, latency, knee.",
    "programs": "Makespans against bounds, big prompts against small ones.",
    "overhead": "CPU a call costs in this runtime, over a bare client's (in a checkout).",
    "memory": "Recall of evidence in long conversations, by firmware.",
    "compare": "What changed beyond noise between two results.",
    "all": "Throughput, programs and overhead of one processor (in a checkout).",
}


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
    outline = typer.Typer(add_completion=False)
    outline.command(name, help=BENCHES[name])(lambda: None)
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
    return typer.main.get_command(module.app)
