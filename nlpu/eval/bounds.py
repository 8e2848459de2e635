"""Bounds: what a count of right and wrong shows about the share that is right.

Theory of operation
-------------------
60 of 60 right do not show that an op is always right, but that it is right in more than 0.951 of
such cases: were it less, 60 in a row would come up in fewer than 5 of 100 such counts. ``shown`` is
that share for any count, by the exact binomial tail (Clopper and Pearson, "The use of confidence or
fiducial limits illustrated in the case of the binomial", Biometrika 1934, one-sided), and
``cases_needed`` is the question turned round.

Rules
1. A bound errs on the side of showing less, whatever the true share is: no normal approximation.
2. Without a case nothing is shown.
3. What cannot be shown is a typed error that says what could be: how many cases would do
   (``TooFewCases``), or how much is within reach (``OutOfReach``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, e, exp, floor, lgamma, log, log1p

from nlpu.checks import Fit, check, is_number
from nlpu.errors import BadOperand, ProgramError
from nlpu.printing import counted

LEVEL = 0.05  # how often what is shown may be false
_MOST_CASES = 1 << 17
PART: Fit = (lambda x: is_number(x) and 0 <= x < 1, "a share of 0 or more, and less than 1")
SHARE: Fit = (lambda x: is_number(x) and 0 < x < 1, "a share between 0 and 1, without these")


class TooFewCases(ProgramError):
    """So many cases cannot show what is asked for; ``needed`` of them would."""

    def __init__(self, message: str, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


class OutOfReach(ProgramError):
    """No way of asking that was tried is as reliable as is asked for; ``best`` is what one is."""

    def __init__(self, message: str, best: float = 0.0) -> None:
        super().__init__(message)
        self.best = best


class NotMeasured(ProgramError):
    """No datasheet at hand tells of the op as it is asked here."""


def shown(right: int, count: int, level: float = LEVEL) -> float:
    """Give the share that is shown: were the true one less, so many right would surprise."""
    if not right:
        return 0.0
    return border(lambda share: _at_least(right, count, share) <= level, 0.0, 1.0)


def bounded(scores: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Give the two-sided interval of a mean of scores from 0 to 1, however few and alike they are.

    By Bentkus' inequality ("On Hoeffding's inequalities", Annals of Probability 2004): a mean of
    such scores is as far off in at most e times as many samples as a share of right and wrong.
    """
    count, total = len(scores), sum(scores)
    if not count:
        return 0.0, 1.0
    low, high = (
        shown(floor(part + 1e-9), count, level / (2 * e)) for part in (total, count - total)
    )
    return low, 1.0 - high


def cases_needed(reliability: float, wrong: float = 0.0, level: float = LEVEL) -> int:
    """Give how many cases would show a reliability, were that share of them wrong.

    Raises BadOperand where none would: at least so many are wrong as may be.
    """
    check("cases_needed", {"reliability": reliability}, {"reliability": SHARE}, BadOperand)
    if not 0 <= wrong < 1 - reliability:
        raise BadOperand(
            f"no number of cases shows that {reliability:.4g} are right where {wrong:.4g} are wrong"
        )
    low, high = 0, 1
    while not _shows(high, wrong, reliability, level):
        low, high = high, 2 * high
        if high > _MOST_CASES:
            raise BadOperand(
                f"more than {_MOST_CASES:,} cases are needed to show that at most "
                f"{1 - reliability:.3g} are wrong where {wrong:.6g} are: ask for less"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _shows(middle, wrong, reliability, level) else (middle, high)
    return high


def check_plan(cases: int, reliability: float, abstain: float = 0.0, level: float = LEVEL) -> None:
    """Refuse what so many cases cannot show, whatever comes of them, before they are asked.

    Raises BadOperand, TooFewCases.
    """
    given = {"reliability": reliability, "abstain": abstain}
    check("reliable", given, {"reliability": SHARE, "abstain": PART}, BadOperand)
    least = cases_needed(reliability, level=level)
    if cases < least:
        raise TooFewCases(too_few(counted(cases, "case"), reliability, least), least)


def too_few(there: str, reliability: float, least: int) -> str:
    """Say that cases cannot show it, and how many could."""
    return (
        f"{there} cannot show that {reliability:g} are right, even if all of them are: at least "
        f"{least} without an error are needed; give more, or ask for less"
    )


def _shows(count: int, wrong: float, reliability: float, level: float) -> bool:
    right = count - ceil(wrong * count - 1e-9)  # 3 of 100 are 0.03, and a little more
    return right > 0 and _at_least(right, count, reliability) <= level


def _at_least(right: int, count: int, share: float) -> float:
    """The chance that at least so many are right: a sum over how many are wrong."""
    if not 0 < share < 1:
        return float(share >= 1)
    whole = lgamma(count + 1)
    return sum(
        exp(
            whole
            - lgamma(wrong + 1)
            - lgamma(count - wrong + 1)
            + (count - wrong) * log(share)
            + wrong * log1p(-share)
        )
        for wrong in range(count - right + 1)
    )


def border(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Find where a condition that holds at ``low`` ends to hold; from below."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
