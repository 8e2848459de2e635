"""``nlpu bench``: the benchmarks, each imported only when it is asked for.

Two measure against the scripted server of the project's tests, which is not installed: they are
carried out by the checkout's own command, and say so where there is none.

To add one, write ``runtime/bench/NAME.py`` with a typer ``app``, and enter it in ``BENCHES``. What
measures the project rather than a user's processor belongs in ``benchmarks/``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from nlpu.errors import MissingPart

BENCHES = {
    "throughput": "A processor at rising concurrency: nlops/s, latency, knee.",
    "programs": "Makespans against bounds, big prompts against small ones.",
    "overhead": "CPU a call costs in this runtime, over a bare client's (in a checkout).",
    "datasheet": "What a model's draws of ops are worth: for the planner, and for people.",
    "reliability": "Accuracy of corrections against their calls, on real models (in a checkout).",
    "memory": "Recall of evidence in long conversations, by firmware.",
    "compare": "What changed beyond noise between two results.",
    "all": "Throughput, programs and overhead of one processor (in a checkout).",
}
IN_CHECKOUT = ("overhead", "all", "reliability")  # these are modules of ``benchmarks``
_ANY_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


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
    return _made(name, lambda: None)


def _made(name: str, function: Callable[..., Any], **settings: Any) -> Any:
    found = typer.Typer(add_completion=False)
    found.command(name, help=BENCHES[name], context_settings=settings)(function)
    return typer.main.get_command(found)


def _command(name: str) -> Any:
    """The benchmark's command. Raises MissingPart."""
    if name in IN_CHECKOUT:
        return _made(name, _passed_on, **_ANY_WORDS)
    try:
        module = import_module(f"nlpu.runtime.bench.{name}")
    except ModuleNotFoundError as error:
        raise MissingPart(
            f"the benchmark {name} needs {error.name}, which is not installed here"
        ) from error
    return typer.main.get_command(module.app)


def _passed_on(context: typer.Context) -> int:
    """Have the checkout's own command carried out. Raises MissingPart."""
    import subprocess
    from importlib.util import find_spec
    from pathlib import Path

    try:
        found = find_spec(f"benchmarks.{context.info_name}") and find_spec("benchmarks")
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise MissingPart(
            "this needs the project's own servers and cases, which are not installed with "
            "nlpu: install nlpu from a checkout of the project (pip install -e .)"
        )
    path = [str(Path(found.origin).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{context.info_name}", *context.args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        check=False,
    ).returncode
