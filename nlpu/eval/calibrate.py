"""Calibration: what a model's probability of yes is worth, from cases with known answers.

Theory of operation
-------------------
A small model may tell yes from no and yet say no to everything: what it finds more likely is right
more often, but its even odds are not at a half. ``calibrate`` fits, on judgements whose truth is
known, how the log-odds of the truth depend on those that the model gives (Platt 1999):

    probability' = sigmoid(slope * logit(probability) + intercept)

The slope says how sure the model may be, the intercept where its even odds are (the threshold is
``-intercept / slope`` in log-odds). ``op.using(calibration=...)`` reads judgements so.

What a fit is worth is measured beside it: the area under the curve (the chance that of a true and a
false case the true one has the higher probability), which no calibration changes, and how many
cases are right that the fit has not seen.

Rules
1. A model whose area cannot be told from a half is at chance; no calibration helps. That is said
   when it is fitted, and once by each run that uses it (``PoorJudge``).
2. A negative slope is one like others: a model that is wrong more often than right is useful.
3. The same cases give the same fit: nothing is drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt

from nlpu.calibration import Calibration, logit, sigmoid
from nlpu.errors import BadOperand
from nlpu.eval.bounds import border
from nlpu.eval.intervals import NORMAL, wilson
from nlpu.judgement import Judgement, PoorJudge
from nlpu.printing import shown

_RIDGE = (
    0.01  # on the slope, of log-odds in units of their spread: as much as a hundredth of a case
)
_DIGITS = 6  # of what is fitted: what is beyond them depends on the order of sums
_FOLDS = 5
_FEWEST = 5  # cases of each kind


Pairs = Sequence[tuple[float, bool]]  # probabilities with the truth


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration and what it is worth on the cases it is from. Intervals are of 95 %.

    area:     under the curve of the probabilities as they are; a half is chance.
    accuracy: of the cases, each judged by a calibration that was fitted without it.
    before:   accuracy without a calibration.
    """

    calibration: Calibration
    cases: int
    area: float
    area_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]
    before: float

    def __str__(self) -> str:
        slope, intercept, at_chance = self.calibration
        low, high = self.area_interval
        least, most = self.accuracy_interval
        return (
            f"area under the curve {self.area:.2f} ({low:.2f} to {high:.2f})"
            f"{', at chance' if at_chance else ''}; right {self.accuracy:.0%} ({least:.0%} to "
            f"{most:.0%}) of {self.cases} cases not fitted to, {self.before:.0%} before; "
            f"slope {slope:.2f}, intercept {intercept:.2f}"
        )


def calibrate(judgements: Sequence[Judgement], truths: Sequence[bool]) -> Fit:
    """Fit a calibration to judgements whose truth is known, and measure it.

    Gives the calibration with the area under the curve and the share of cases that is right, each
    judged by one that was fitted without it. Raises BadOperand for fewer than five cases of either
    kind, for what is none, or if not each has its truth. Warns with PoorJudge at chance.

    Args:
        judgements: What a model said.
        truths: What would have been right, one for each.
    """
    if len(judgements) != len(truths):
        raise BadOperand(
            f"{len(judgements)} judgements have {len(truths)} truths: give one for each"
        )
    odd = next((each for each in judgements if not isinstance(each, Judgement)), None)
    if odd is not None or any(truth not in (True, False) for truth in truths):
        what = "judgements are what an op gives whose result is Judgement; truths are True or False"
        raise BadOperand(f"calibrate: {what}, not {shown(truths if odd is None else odd)}")
    pairs = list(zip([each.probability for each in judgements], truths, strict=True))
    _check_kinds(pairs)
    area = area_under_curve(pairs)
    interval = _area_interval(area, sum(truths), len(pairs) - sum(truths))
    at_chance = interval[0] <= 0.5 <= interval[1]
    if at_chance:
        warnings.warn(
            f"these judgements are at chance: area under the curve {area:.2f} "
            f"({interval[0]:.2f} to {interval[1]:.2f}) of {len(pairs)} cases; no calibration "
            "helps, use another model or another question",
            PoorJudge,
            stacklevel=2,
        )
    right = sum(_right_on_others(pairs))
    before = sum(each.answer == truth for each, truth in zip(judgements, truths, strict=True))
    return Fit(
        fitted(pairs)._replace(at_chance=at_chance),
        cases=len(pairs),
        area=area,
        area_interval=interval,
        accuracy=right / len(pairs),
        accuracy_interval=wilson(right, len(pairs)),
        before=before / len(pairs),
    )


