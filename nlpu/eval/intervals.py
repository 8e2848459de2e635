"""How sure a share is: intervals of shares, of means, and of differences on the same cases.

Theory of operation
-------------------
A hundred cases say little: 80 right of 100 may be 71 % or 87 % of all such cases. So every figure
of an evaluation comes with the interval that would hold the true one in 95 of 100 evaluations.

    wilson      a share of right and wrong        Wilson, "Probable inference, the law of
                                                  succession, and statistical inference", JASA 1927
    newcombe    two shares on the same cases      Newcombe, "Improved confidence intervals for the
                                                  difference between binomial proportions based on
                                                  paired data", Statistics in Medicine 1998,
                                                  method 10
    bootstrap   a mean of any scores              percentiles; Efron, "Bootstrap methods: another
                                                  look at the jackknife", Annals of Statistics 1979
    bounded     the same, of fewer than ten scores or of equal ones, of which resampling shows too
                little                            Bentkus (``bounds``)

Rules
1. The same scores give the same interval: the bootstrap's dice are seeded.
2. An interval lies within what is possible, and holds the figure that it is of.
3. Without cases nothing is known: the interval is all that is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from random import Random
from statistics import NormalDist, fmean

from nlpu.eval.bounds import bounded

Interval = tuple[float, float]
NORMAL = NormalDist().inv_cdf(0.975)  # of an interval that holds in 95 of 100 cases
_RESAMPLES = 2000
_FEWEST = 10  # scores that are resampled


def wilson(right: int, count: int) -> Interval:
    """Give the 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    share, more = right / count, NORMAL * NORMAL / count
    middle = share + more / 2
    spread = NORMAL * sqrt(share * (1 - share) / count + more / (4 * count))
    low, high = (middle - spread) / (1 + more), (middle + spread) / (1 + more)
    return min(max(0.0, low), share), max(min(1.0, high), share)


def newcombe(both: int, first: int, second: int, neither: int) -> Interval:
    """Give the 95 % interval of the first's share less the second's, both on the same cases.

    ``first`` and ``second`` count the cases that only the one has right.
    """
    count = both + first + second + neither
    if not count:
        return -1.0, 1.0
    one, other = (both + first) / count, (both + second) / count
    low_1, high_1 = wilson(both + first, count)
    low_2, high_2 = wilson(both + second, count)
    phi = _correlation(both, first, second, neither)
    down_1, up_1, down_2, up_2 = one - low_1, high_1 - one, other - low_2, high_2 - other
    below = sqrt(max(0.0, down_1**2 - 2 * phi * down_1 * up_2 + up_2**2))
    above = sqrt(max(0.0, up_1**2 - 2 * phi * up_1 * down_2 + down_2**2))
    between = one - other
    return max(-1.0, between - below), min(1.0, between + above)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Correlate the two, corrected for continuity where they agree (method 10)."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    cross = both * neither - first * second
    if cross > 0:
        cross = max(0.0, cross - (both + first + second + neither) / 2)  # type: ignore[assignment]
    return cross / sqrt(margins)


def bootstrap(scores: Sequence[float], least: float, most: float) -> Interval:
    """Give the 95 % interval of a mean of scores between ``least`` and ``most``."""
    if not scores:
        return least, most
    dice, count, mean = Random(0), len(scores), fmean(scores)
    if count < _FEWEST or min(scores) == max(scores):
        wide = most - least
        low, high = bounded([(score - least) / wide for score in scores])
        return least + wide * low, least + wide * high
    means = sorted(sum(dice.choices(scores, k=count)) / count for _ in range(_RESAMPLES))
    edge = round(0.025 * _RESAMPLES)
    return min(means[edge], mean), max(means[-edge - 1], mean)
