"""A tower: numbers of a thousand digits, added by a model that knows sums of two digits.

    nlpu run tower 40 --model qwen2.5-coder-0.5b      # numbers of 40 digits
    nlpu run tower sheet=add_digits.json              # votes as a datasheet says they must be
    nlpu run tower sheet=add_digits.json,hard.json    # with more draws of some sums

Each digit is a call that needs the carry of the one before, so one wrong answer among a thousand
ruins the sum: at 99 of 100 right, four sums in 100,000 would come out. So each step is a vote. From
the datasheet of ``add_digits`` follows by how much an answer must lead for the whole to be right as
often as was asked for, and what that costs; it is told before the first step. Without a sheet
answers must lead by three.

The op has 200 inputs, and its truth table is all of them:

    nlpu bench datasheet programs/tower.py:add_digits --output add_digits.json

``Scripted(simulated("add_digits.json"))`` answers as that model was measured to: towers too high
for a real one are tried on it, and what comes of them is a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from math import exp, lgamma, log, log1p
from random import Random
from statistics import fmean
from typing import Annotated, Any

from pydantic import BaseModel, Field

from nlpu import BadOperand, Case, Unsure, Usage, ahead_by, nlop
from nlpu.eval.bounds import OutOfReach
from nlpu.eval.datasheet import VOID, CaseDraws, sheet_in
from nlpu.eval.votes import draws_ahead
from nlpu.testing.scripted import Seen
from nlpu.value import remembered

Sum = Annotated[int, Field(ge=0, le=19)]
BY_DEFAULT = 3
TEMPERATURE = 0.7
_LEADS, _GRID, _LEAST_WORTH = range(1, 41), 500, 1e-9
_ALIKE = tuple(2.0**n for n in range(-1, 8))


SHOWN = [
    ("1 + 2 + 0", 3),
    ("7 + 7 + 1", 15),
    ("8 + 1 + 1", 10),
    ("7 + 0 + 1", 8),
    ("8 + 8 + 0", 16),
    ("6 + 3 + 1", 10),
    ("9 + 9 + 0", 18),
    ("3 + 5 + 1", 9),
]


@nlop(max_tokens=8, examples=SHOWN)
def add_digits(sum: str) -> Sum:
    """What is the sum?"""


CASES = tuple(
    Case(
        id=f"{first}+{second}+{carry}",
        op="add_digits",
        expected=first + second + carry,
        operands={"sum": f"{first} + {second} + {carry}"},
    )
    for first in range(10)
    for second in range(10)
    for carry in range(2)
)


class Tower(BaseModel):
    """The sum as it came out, whether it is right, and by how much answers led at most.

    forecast: how many draws were expected, 0 without a datasheet.
    """

    total: str
    right: bool
    ahead: int
    forecast: float = 0.0
    unsure_at: int | None = None

    def __str__(self) -> str:
        shown = self.total if len(self.total) <= 60 else f"{self.total[:28]}...{self.total[-28:]}"
        said = "right" if self.right else "WRONG"
        if self.unsure_at is not None:
            said = f"unsure at digit {self.unsure_at} from the right"
        most = "up to " * bool(self.forecast)
        cost = f"; {self.forecast:,.0f} draws were expected" if self.forecast else ""
        return f"{shown}\n{len(self.total)} digits, {said}; answers led by {most}{self.ahead}{cost}"


def tower(digits: int = 1000, seed: int = 0, reliability: float = 0.95, sheet: str = "") -> Tower:
    """Add two numbers digit by digit, each digit a vote on the one before."""
    if digits < 1:
        raise BadOperand(f"digits must be 1 or more, not {digits}")
    one, other = numbers(digits, seed)
    leads, forecast = plan(sheet, reliability, digits)
    ahead = max(leads.values(), default=BY_DEFAULT)
    written, carry = list[str](), 0
    for place in range(digits):
        digits_here = (one[-1 - place], other[-1 - place], str(carry))
        lead = leads.get("+".join(digits_here), BY_DEFAULT)
        vote = ahead_by(lead, temperature=TEMPERATURE)(add_digits)
        found = vote(" + ".join(digits_here), sample=place).value
        if isinstance(found, Unsure):
            total = "".join(reversed(written))
            return Tower(
                total=total, right=False, ahead=ahead, forecast=forecast, unsure_at=place + 1
            )
        carry, digit = divmod(found, 10)
        written.append(str(digit))
    total = f"{carry or ''}{''.join(reversed(written))}"
    right = total == plainly(one, other)
    return Tower(total=total, right=right, ahead=ahead, forecast=forecast)


def simulated(sheet: str, seed: int = 0) -> Callable[[Seen], str]:
    """A script for ``Scripted`` whose answers come as often as a datasheet saw them: no model's."""
    _, known = drawn_in(sheet)

    def answer(seen: Seen) -> str:
        case = known[seen.operands["sum"].replace(" ", "")]
        drawn = Random(f"{seed} {seen.request.id}").choice(case.draws)
        return case.answers[drawn] if drawn != VOID else "nothing valid"

    return answer


def drawn_in(sheets: str) -> tuple[str, dict[str, CaseDraws]]:
    """The model of a datasheet and its sums by name; of several files, divided by commas, each as
    the last that has it: sums that were wrong once are drawn again and more often. Raises Usage."""
    found = [sheet_in(each) for each in sheets.split(",")]
    if len({(each.model, each.weights) for each in found}) > 1:
        raise Usage(f"{sheets} are of {' and '.join(each.model for each in found)}: name one's")
    ops = [each.of(add_digits.name, add_digits.digest.hex()) for each in found]
    return found[0].model, {case.id: case for op in ops for case in op.cases}