def _check_kinds(pairs: Pairs) -> None:
    yes = sum(1 for _, truth in pairs if truth)
    fewest = min(yes, len(pairs) - yes)
    if fewest < _FEWEST:
        raise BadOperand(
            f"a calibration needs at least {_FEWEST} cases of yes and as many of no, there are "
            f"{fewest} of one kind: judge more texts whose answer is known"
        )


# -- fitting ---------------------------------------------------------------------------------------


def fitted(pairs: Pairs) -> Calibration:
    """The calibration under which the truths are most likely (Newton's method, a small ridge)."""
    odds = [logit(probability) for probability, _ in pairs]
    middle = sum(odds) / len(odds)
    spread = sqrt(sum((each - middle) ** 2 for each in odds) / len(odds)) or 1.0
    yes = sum(1 for _, truth in pairs if truth)
    # Platt's targets: as sure as so many cases make one.
    targets = {True: (yes + 1) / (yes + 2), False: 1 / (len(pairs) - yes + 2)}
    points = [
        ((each - middle) / spread, targets[truth])
        for each, (_, truth) in zip(odds, pairs, strict=True)
    ]
    slope, intercept = _newton(points)
    return Calibration(
        round(slope / spread, _DIGITS), round(intercept - slope * middle / spread, _DIGITS)
    )


def _newton(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    slope, intercept, loss = 0.0, 0.0, inf
    for _ in range(50):
        step = _step(points, slope, intercept)
        for _ in range(30):  # halved until it helps
            tried = slope - step[0], intercept - step[1]
            now = _loss(points, *tried)
            if now <= loss:
                break
            step = step[0] / 2, step[1] / 2
        done = loss - now < 1e-12
        (slope, intercept), loss = tried, now
        if done:
            break
    return slope, intercept


def _step(
    points: Sequence[tuple[float, float]], slope: float, intercept: float
) -> tuple[float, float]:
    """Newton's step: the gradient through the curvature."""
    by_slope, by_intercept = _RIDGE * slope, 0.0
    slopes, both, intercepts = _RIDGE, 0.0, 1e-9
    for x, target in points:
        chance = sigmoid(slope * x + intercept)
        weight = chance * (1 - chance)
        by_slope += (chance - target) * x
        by_intercept += chance - target
        slopes += weight * x * x
        both += weight * x
        intercepts += weight
    scale = slopes * intercepts - both * both
    return (
        (intercepts * by_slope - both * by_intercept) / scale,
        (slopes * by_intercept - both * by_slope) / scale,
    )


def _loss(points: Sequence[tuple[float, float]], slope: float, intercept: float) -> float:
    total = _RIDGE * slope * slope / 2
    for x, target in points:
        odds = slope * x + intercept
        total += max(odds, 0.0) - odds * target + log(1 + exp(-abs(odds)))
    return total if isfinite(total) else inf


# -- measuring -------------------------------------------------------------------------------------


def _right_on_others(pairs: Pairs) -> list[bool]:
    """Whether each case is right by a calibration of the others: a fifth at a time."""
    met = {True: 0, False: 0}
    folds = []
    for _, truth in pairs:  # both kinds are spread evenly
        folds.append(met[truth] % _FOLDS)
        met[truth] += 1
    fits = [
        fitted([pair for pair, own in zip(pairs, folds, strict=True) if own != fold])
        for fold in range(_FOLDS)
    ]
    return [
        (fits[fold].odds(probability) >= 0) == truth
        for (probability, truth), fold in zip(pairs, folds, strict=True)
    ]


def area_under_curve(pairs: Pairs) -> float:
    """The chance that a true case has a higher probability than a false one; ties are halves."""
    ordered = sorted(pairs)
    yes = sum(1 for _, truth in ordered if truth)
    total, at = 0.0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        total += sum(truth for _, truth in ordered[at:end]) * (at + end + 1) / 2  # its mean rank
        at = end
    return (total - yes * (yes + 1) / 2) / (yes * (len(ordered) - yes))


def _area_interval(area: float, yes: int, no: int) -> tuple[float, float]:
    """Newcombe's interval (2006, method 5): the areas from which this one is not surprising."""
    half = (yes + no) / 2 - 1

    def spread(true: float) -> float:
        tails = (1 - true) / (2 - true) + true / (1 + true)
        return sqrt(true * (1 - true) * (1 + half * tails) / (yes * no))

    low = border(lambda true: area - true > NORMAL * spread(true), 0.0, area)
    high = border(lambda true: true - area <= NORMAL * spread(true), area, 1.0)
    return low, high
