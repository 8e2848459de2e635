"""A small and a large model, what was measured of both, and programs that choose among them."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

from kit import execute

from nlpu import Price, Run, Scripted, delegated, nlop
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.testing.scripted import Seen

PRICES = {"small": Price(1.0, 1.0, 1.0), "large": Price(20.0, 20.0, 20.0)}


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


def drawn(hard: float, cases: int = 200, latency_s: float = 1.0, seed: int = 0) -> OpSheet:
    """A model that is as good as dice on a share of the inputs, and right on the others."""
    dice = Random(seed)
    rows = [
        tuple(dice.randrange(3) if n < hard * cases else 0 for _ in range(10)) for n in range(cases)
    ]
    return OpSheet(
        op="colour",
        digest=colour.digest.hex(),
        temperature=0.7,
        tokens=(100, 1),
        latency_s=(latency_s, latency_s),
        cases=tuple(
            CaseDraws(id=str(n), draws=row, right=(0,), once=row[0]) for n, row in enumerate(rows)
        ),
    )


def sheet(model: str, hard: float = 0.0, **facts: Any) -> Datasheet:
    return Datasheet(model=model, ops={"colour": drawn(hard, **facts)})


SHEETS = {"small": sheet("s", 0.3), "large": sheet("l", latency_s=2.0)}


def easy(seen: Seen) -> str:
    """A small model: dice on what is hard, and right about the rest."""
    if "hard" not in seen.operands["text"]:
        return "red"
    return Random(seen.request.id).choice(["red", "green", "blue"])


def engines(**scripts: Any) -> dict[str, Scripted]:
    models = {"small": easy, "large": "red"} | scripts
    return {name: Scripted(script, model=name[0], latency_s=1) for name, script in models.items()}


def ran(program: Any, *args: Any, made: Any = None, **settings: Any) -> Run:
    return execute(program, *args, engine=made or engines(), prices=PRICES, **settings)


def asks(*texts: str, sheets: Any = SHEETS, reliability: float = 0.95, **settings: Any) -> Any:
    """A program: all texts at once."""

    def program() -> list[Any]:
        sure, _ = delegated(colour, reliability, sheets, **settings)
        return [each.value for each in [sure(text) for text in texts]]

    return program
