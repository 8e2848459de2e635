"""What all benchmarks print alike: the machine, figures, and tables."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

from nlpu.printing import safe

Better = Literal["more", "less"]
_WIDTH = 112
_PACKAGES = ("nlpu", "aiohttp", "tokenizers", "pydantic")


def circumstances(*packages: str, **facts: Any) -> dict[str, Any]:
    """When and on what it was measured. The load tells how much to believe it.

    ``packages``: whose versions matter, too; ``facts``: engine, model, flags, seed.
    """
    names = (*_PACKAGES, *packages)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "load_1_min": round(os.getloadavg()[0], 1),
        },
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
        **facts,
    }


def measured(each: Sequence[float], better: Better) -> dict[str, Any]:
    """One figure with all its repeats, as ``compare`` reads it."""
    rounded = [float(f"{one:.4g}") for one in each]
    return {"median": statistics.median(rounded), "each": rounded, "better": better}


def median_of(figure: dict[str, Any]) -> str:
    """A measured figure in a table."""
    return f"{figure['median']:,.3g}" if figure["median"] < 1000 else f"{figure['median']:,.0f}"


def percentile(figures: list[float], share: float) -> float:
    """The smallest figure that so large a share does not exceed."""
    place = -(-len(figures) * round(share * 100) // 100)
    return sorted(figures)[max(0, place - 1)]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """One table on stdout. The first column is text, the others are figures."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=safe(title), title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else safe(str(cell)) for cell in row))
    width = max(Console().width, _WIDTH)  # a pipe has no width; figures are not to be folded
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def show_circumstances(facts: dict[str, Any]) -> None:
    """Date, machine and versions in one line."""
    machine, versions = facts["machine"], facts["versions"]
    names = ", ".join(f"{name} {versions[name]}" for name in versions)
    print(
        f"{facts['date']}; {machine['system']}, {machine['cores']} cores, "
        f"load {machine['load_1_min']}; {names}"
    )
