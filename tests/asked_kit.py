"""An op, a model that is right as often as is wanted, and its datasheet."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, Literal

from nlpu import (
    nlop,
)
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.ops.op import Op
from nlpu.testing.scripted import Seen


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


def right(p: float, seed: int = 0) -> Any:
    """A model that says red with chance p, else green; by the number of the request."""

    def script(seen: Seen) -> str:
        return "red" if Random(f"{seed} {seen.request.id}").random() < p else "green"

    return script


def measured(
    path: Path,
    p: float = 0.88,
    *,
    cases: int = 120,
    of: Op[Any] = colour,
    tokens: tuple[float, float] = (0.0, 0.0),
    **facts: Any,
) -> Path:
    """The datasheet of a model that is right at once in a share of cases, and later in all."""
    table = tuple(
        CaseDraws(
            id=str(n), draws=(slip, *(0,) * 19), once=slip, right=(0,), answers=("red", "green")
        )
        for n in range(cases)
        for slip in [int(n % 100 >= 100 * p)]
    )
    mine = OpSheet(op=of.name, digest=of.digest.hex(), temperature=0.7, cases=table, tokens=tokens)
    whole = Datasheet(ops={of.name: mine}, **{"model": "scripted", **facts})
    path.write_text(whole.model_dump_json(), encoding="utf-8")
    return path
