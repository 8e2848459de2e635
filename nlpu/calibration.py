"""A calibration: how a model's probability of yes is read, as ``eval.calibrate`` has learnt it.

Rules
1. It is data: it compares by value, and is in the digest of an op that uses one.
"""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

from nlpu.judgement import DECIMALS, Judgement

_LEAST = 0.5 * 10**-DECIMALS  # a probability that is rounded to 0 is taken for this one


class Calibration(NamedTuple):
    """A way to read judgements, learnt from some whose truth is known (``calibrate``).

    Attributes:
        slope: Factor of the log-odds of the probability of yes.
        intercept: What is added to them.
        at_chance: The cases it is from did not show that it helps.
    """

    slope: float
    intercept: float
    at_chance: bool = False

    def of(self, judgement: Judgement) -> Judgement:
        """Give the judgement as calibrated: true from a probability of one half on."""
        probability = round(sigmoid(self.odds(judgement.probability)), DECIMALS)
        return judgement.model_copy(
            update={"answer": probability >= 0.5, "probability": probability}
        )

    def odds(self, probability: float) -> float:
        """Give the log-odds that a probability stands for."""
        return self.slope * logit(probability) + self.intercept


def logit(probability: float) -> float:
    """Give the log-odds of a probability, as far from certain as its last decimal tells."""
    held = min(max(probability, _LEAST), 1 - _LEAST)
    return log(held / (1 - held))


def sigmoid(odds: float) -> float:
    """Give the probability of log-odds."""
    return 1 / (1 + exp(-odds)) if odds > -700 else 0.0
