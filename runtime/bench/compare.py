"""``nlpu bench compare A.json B.json``: what changed beyond noise.

Theory of operation
-------------------
Both results are walked side by side; rows of a table are matched by their ``name``. A measured
figure (``report.measured``) holds its repeats, and these say how noisy it is.

Rules
1. Beyond noise: every repeat of one side lies beyond every repeat of the other, and the medians
   differ by more than 10 %; by more than 25 % where a side has fewer than three repeats.
   Per cent of the mean of both sides, so that A against B says what B against A does.
2. Plain counts (calls, tokens, failures) have no noise: any difference is told. Of a plain
   fraction nobody knows the noise: it is told where it differs by more than 25 %.
3. What was measured under other circumstances is compared all the same, and the difference is told
   first.
4. A figure that only one side has is told, never taken for a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from nlpu.runtime.bench.report import show
from nlpu.runtime.bench.results import AsJson, deliver, read

NOISE, FEW_NOISE, FEW = 0.10, 0.25, 3
_CIRCUMSTANCES = (
    "bench",
    "machine",
    "versions",
    "engine",
    "model",
    "window",
    "quick",
    "flags",
    "seed",
)
_NOT_COMPARED = ("load_1_min", "date")
app = typer.Typer(add_completion=False)

A = Annotated[Path, typer.Argument(metavar="A.json", help="A result of nlpu bench --output.")]
B = Annotated[Path, typer.Argument(metavar="B.json", help="A later one.")]


class Change(NamedTuple):
    """One figure on both sides. ``verdict``: better, worse, changed, noise or same."""

    name: str
    a: float
    b: float
    verdict: str

    @property
    def share(self) -> float | None:
        """The change over what it was."""
        return None if not self.a else round(self.b / self.a - 1, 4)


@app.command(help="What changed beyond noise between two results.")
def command(a: A, b: B, as_json: AsJson = False) -> None:
    deliver("compare", compare(read(a), read(b)), tables, as_json=as_json)


def compare(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Everything the command prints."""
    left, right = dict(figures(a)), dict(figures(b))
    both = [name for name in left if name in right]
    changes = [changed(name, left[name], right[name]) for name in both]
    return {
        "circumstances": other_circumstances(a, b),
        "changes": [
            {**each._asdict(), "share": each.share}
            for each in changes
            if each.verdict in ("better", "worse", "changed")
        ],
        "within_noise": sum(each.verdict in ("noise", "same") for each in changes),
        "only_a": sorted(left.keys() - right.keys()),
        "only_b": sorted(right.keys() - left.keys()),
        "rule": f"beyond noise: no overlap of the repeats, and medians more than {NOISE:.0%} of "
        f"their mean apart ({FEW_NOISE:.0%} with fewer than {FEW} repeats)",
    }


def figures(result: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure with its path; circumstances are none."""
    if isinstance(result, dict) and "each" in result and "better" in result:
        yield place, result
    elif isinstance(result, dict):
        for key, item in result.items():
            if place or key not in (*_CIRCUMSTANCES, *_NOT_COMPARED):
                yield from figures(item, f"{place} / {key}".strip(" /"))
    elif isinstance(result, list):
        for number, item in enumerate(result):
            name = item.get("name", number) if isinstance(item, dict) else number
            yield from figures(item, f"{place} / {name}".strip(" /"))
    elif isinstance(result, int | float) and not isinstance(result, bool):
        yield place, result


def changed(name: str, a: Any, b: Any) -> Change:
    """The verdict on one figure (rules 1 and 2)."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        first, second = _plain(a), _plain(b)
        if isinstance(a, int) and isinstance(b, int):
            return Change(name, first, second, "same" if first == second else "changed")
        far = _is_far(first, second, FEW_NOISE)
        return Change(name, first, second, "changed" if far else "noise")
    first, second = a["median"], b["median"]
    few = min(len(a["each"]), len(b["each"])) < FEW
    apart = max(a["each"]) < min(b["each"]) or max(b["each"]) < min(a["each"])
    if not (apart and _is_far(first, second, FEW_NOISE if few else NOISE)):
        return Change(name, first, second, "noise")
    rose = second > first
    return Change(name, first, second, "better" if rose == (a["better"] == "more") else "worse")


def _is_far(first: float, second: float, noise: float) -> bool:
    return abs(second - first) > noise * (abs(first) + abs(second)) / 2


def _plain(figure: Any) -> float:
    return float(figure["median"] if isinstance(figure, dict) else figure)


def other_circumstances(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What was not the same when the two were made."""
    left, right = dict(_facts(a)), dict(_facts(b))
    return [
        f"{name}: {left.get(name, 'not given')} -> {right.get(name, 'not given')}"
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]


def _facts(result: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _CIRCUMSTANCES:
        fact = result.get(name)
        if name in ("machine", "versions") and isinstance(fact, dict):
            yield from (
                (f"{name} {key}", item) for key, item in fact.items() if key not in _NOT_COMPARED
            )
        elif name in result:
            yield name, str(fact)


def tables(found: dict[str, Any]) -> None:
    """Everything, on stdout."""
    for line in found["circumstances"]:
        print(f"other circumstances: {line}")
    if found["changes"]:
        show(
            f"Changed ({found['rule']})",
            ("figure", "A", "B", "change", "verdict"),
            [_cells(change) for change in found["changes"]],
        )
    else:
        print(f"Nothing changed; {found['rule']}.")
    print(f"{found['within_noise']} figures are the same or within noise")
    for side in "ab":
        only = found[f"only_{side}"]
        if only:
            print(f"only in {side.upper()}: {len(only)} figures, such as {only[0]}")


def _cells(change: dict[str, Any]) -> tuple[Any, ...]:
    share = change["share"]
    return (
        change["name"],
        f"{change['a']:g}",
        f"{change['b']:g}",
        "" if share is None else f"{share:+.0%}",
        change["verdict"],
    )
