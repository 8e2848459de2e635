"""Calibration: how the probability of yes that a model gives is read.

    probability' = sigmoid(slope * logit(probability) + intercept)

The slope says how sure the model may be, the intercept where its even odds are (the threshold is
``-intercept / slope`` in log-odds). ``op.using(calibration=...)`` reads judgements so.
``calibrate`` (``nlpu.eval.fitting``) fits one to cases with known answers.

Rules
1. A calibration is data: it compares by value, and is in the digest of an op that uses one.
"""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

from nlpu.judgement import DECIMALS, Judgement

_LEAST = 0.5 * 10**-DECIMALS  # a probability that is rounded to 0 is taken for this one


class Calibration(NamedTuple):
    """How judgements are read. ``at_chance``: the cases it is from did not show that it helps."""

    slope: float
    intercept: float
    at_chance: bool = False

    def of(self, judgement: Judgement) -> Judgement:
        """The judgement as calibrated: true from a probability of one half on, also if drawn."""
        probability = round(sigmoid(self.odds(judgement.probability)), DECIMALS)
        return judgement.model_copy(
            update={"answer": probability >= 0.5, "probability": probability}
        )

    def odds(self, probability: float) -> float:
        """The log-odds that a probability stands for."""
        return self.slope * logit(probability) + self.intercept


def logit(probability: float) -> float:
    """The log-odds of a probability, as far from certain as its last decimal tells."""
    held = min(max(probability, _LEAST), 1 - _LEAST)
    return log(held / (1 - held))


def sigmoid(odds: float) -> float:
    """Give the probability that log-odds stand for."""
    return 1 / (1 + exp(-odds)) if odds > -700 else 0.0
