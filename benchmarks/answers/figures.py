"""The figures of ``benchmarks.answers``: shares, paired differences and gates, from lines.

Theory of operation
-------------------
An arm's share of a family has Wilson's interval. Two arms are compared on the items that both have:
a family's difference has Newcombe's interval for paired shares. The mean difference is that over
families, each counting the same; its interval is a bootstrap that draws items anew within each
family, 2,000 times, and takes the 2.5th and the 97.5th percentile.

Rules
1. A call that failed is wrong, and counted. What was not asked is in no figure.
2. A gate is decided where every family has ``FULL`` items on both sides; else it says what it would
   be.
3. ``new4c`` is computed: judgements of ``new4``, read by a calibration that was fitted to those of
   planning cases of the same family; all else of ``new4`` as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.answers.arms import ARMS, Line
from nlpu import Judgement, NlpuError
from nlpu.calibration import Calibration
from nlpu.eval.calibrate import area_under_curve, calibrate
from nlpu.eval.intervals import Interval, newcombe, wilson

FULL, RESAMPLES = 200, 2000
PAIRS = (
    ("new", "old"),
    ("new", "plain"),
    ("new", "dspy"),
    ("new4", "old"),
    ("new4", "old4"),
    ("new4", "plain4"),
    ("new4", "dspy4"),
    ("new4", "new"),
    ("new4c", "old"),
    ("new4c", "new4"),
)
Scores = dict[str, dict[str, dict[str, float]]]  # by family, arm and id


class Gate(NamedTuple):
    """What has to be: of two arms the lower bound of the mean difference, or the difference."""

    first: str
    second: str
    above: float
    bound: bool
    says: str


GATES = (
    Gate("new", "old", 0.0, True, "lower bound above 0 (aim: +10 points)"),
    Gate("new", "plain", -0.03, True, "lower bound above -3 points"),
    Gate("new", "dspy", -0.03, True, "lower bound above -3 points"),
    Gate("new4c", "old", 0.15, False, "at least +15 points (aim: half the errors)"),
)


# -- arithmetic --------------------------------------------------------------------------------


def stratified(families: Sequence[Sequence[float]]) -> Interval:
    """The 95 % interval of a mean of families' means, items drawn anew within each family."""
    dice = Random(0)
    means = sorted(
        fmean(sum(dice.choices(each, k=len(each))) / len(each) for each in families)
        for _ in range(RESAMPLES)
    )
    edge, mean = round(0.025 * RESAMPLES), fmean(map(fmean, families))
    return min(means[edge], mean), max(means[-edge - 1], mean)


def area(pairs: Iterable[tuple[float, bool]]) -> float | None:
    """The chance that a true item has a higher probability than a false one; ties are halves."""
    told = list(pairs)
    return area_under_curve(told) if len({truth for _, truth in told}) == 2 else None


def paired(scores: Scores, first: str, second: str) -> dict[str, list[tuple[float, float]]]:
    """Of each family that both arms have, the scores of the items that both have."""
    found = {}
    for family, arms in scores.items():
        mine, its = arms.get(first, {}), arms.get(second, {})
        pairs = [(score, its[id]) for id, score in mine.items() if id in its]
        if pairs:
            found[family] = pairs
    return found


def difference(scores: Scores, first: str, second: str) -> dict[str, Any] | None:
    """Two arms against each other, by family and in the mean; None where they share nothing."""
    pairs = paired(scores, first, second)
    if not pairs:
        return None
    gaps = {family: [mine - its for mine, its in each] for family, each in pairs.items()}
    return {
        "name": f"{first} - {second}",
        "first": first,
        "second": second,
        "difference": fmean(map(fmean, gaps.values())),
        "interval": stratified(list(gaps.values())),
        "families": {family: _in_family(each) for family, each in pairs.items()},
        "least": min(map(len, pairs.values())),
        "errors_left": _errors_left(pairs),
    }