def numbers(digits: int, seed: int) -> tuple[str, str]:
    """Two numbers of so many digits; equal seeds give equal ones."""
    dice = Random(seed)
    one, other = ("".join(str(dice.randrange(10)) for _ in range(digits)) for _ in range(2))
    return one, other


def plainly(one: str, other: str) -> str:
    """The sum, as Python adds: by pieces, since it reads no number of more than 4,300 digits."""
    written, carry = list[str](), 0
    for left, right in zip(reversed(one), reversed(other), strict=True):
        carry, digit = divmod(int(left) + int(right) + carry, 10)
        written.append(str(digit))
    return f"{carry or ''}{''.join(reversed(written))}"


def plan(sheet: str, reliability: float, steps: int) -> tuple[dict[str, int], float]:
    """By how much answers to each sum must lead, and the draws of all steps; none without a sheet.

    What is not known of a sum counts: of its draws and of one more, that is right as often as
    sums are, it is known how probable which chance is. The choice is noted in the journal: a run
    that goes on keeps it.
    """
    if not sheet:
        return {}, 0.0

    def read() -> list[Any]:
        model, known = drawn_in(sheet)
        if known.keys() != {case.id for case in CASES}:
            raise Usage(f"{sheet} has {len(known)} of the {len(CASES)} sums: draw all of them")
        hard = [name for name, case in known.items() if case.share <= 0.5]
        if hard:
            raise OutOfReach(
                f"{model} gets {len(hard)} of {len(known)} sums wrong at least as often as "
                f"right ({', '.join(hard[:5])}): no vote mends that; take the next larger model",
                1 - len(hard) / len(known),
            )
        drawn = {n: (round(c.share * len(c.draws)), len(c.draws)) for n, c in known.items()}
        return list(leads_over(drawn, reliability, steps))

    leads, forecast = remembered(read, "a datasheet")
    return leads, forecast


def leads_over(
    drawn: Mapping[str, tuple[int, int]], reliability: float, steps: int
) -> tuple[dict[str, int], float]:
    """By how much answers to each sum must lead, and the draws of all steps, from its draws: how
    many are right, and how many there are. Raises OutOfReach where no lead is shown to do.

    Each leads by one more as long as that is worth more than so much, the same of all sums.
    """
    kinds = drawn.values()
    slips = fmean(1 - right / count for right, count in kinds)  # of sums: some are drawn more often
    mean = 1 - slips - (1 - slips) / (sum(count for _, count in kinds) + 1)
    alike = _alike(kinds, mean)
    wrong = {
        kind: [sum(share * _ruin(*_beta(kind, mean, n), k) for n, share in alike) for k in _LEADS]
        for kind in set(kinds)
    }
    best, worth = 0.0, 0.1
    while worth > _LEAST_WORTH:
        lead = {kind: _lead(row, worth) for kind, row in wrong.items()}
        right = (1 - fmean(wrong[kind][lead[kind] - 1] for kind in kinds)) ** steps
        if right >= reliability:
            draws = [_draws(kind, mean, alike, lead[kind]) for kind in kinds]
            return {name: lead[kind] for name, kind in drawn.items()}, steps * fmean(draws)
        best, worth = max(best, right), worth / 2
    raise OutOfReach(
        f"with these draws {steps:,} steps are shown to be all right in {best:.3f} at most: too "
        "little is known of some sums; make a datasheet of more draws, or take fewer steps",
        best,
    )


def _lead(wrong: Sequence[float], worth: float) -> int:
    gains = (here - there for here, there in pairwise(wrong))
    return next((k for k, gain in enumerate(gains, 1) if gain < worth), len(wrong))


def _alike(kinds: Collection[tuple[int, int]], mean: float) -> list[tuple[float, float]]:
    """How much sums resemble each other: as many draws as the mean counts for one, and how
    probable that is from what was drawn (all of a factor of two are taken to be as likely before).
    """
    logs = [
        sum(_log_beta(*_beta(kind, mean, n)) - _log_beta(*_beta((0, 0), mean, n)) for kind in kinds)
        for n in _ALIKE
    ]
    shares = [exp(each - max(logs)) for each in logs]
    return [(n, share / sum(shares)) for n, share in zip(_ALIKE, shares, strict=True)]


def _beta(kind: tuple[int, int], mean: float, alike: float) -> tuple[float, float]:
    right, count = kind
    return right + alike * mean, count - right + alike * (1 - mean)


def _log_beta(right: float, wrong: float) -> float:
    return lgamma(right) + lgamma(wrong) - lgamma(right + wrong)


def _draws(
    kind: tuple[int, int], mean: float, alike: Sequence[tuple[float, float]], lead: int
) -> float:
    betas = [(share, *_beta(kind, mean, n)) for n, share in alike]
    return draws_ahead(sum(share * right / (right + wrong) for share, right, wrong in betas), lead)


def _ruin(right: float, wrong: float, k: int) -> float:
    """How often Ahead(k) is wrong where the chance of a draw has that beta distribution."""
    scale = -_log_beta(right, wrong)
    grid = ((at + 0.5) / _GRID for at in range(_GRID))
    terms = (
        exp(scale + (right - 1) * log1p(-q) + (wrong + k - 1) * log(q)) / ((1 - q) ** k + q**k)
        for q in grid
    )
    return sum(terms) / _GRID
