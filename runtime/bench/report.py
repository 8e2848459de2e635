"""What all benchmarks print alike: the machine, tables, and gates beside their figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

_WIDTH = 100
_PACKAGES = ("nlpu", "aiohttp", "tokenizers", "pydantic")


def circumstances() -> dict[str, Any]:
    """When and on what it was measured. The load tells how much to believe it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "load_1_min": round(os.getloadavg()[0], 1),
        },
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def at_most(figure: float, gate: float) -> str:
    """A figure and whether it meets its gate."""
    return f"{figure:g} {'met' if figure <= gate else 'NOT MET'}"


def at_least(figure: float, gate: float) -> str:
    """As ``at_most``, the other way round."""
    return f"{figure:g} {'met' if figure >= gate else 'NOT MET'}"


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """One table on stdout. The first column is text, the others are figures."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    width = max(Console().width, _WIDTH)  # a pipe has no width; figures are not to be folded
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def show_circumstances(facts: dict[str, Any]) -> None:
    """Date, machine and versions in one line."""
    machine, versions = facts["machine"], facts["versions"]
    names = ", ".join(f"{name} {versions[name]}" for name in ("python", *_PACKAGES))
    print(
        f"{facts['date']}; {machine['system']}, {machine['cores']} cores, "
        f"load {machine['load_1_min']}; {names}"
    )