def _in_family(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    kinds = [(mine == 1, its == 1) for mine, its in pairs]
    counts = [kinds.count(kind) for kind in ((True, True), (True, False), (False, True))]
    both, first, second = counts
    return {
        "items": len(pairs),
        "difference": (first - second) / len(pairs),
        "interval": newcombe(both, first, second, len(pairs) - both - first - second),
    }


def _errors_left(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> float | None:
    """The first's errors over the second's, both in the mean over families."""
    mine = fmean(fmean(1 - one for one, _ in each) for each in pairs.values())
    its = fmean(fmean(1 - other for _, other in each) for each in pairs.values())
    return mine / its if its else None


# -- from lines --------------------------------------------------------------------------------


def calibrated(lines: Sequence[Line], planning: Sequence[Line]) -> list[Line]:
    """The lines of ``new4c`` of those of ``new4`` (rule 3); none where none can be fitted."""
    found: list[Line] = []
    for family in dict.fromkeys(line.family for line in lines):
        mine = [line for line in lines if line.family == family]
        if any(line.probability is not None for line in mine):
            known = [each for each in planning if each.family == family]
            mine = _recalibrated(mine, known)
        found += [line._replace(arm="new4c") for line in mine]
    return found


def _recalibrated(lines: Sequence[Line], known: Sequence[Line]) -> list[Line]:
    usable = [line for line in known if line.probability is not None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one at chance is seen in the figures
            how = calibrate(
                [_judgement(each) for each in usable], [_truth(each) for each in usable]
            )
    except NlpuError:  # too few cases
        return []
    return [_read_by(how.calibration, line) for line in lines]


def _read_by(calibration: Calibration, line: Line) -> Line:
    if line.probability is None:
        return line
    said = calibration.of(_judgement(line))
    right = float(bool(said) == _truth(line))
    return line._replace(score=right, answer="yes" if said else "no", probability=said.probability)


def _judgement(line: Line) -> Judgement:
    chance = line.probability or 0.0
    return Judgement(answer=chance > 0.5, probability=chance)


def _truth(line: Line) -> bool:
    return line.expected.lower() in ("yes", "true")


def figures_of(lines: Sequence[Line], half: str) -> dict[str, Any]:
    """All figures of one model's lines."""
    mine = [line for line in lines if line.half == half]
    planned = [line for line in lines if line.half == "planning" and line.arm == "new4"]
    if half != "planning":
        mine += calibrated([line for line in mine if line.arm == "new4"], planned)
    scores: Scores = {}
    for line in mine:
        scores.setdefault(line.family, {}).setdefault(line.arm, {})[line.id] = line.score
    pairs = [found for first, second in PAIRS if (found := difference(scores, first, second))]
    arms = [arm for arm in ARMS if any(arm in each for each in scores.values())]
    return {
        "families": {
            family: {arm: _cell(mine, family, arm) for arm in ARMS if arm in scores[family]}
            for family in sorted(scores)
        },
        "pairs": pairs,
        "arms": [_arm(mine, arm, list(scores)) for arm in arms],
        "gates": [_gate(gate, pairs) for gate in GATES],
    }


def _cell(lines: Sequence[Line], family: str, arm: str) -> dict[str, Any]:
    mine = [line for line in lines if line.family == family and line.arm == arm]
    right = sum(line.score == 1 for line in mine)
    told = [(line.probability, _truth(line)) for line in mine if line.probability is not None]
    return {
        "items": len(mine),
        "right": right,
        "accuracy": right / len(mine),
        "interval": wilson(right, len(mine)),
        "errors": sum(bool(line.error) for line in mine),
        "area": area(told),
    }


def _arm(lines: Sequence[Line], arm: str, families: Sequence[str]) -> dict[str, Any]:
    """What an arm's items took, and its mean over the families; None if it was not asked in all."""
    mine = [line for line in lines if line.arm == arm]
    by_family = [[line.score for line in mine if line.family == family] for family in families]
    whole = all(by_family)
    return {
        "name": arm,
        "items": len(mine),
        "accuracy": fmean(map(fmean, by_family)) if whole else None,
        "interval": stratified(by_family) if whole else None,
        "errors": sum(bool(line.error) for line in mine),
        "seconds": fmean(line.seconds for line in mine),
        "tokens_in": fmean(line.tokens_in for line in mine),
        "tokens_out": fmean(line.tokens_out for line in mine),
    }


def _gate(gate: Gate, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether a gate holds; ``full``: on as many items as it is meant for (rule 2)."""
    name = f"{gate.first} - {gate.second}"
    found = next((pair for pair in pairs if pair["name"] == name), None)
    if found is None:
        return {"name": name, "says": gate.says, "holds": None, "full": False, "figure": None}
    figure = found["interval"][0] if gate.bound else found["difference"]
    holds = figure > gate.above if gate.bound else figure >= gate.above
    return {
        "name": name,
        "says": gate.says,
        "holds": holds,
        "full": found["least"] >= FULL,
        "figure": figure,
    }
