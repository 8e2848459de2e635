"""Datasheets side by side: the same ops on other models, with no prompt edited.

    nlpu bench datasheet --compare small.json large.json --target 0.9 --plot sheets.png

Theory of operation
-------------------
Each op of each model is a row: what one call is right in, what a route of that processor alone is
(``nlpu.eval.routes``) that is shown to reach the target, and how many correct answers a second that
makes: draws that a vote needs beyond the first are no throughput. Where an op was asked the same
cases on two models, the difference of what is right in one call has an interval made for pairs.

Rules
1. An op in other words is another op: such rows are shown, and not compared.
2. Files of one model, with the same engine and convention, are one sheet where they have no op in
   common, and else stand beside each other.
3. What is not known (a sheet that was made before speeds were measured) is said to be so, with
   "-", and is in no picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from nlpu.eval.bounds import OutOfReach, TooFewCases
from nlpu.eval.datasheet import Datasheet, OpSheet
from nlpu.eval.intervals import newcombe, wilson
from nlpu.eval.routes import Part, Route, routes_of
from nlpu.printing import figure, one_line, safe
from nlpu.runtime.bench.report import circumstances, show, show_circumstances

FACTS = ("model", "source", "weights", "engine", "convention", "system")
RIGHT = ("op, model", "cases", "once %", "95 %", "a draw %", "95 %", "ceiling %")
FAST = ("op, model", "calls/s", "nlops/s", "correct/s", "at target", "s for 1,000", "by")


def side_by_side(sheets: Sequence[Datasheet], target: float) -> dict[str, Any]:
    """Everything the command prints."""
    sheets = _joined(sheets)
    names = dict.fromkeys(name for sheet in sheets for name in sheet.ops)
    sheets = [sheet.model_copy(update={"model": name}) for sheet, name in _told_apart(sheets)]
    facts = circumstances(
        engine=", ".join(dict.fromkeys(sheet.engine for sheet in sheets)),
        model=", ".join(sheet.model for sheet in sheets),
    )
    return {
        **facts,
        "target": target,
        "models": [_model(sheet) for sheet in sheets],
        "rows": [
            _row(sheet.model, sheet.ops[name], target)
            for name in names
            for sheet in sheets
            if name in sheet.ops
        ],
        "differences": [each for name in names for each in _differences(sheets, name)],
    }


def _joined(sheets: Sequence[Datasheet]) -> list[Datasheet]:
    """Sheets of other ops of the same model, engine and convention as one."""
    found = list[Datasheet]()
    for sheet in sheets:
        place = next((at for at, known in enumerate(found) if _is_more_of(known, sheet)), None)
        if place is None:
            found.append(sheet)
        else:
            ops = found[place].ops | sheet.ops
            found[place] = found[place].model_copy(update={"ops": ops})
    return found


def _is_more_of(one: Datasheet, other: Datasheet) -> bool:
    same = all(getattr(one, name) == getattr(other, name) for name in FACTS)
    return same and not one.ops.keys() & other.ops.keys()


def _told_apart(sheets: Sequence[Datasheet]) -> Iterator[tuple[Datasheet, str]]:
    """Each with a name that no other has: sheets may be of one model on two engines."""
    for number, sheet in enumerate(sheets, 1):
        alike = sum(other.model == sheet.model for other in sheets) > 1
        name = f"{sheet.model} ({number}: {sheet.engine or '-'})" if alike else sheet.model
        yield sheet, one_line(name, 60)


def _model(sheet: Datasheet) -> dict[str, Any]:
    reading = sheet.reading
    return {
        "model": sheet.model,
        "weights": safe(sheet.weights[:12]),
        "engine": one_line(sheet.engine),
        "convention": one_line(sheet.convention),
        "system": sheet.system,
        "date": sheet.date,
        "window": sheet.window or None,
        "reads_per_s": None if reading is None else reading.tokens_per_s,
        "shared_prefix": None if reading is None else reading.shared_prefix,
    }


def _row(model: str, sheet: OpSheet, target: float) -> dict[str, Any]:
    count = len(sheet.cases)
    best = max((pace.calls_per_s for pace in sheet.paces), default=None)
    route, why = at_target(sheet, target)
    reached = None if route is None or best is None else best * correct_share(route)
    return {
        "op": one_line(sheet.op, 60),
        "model": model,
        "digest": sheet.digest,
        "cases": count,
        "once": sheet.once / count,
        "once_interval": wilson(sheet.once, count),
        "draw": sheet.right,
        "draw_interval": sheet.interval,
        "ceiling": sheet.ceiling,
        "nlops_per_s": max((pace.nlops_per_s for pace in sheet.paces), default=None),
        "calls_per_s": best,
        "correct_per_s": None if best is None else best * sheet.once / count,
        "route": why if route is None else route.name.strip().removesuffix(" on") or "one call",
        "correct_per_s_at_target": reached,
        "seconds_for_1000": None if not reached else 1000 / reached,
    }


def at_target(sheet: OpSheet, target: float) -> tuple[Route | None, str]:
    """Give the cheapest way on this processor that is shown to reach a target, or why none is."""
    try:
        return routes_of([Part("", sheet, 1.0, 0.0)], target).routes[0], ""
    except OutOfReach as error:
        return None, f"{error.best:.2f} is shown"
    except TooFewCases as error:
        return None, f"needs {error.needed} cases"


def correct_share(route: Route) -> float:
    """Give how many right answers a call of a route gives."""
    calls = sum(step.calls for step in route.steps)
    return route.right / route.cases / calls if calls else 0.0


def _differences(sheets: Sequence[Datasheet], name: str) -> Iterator[dict[str, Any]]:
    """What two models differ in, in one call on the same cases (rule 1)."""
    for one, other in combinations([sheet for sheet in sheets if name in sheet.ops], 2):
        mine, theirs = one.ops[name], other.ops[name]
        cases = {case.id: case for case in theirs.cases}
        pairs = [
            (first.once in first.right, second.once in second.right)
            for first in mine.cases
            if (second := cases.get(first.id)) is not None and first.asked == second.asked
        ]
        if mine.digest != theirs.digest or not pairs:
            yield {"op": one_line(name, 60), "a": one.model, "b": other.model, "cases": 0}
            continue
        both, mine_alone, theirs_alone, neither = (
            pairs.count(pair)
            for pair in ((True, True), (True, False), (False, True), (False, False))
        )
        low, high = newcombe(both, theirs_alone, mine_alone, neither)
        yield {
            "op": one_line(name, 60),
            "a": one.model,
            "b": other.model,
            "cases": len(pairs),
            "difference": (theirs_alone - mine_alone) / len(pairs),
            "interval": (low, high),
        }


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    for each in figures["models"]:
        said = [
            f"engine {each['engine'] or '-'}",
            f"convention {each['convention'] or '-'}",
            f"weights {each['weights'] or '-'}",
            f"window {_said(each['window'])}",
            f"reads {_said(each['reads_per_s'])} tokens/s",
            f"a shared prefix {_said(each['shared_prefix'])} times as fast",
        ]
        print(f"{each['model']}: {', '.join(said)}")
    show("The same ops, no prompt edited: how often right", RIGHT, map(_right, figures["rows"]))
    columns = [each.replace("target", f"{figures['target']:g}") for each in FAST]
    show(
        "Correct calls a second: in one call, and where so many are",
        columns,
        map(_fast, figures["rows"]),
    )
    for each in figures["differences"]:
        pair = f"{each['op']}: {each['b']} less {each['a']}"
        if not each["cases"]:
            print(f"{pair}: other words, or other cases: not compared")
            continue
        low, high = (f"{100 * border:+.0f}" for border in each["interval"])
        print(f"{pair}: {100 * each['difference']:+.0f} points ({low} to {high}) in one call")


def _named(row: dict[str, Any]) -> str:
    return f"{row['op']}, {row['model']}"


def _right(row: dict[str, Any]) -> tuple[Any, ...]:
    found: list[Any] = [_named(row), row["cases"]]
    for name in ("once", "draw"):
        borders = (f"{100 * border:.1f}" for border in row[f"{name}_interval"])
        found += [f"{100 * row[name]:.1f}", " - ".join(borders)]
    return (*found, f"{100 * row['ceiling']:.1f}")


def _fast(row: dict[str, Any]) -> tuple[Any, ...]:
    rates = (
        "calls_per_s",
        "nlops_per_s",
        "correct_per_s",
        "correct_per_s_at_target",
        "seconds_for_1000",
    )
    return (_named(row), *(_said(row[rate]) for rate in rates), row["route"])


def _said(number: float | None) -> str:
    return "-" if number is None else figure(number)
