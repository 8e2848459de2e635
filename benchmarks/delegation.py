"""``python -m benchmarks.delegation``: one op on several models, each call where it is cheapest.

    nlpu bench datasheet benchmarks/delegation.py:colour --model M --output M.json   # each model
    python -m benchmarks.delegation --sheet A.json --sheet B.json --target 0.85

On fresh items the op is asked of each model alone, once, and then as ``delegated`` asks it. The
models are those that the datasheets name, on the embedded processor, all in this process. A price
stands for what a model takes: its billions of parameters, for a million tokens.

Rules
1. No item is a case of the datasheets: those of ``colour`` are made by the same rule, with other
   dice; whoever gives another op with ``--data`` sees to it.
2. An answer that is ``Unsure`` is not right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import typer

from nlpu import Case, Computer, ModelError, Op, Price, Run, Unsure, Usage, delegated, nlop
from nlpu.engines.registry import named_engine
from nlpu.eval.datasheet import Datasheet, sheet_in
from nlpu.eval.intervals import wilson
from nlpu.runtime.bench.paces import cases_for
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, Output, deliver
from nlpu.runtime.handle import state_of
from nlpu.runtime.terminal.eval.subjects import subject_of

Colour = Literal["red", "green", "blue", "yellow", "black", "white"]
COLOURS = ["red", "green", "blue", "yellow", "black", "white"]
THINGS = ["car", "house", "boat", "hat", "coat", "door", "bicycle", "lamp", "chair", "bird"]
WHO = ["Anna", "Tom", "Maria", "John", "Ines", "Peter", "Lena", "Omar", "Ruth", "Karl"]
FORMS = (
    "{who} has a {c} {t}.",
    "The {t} of {who} is {c}.",
    "{who} wanted a {o} {t}, but bought a {c} one.",
    "{who} saw a {c} {t} in the garden.",
    "It was not the {o} {t} that {who} liked, it was the {c} one.",
)
SHOWN = [
    ("Tom sold the black bicycle.", "black"),
    ("There was a yellow lamp in the hall.", "yellow"),
    ("My aunt has a red boat.", "red"),
]
COLUMNS = ("asked of", "right", "of", "95 %", "unsure", "money", "calls")
app = typer.Typer(add_completion=False)


@nlop(examples=SHOWN)
def colour(text: str) -> Colour:
    """Which colour is named in the text?"""


def items(seed: int) -> Iterator[Case]:
    """Sentences that differ, without an end."""
    dice, seen = Random(seed), set[str]()
    while True:
        said, other = dice.sample(COLOURS, 2)
        text = dice.choice(FORMS).format(
            who=dice.choice(WHO), t=dice.choice(THINGS), c=said, o=other
        )
        if text not in seen:
            seen.add(text)
            name = f"c{len(seen)}"
            yield Case(id=name, op="colour", operands={"text": text}, expected=said)


CASES = tuple(islice(items(7), 60))
Sheets = Annotated[list[Path], typer.Option("--sheet", metavar="FILE", help="A model's datasheet.")]


@app.command(help="One op on several models, each call where it is cheapest.")
def command(
    sheet: Sheets,
    target: Annotated[float, typer.Option(help="Right so often.")] = 0.85,
    count: Annotated[int, typer.Option("--items", min=1)] = 40,
    op: Annotated[str, typer.Option(help="Another op than colour, with --data.")] = "",
    data: Annotated[Path | None, typer.Option(help="Its fresh items.")] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    if bool(op) != bool(data):
        raise Usage("--op OP and --data FILE go together")
    asked = cases_for(subject_of(op), data) if op else (colour, fresh())
    sheets = {found.model: found for found in map(sheet_in, sheet)}
    engines = {name: named_engine("local", name, None) for name in sheets}
    with Computer(engines, prices={name: price_of(name) for name in sheets}) as computer:
        found = measure(computer, sheets, target, asked[0], asked[1][:count])
    figures = {**circumstances(engine="local"), "target": target, **found}
    deliver("delegation", figures, tables, as_json=as_json, output=output)


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    print(figures["routes"])
    title = f"{figures['rows'][0]['of']} fresh items, asked for {figures['target']:g}"
    show(title, COLUMNS, map(_cells, figures["rows"]))
    calls = figures["rows"][-1]["by"].items()
    print(f"delegated: {', '.join(f'{calls} calls of {name}' for name, calls in calls)}")


def fresh() -> tuple[Case, ...]:
    """Give items that no datasheet has (rule 1)."""
    known = {case.operands["text"] for case in CASES}
    return tuple(case for case in islice(items(8), 400) if case.operands["text"] not in known)


def measure(
    computer: Computer,
    sheets: dict[str, Datasheet],
    target: float,
    op: Op[Any],
    asked: Sequence[Case],
) -> dict[str, Any]:
    """Everything the command prints."""
    told = list[str]()

    def alone(name: str) -> list[Any]:
        there = op.using(processor=name)
        return [_said(value) for value in [there(**each.operands) for each in asked]]

    def together() -> list[Any]:
        sure, routes = delegated(op, target, sheets)
        told.append(str(routes))
        return [_said(value) for value in [sure(**each.operands) for each in asked]]

    rows = [_row(name, asked, computer.run(alone, name)) for name in sheets]
    rows.append(_row("delegated", asked, computer.run(together)))
    return {"rows": rows, "routes": told[0]}


def _said(value: Any) -> Any:
    try:
        return value.value
    except ModelError:
        return None


def _row(name: str, asked: Sequence[Case], run: Run) -> dict[str, Any]:
    """What an arm came to. Raises what ended its run."""
    answers = run.result
    by = Counter(
        node.node_work.op.processor
        for node in state_of(run).root.subtree()
        if node.call_cost is not None and node.call_cost.how == "made"
    )
    right = sum(said == case.expected for said, case in zip(answers, asked, strict=True))
    return {
        "name": name,
        "right": right,
        "of": len(asked),
        "interval": wilson(right, len(asked)),
        "unsure": sum(said is None or isinstance(said, Unsure) for said in answers),
        "money": run.receipt.money,
        "calls": run.receipt.calls,
        "by": dict(by),
    }


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    borders = " - ".join(f"{100 * border:.0f}" for border in row["interval"])
    money = f"{1000 * row['money'] / row['of']:.3g} for 1,000"
    return (row["name"], row["right"], row["of"], borders, row["unsure"], money, row["calls"])


def price_of(model: str) -> Price:
    """Give billions of parameters, as the model's name tells them. Raises Usage."""
    found = re.search(r"-(\d+(?:\.\d+)?)([mb])\b", model)
    if found is None:
        raise Usage(f"the name {model} does not tell how large it is, as in model-0.5b")
    money = float(found[1]) / (1000 if found[2] == "m" else 1)
    return Price(money, money, money)


if __name__ == "__main__":
    from benchmarks.command import carry_out

    carry_out(app)
