"""The tables of ``benchmarks.answers``, on a terminal or as Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.answers.arms import ARMS
from nlpu.runtime.bench.report import show

JUDGED = "area under the curve"


class Table(NamedTuple):
    """A title, columns and rows of cells."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(figures: Mapping[str, Any]) -> None:
    """Show everything on stdout."""
    for model, found in figures["models"].items():
        for table in tables_of(model, found):
            show(table.title, table.columns, table.rows)


def markdown(figures: Mapping[str, Any]) -> str:
    """Write everything as Markdown."""
    return "\n".join(
        _as_markdown(table)
        for model, found in figures["models"].items()
        for table in tables_of(model, found)
    )


def _as_markdown(table: Table) -> str:
    lines = [table.columns, ("---", *["---:"] * (len(table.columns) - 1)), *table.rows]
    return f"{table.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables_of(model: str, found: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of one model."""
    arms = [arm for arm in ARMS if any(arm in cells for cells in found["families"].values())]
    yield Table(
        f"{model}: right of each family's items, in %, with 95 % intervals",
        ("family", *arms),
        [*_shares(found, arms), _mean(found, arms)],
    )
    yield Table(
        f"{model}: differences in points, on the same items",
        ("pair", "mean over families", "95 %", "items a family", "errors left"),
        [_pair(pair) for pair in found["pairs"]],
    )
    shown = [pair for pair in found["pairs"] if pair["first"] == "new"]
    if shown:
        yield Table(
            f"{model}: differences by family, in points, with 95 % intervals",
            ("family", *(pair["name"] for pair in shown)),
            [_by_family(family, shown) for family in found["families"]],
        )
    yield from _areas(model, found, arms)
    yield Table(
        f"{model}: what an item takes (eight at once)",
        ("arm", "items", "failed", "s", "tokens in", "tokens out"),
        [_cost(arm) for arm in found["arms"]],
    )
    yield Table(f"{model}: gates", ("gate", "is", "", ""), [_gate(gate) for gate in found["gates"]])


def share(cell: Mapping[str, Any]) -> str:
    """An accuracy with its interval."""
    low, high = cell["interval"]
    return f"{100 * cell['accuracy']:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def points(gap: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    low, high = gap["interval"]
    return f"{100 * gap['difference']:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})"


def _shares(found: Mapping[str, Any], arms: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for family, cells in found["families"].items():
        yield (family, *(share(cells[arm]) if arm in cells else "" for arm in arms))


def _mean(found: Mapping[str, Any], arms: Sequence[str]) -> tuple[str, ...]:
    by_name = {arm["name"]: arm for arm in found["arms"]}
    asked = {name for name, arm in by_name.items() if arm["accuracy"] is not None}
    return ("mean", *(share(by_name[arm]) if arm in asked else "" for arm in arms))


def _pair(pair: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = pair["interval"]
    left = pair["errors_left"]
    counts = [each["items"] for each in pair["families"].values()]
    many = str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return (
        pair["name"],
        f"{100 * pair['difference']:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        many,
        "" if left is None else f"{left:.0%}",
    )


def _by_family(family: str, pairs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    cells = (pair["families"].get(family) for pair in pairs)
    return (family, *("" if cell is None else points(cell) for cell in cells))


def _areas(model: str, found: Mapping[str, Any], arms: Sequence[str]) -> Iterator[Table]:
    judged = {
        family: cells
        for family, cells in found["families"].items()
        if any(cell["area"] is not None for cell in cells.values())
    }
    told = [arm for arm in arms if any(_has_area(cells, arm) for cells in judged.values())]
    if judged:
        yield Table(
            f"{model}: {JUDGED} of what judges",
            ("family", *told),
            [
                (family, *(f"{cells[a]['area']:.2f}" if _has_area(cells, a) else "" for a in told))
                for family, cells in judged.items()
            ],
        )


def _has_area(cells: Mapping[str, Any], arm: str) -> bool:
    return arm in cells and cells[arm]["area"] is not None


def _cost(arm: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        arm["name"],
        str(arm["items"]),
        str(arm["errors"]),
        f"{arm['seconds']:.2f}",
        f"{arm['tokens_in']:.0f}",
        f"{arm['tokens_out']:.1f}",
    )


def _gate(gate: Mapping[str, Any]) -> tuple[str, ...]:
    if gate["holds"] is None:
        return (f"{gate['name']}: {gate['says']}", "", "not measured", "")
    verdict = "holds" if gate["holds"] else "does NOT hold"
    full = "" if gate["full"] else "on too few items to decide"
    return (f"{gate['name']}: {gate['says']}", f"{100 * gate['figure']:+.1f}", verdict, full)
