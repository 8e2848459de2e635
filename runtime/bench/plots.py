"""Pictures of results, with matplotlib (the extra ``plot``). Drawn to a file, never to a screen."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log10
from pathlib import Path
from textwrap import fill
from typing import Any

from nlpu import MissingPart, Usage
from nlpu.extras import adding
from nlpu.printing import figure as digits

_MOST_TICKS = 12
_SIZE = (9.0, 3.6)  # inches


def draw(figures: dict[str, Any], path: Path) -> None:
    """The picture of a result. Raises MissingPart, Usage."""
    try:
        from matplotlib.figure import Figure  # an extra, and slow to import
    except ImportError as error:
        raise MissingPart(f"a picture needs matplotlib: {adding('plot')}") from error
    panels = _panels(figures)
    if not panels:
        raise Usage(f"there is no picture of bench {figures.get('bench')}")
    picture = Figure(figsize=(_SIZE[0], _SIZE[1] * ((len(panels) + 1) // 2)), layout="constrained")
    for number, panel in enumerate(panels):
        panel(picture.add_subplot((len(panels) + 1) // 2, 2, number + 1))
    lines = picture.axes[0].get_legend_handles_labels()
    if lines[1]:  # one for all panels, where it hides no point
        picture.legend(*lines, loc="outside lower center", ncols=4, fontsize=7)
    machine = figures["machine"]
    title = (
        f"{figures['model']} on {figures['engine']}; {machine['cores']} cores, "
        f"load {machine['load_1_min']}; {figures['date'][:10]}"
    )
    picture.suptitle(fill(title, 100), fontsize=9)
    try:
        picture.savefig(path, dpi=110)
    except (OSError, ValueError) as error:  # ValueError: a format it does not know
        raise Usage(f"cannot draw to {path}: {error}; give a FILE.png") from None


def _panels(figures: dict[str, Any]) -> list[Callable[[Any], None]]:
    if figures.get("bench") == "datasheets":
        return _of_sheets(figures)
    profiles = figures.get("throughput", figures).get("profiles", [])
    profiles = [each for each in profiles if each["rows"]]  # one may have failed
    if not profiles:
        return []
    return [
        lambda axes: _rising(axes, profiles, "nlops_per_s", "nlops/s"),
        lambda axes: _rising(axes, profiles, "p95_s", "p95 of a call, s"),
    ]


def _of_sheets(figures: dict[str, Any]) -> list[Callable[[Any], None]]:
    """Datasheets side by side: a colour for each model, a line for each op."""
    models = [each["model"] for each in figures["models"]]
    rows = {(row["model"], row["op"]): row for row in figures["rows"]}
    ops = list(dict.fromkeys(row["op"] for row in figures["rows"]))[:_MOST_TICKS]
    best = {
        name: [row["nlops_per_s"] or 0 for key, row in rows.items() if key[0] == name]
        for name in models
    }
    windows = [[each["window"] or 0] for each in figures["models"]]

    def by_op(name: str) -> list[list[float]]:
        return [[rows.get((m, op), {}).get(name) or 0 for op in ops] for m in models]

    at = f"where {figures['target']:g} is reached"
    return [
        lambda axes: _bars(axes, models, [""], windows, "window, tokens"),
        lambda axes: _bars(
            axes,
            models,
            [""],
            [[max(each, default=0)] for each in best.values()],
            "operations a second, of the quickest op",
        ),
        lambda axes: _shares(axes, rows, models, ops, figures["target"]),
        lambda axes: _bars(
            axes, models, ops, by_op("correct_per_s"), "correct calls a second, in one call"
        ),
        lambda axes: _bars(
            axes, models, ops, by_op("correct_per_s_at_target"), f"correct calls a second {at}"
        ),
        lambda axes: _bars(
            axes, models, ops, by_op("seconds_for_1000"), f"1,000 correct calls {at}: seconds"
        ),
    ]


def _bars(
    axes: Any, models: list[str], ops: list[str], widths: list[list[float]], title: str
) -> None:
    """Bars from the left, by op; what is not known has none."""
    height = 0.8 / len(models)
    for color, (name, each) in enumerate(zip(models, widths, strict=True)):
        places = [at + color * height for at in range(len(ops))]
        bars = axes.barh(places, each, height, color=f"C{color}", label=name)
        axes.bar_label(bars, [digits(width) if width else "" for width in each], fontsize=6)
    _lined(axes, models, ops, title)
    axes.margins(x=0.15)


def _shares(
    axes: Any,
    rows: dict[tuple[str, str], dict[str, Any]],
    models: list[str],
    ops: list[str],
    target: float,
) -> None:
    for color, name in enumerate(models):
        for at, op in enumerate(ops):
            if (row := rows.get((name, op))) is None:
                continue
            low, high = row["once_interval"]
            axes.errorbar(
                row["once"],
                at + color * 0.8 / len(models),
                color=f"C{color}",
                marker="o",
                xerr=([row["once"] - low], [high - row["once"]]),
                markersize=3,
                capsize=2,
            )
    axes.axvline(target, color="grey", linewidth=0.8)
    axes.set_xlim(0, 1)
    _lined(axes, models, ops, f"right in one call, 95 % (grey: {target:g})")


def _lined(axes: Any, models: list[str], ops: list[str], title: str) -> None:
    middle = 0.4 - 0.4 / len(models)
    axes.set_yticks([at + middle for at in range(len(ops))], ops, fontsize=7)
    axes.set_ylim(len(ops) - 0.5 + middle, middle - 0.5)  # the first one on top
    axes.set_title(title, fontsize=9)
    axes.grid(axis="x", alpha=0.3)


def _rising(axes: Any, profiles: list[dict[str, Any]], figure: str, title: str) -> None:
    """A line for each profile, cold and warm, with the range of the repeats."""
    for color, found in enumerate(profiles):
        for cache, style, mark in (("cold", "-", "o"), ("warm", ":", "^")):
            rows = [row for row in found["rows"] if row["cache"] == cache]
            levels = [row["in_flight"] for row in rows]
            middle = [row[figure]["median"] for row in rows]
            below = [row[figure]["median"] - min(row[figure]["each"]) for row in rows]
            above = [max(row[figure]["each"]) - row[figure]["median"] for row in rows]
            axes.errorbar(
                levels,
                middle,
                (below, above),
                color=f"C{color}",
                linestyle=style,
                marker=mark,
                markersize=4,
                capsize=2,
                label=f"{found['name']} {cache}",
            )
    axes.set(xlabel="calls in flight", title=title, xscale="log", yscale="log")
    low, high = axes.get_ylim()  # of the ranges, too
    ticks = _steps(low, high)
    axes.set_yticks(ticks, map(digits, ticks))
    axes.set_ylim(ticks[0], ticks[-1])
    levels = sorted({row["in_flight"] for found in profiles for row in found["rows"]})
    axes.set_xticks(levels, map(str, levels))
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _steps(low: float, high: float) -> list[float]:
    """The steps of 1, 2, 5, 10 that hold a range: two at least, so that it can be read."""
    decades = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    steps = [float(f"{factor}e{decade}") for decade in decades for factor in (1, 2, 5)]
    least = max(step for step in steps if step < low)
    most = min(step for step in steps if step > high)
    held = [step for step in steps if least <= step <= most]
    return held if len(held) <= _MOST_TICKS else [held[0], *held[3:-3:3], held[-1]]
