"""How reliable an answer is to be: what a call, an op or a run may ask for.

    colour(text, reliability=0.95)                       this answer
    colour.using(reliability=0.95).map(texts)            each of these
    computer.run(program, reliability=Reliability(0.95, steps=1000))      all of them together

Rules
1. It says what is wanted, not how: datasheets tell that (``runtime.eval.reliable_calls``).
2. It changes how often is asked, and of whom; never what. So it is in no digest.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from nlpu.checks import COUNT, FLAG, PATH, Fit, check, maybe
from nlpu.errors import BadOperand, Usage
from nlpu.eval.bounds import PART, SHARE
from nlpu.eval.sheet_files import noted
from nlpu.printing import shown

_FITS = {"share": SHARE, "abstain": PART, "steps": COUNT, "table": FLAG}


@dataclass(frozen=True, slots=True)
class Reliability:
    """The share of answers that must be right. Raises BadOperand.

    Attributes:
        share: How often, such as 0.95.
        abstain: The share of inputs on which it may be ``Unsure``.
        steps: Of how many calls, at most, all must be right together.
        table: Whether the datasheets' cases are all inputs that there are: the chance of each is
            then taken as it was measured, and what follows is a forecast, not shown.
    """

    share: float
    abstain: float = 0.0
    steps: int = 1
    table: bool = False

    def __post_init__(self) -> None:
        check("Reliability", {name: getattr(self, name) for name in _FITS}, _FITS, BadOperand)

    def __str__(self) -> str:
        steps = f" of {self.steps:,} together" if self.steps > 1 else ""
        return f"{self.share:g}{steps}"

    @property
    def each(self) -> float:
        """What each step must reach, for as much of all of them, whatever depends on what."""
        most = 1 - 2**-53  # that is not certain, of however many steps
        return self.share if self.steps == 1 else min(1 - (1 - self.share) / self.steps, most)


ASKED: Fit = maybe(
    (lambda x: isinstance(x, Reliability) or SHARE[0](x), f"{SHARE[1]}, or a nlpu.Reliability")
)


def asked_for(given: Any) -> Reliability | None:
    """Give what fits ``ASKED`` as what it means."""
    return Reliability(given) if isinstance(given, int | float) else given


@dataclass(frozen=True, slots=True)
class Reliably:
    """A call that is to be so reliable; ``sample`` as of a ``Call``."""

    op: Any
    sample: int | None
    asked: Reliability


def promised(given: Any, sheets: tuple[str, ...]) -> dict[str, Any]:
    """Give what the header of a run that begins says of it."""
    there = {"sheets": list(sheets), "sheet_files": noted(sheets)} if sheets else {}
    return there if (asked := asked_for(given)) is None else {"reliability": asdict(asked), **there}


def sheet_paths(given: Any) -> tuple[str, ...]:
    """Give the places of datasheets, one or several, wherever a later life begins. Raises Usage."""
    several = given if isinstance(given, list | tuple) else () if given is None else (given,)
    odd = next((each for each in several if not PATH[0](each)), None)
    if odd is not None:
        raise Usage(
            f"Computer: sheets are paths of datasheets, or of folders with some, not {shown(odd)}"
        )
    return tuple(os.path.abspath(each) for each in several)
