"""What draws of cases with known answers say about corrections. Pure: asks nobody.

An ``Item`` is a case as a small model drew it several times, as a larger one answered it, and as
the small one answered it when each answer was checked and asked for again. All methods are tried
on the same draws, so that their differences are of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from nlpu.errors import NlpuError
from nlpu.eval.bounds import OutOfReach, TooFewCases
from nlpu.eval.datasheet import CaseDraws
from nlpu.eval.intervals import Interval, bootstrap
from nlpu.eval.recipes import Trial, choose
from nlpu.eval.votes import Ahead, Majority, Rule

RULES: dict[str, Rule | None] = {
    "as it is": None,
    "one draw": Majority(1),
    "majority of 3": Majority(3),
    "majority of 5": Majority(5),
    "ahead by 1": Ahead(1),
    "ahead by 2": Ahead(2),
    "ahead by 3": Ahead(3),
}
LADDER: tuple[Rule | None, ...] = (Ahead(4), Ahead(3), Ahead(2), None)
CAUTIOUS: tuple[Rule | None, ...] = (Ahead(5, 12), Ahead(4, 8), Ahead(3, 7), Ahead(2, 6), *LADDER)
DOUBT = Ahead(2, 2)  # two draws that agree are believed


class Checked(NamedTuple):
    """What asking, checking and asking again came to, and the calls that it took."""

    right: bool | None
    calls: float


class Item(NamedTuple):
    """A case of a family."""

    family: str
    small: CaseDraws
    large: CaseDraws | None = None
    checked: Checked | None = None


class Taken(NamedTuple):
    """What a method made of an item: right, wrong, or unsure (None); calls of both models."""

    right: bool | None
    small: float
    large: float = 0.0


Method = Callable[[Item], Taken]


def voted(rule: Rule | None) -> Method:
    """Vote with draws of the small model."""
    return lambda item: Taken(*item.small.vote(rule))


def checked(item: Item) -> Taken:
    """Check and ask again."""
    assert item.checked is not None
    return Taken(item.checked.right, item.checked.calls)


def larger(item: Item) -> Taken:
    """Ask the large model, as the op is."""
    assert item.large is not None
    return Taken(item.large.vote(None)[0], 0, 1)


def cascaded(item: Item) -> Taken:
    """Ask the large model only where two draws of the small one disagree."""
    right, calls = item.small.vote(DOUBT)
    return Taken(right, calls) if right is not None else larger(item)._replace(small=calls)


def methods(items: Sequence[Item]) -> dict[str, Method]:
    """Give the methods that these items can be tried with, by name."""
    found: dict[str, Method] = {name: voted(rule) for name, rule in RULES.items()}
    if all(item.checked is not None for item in items):
        found["verified"] = checked
    if all(item.large is not None for item in items):
        found |= {"cascade": cascaded, "the larger model": larger}
    return found


class Point(NamedTuple):
    """A method's place on the frontier. cost: in calls of the large model."""

    name: str
    right: float
    interval: Interval
    unsure: float
    small: float
    large: float
    cost: float


def frontier(items: Sequence[Item], ratio: float) -> list[Point]:
    """Try all methods on items; ``ratio``: what a call of the small model costs of a large one."""
    found = []
    for name, method in methods(items).items():
        took = [method(item) for item in items]
        scores = [float(each.right is True) for each in took]
        small, large = fmean(each.small for each in took), fmean(each.large for each in took)
        found.append(
            Point(
                name,
                fmean(scores),
                bootstrap(scores, 0.0, 1.0),
                fmean(each.right is None for each in took),
                small,
                large,
                large + ratio * small,
            )
        )
    return found


def difference(items: Sequence[Item], one: str, other: str) -> tuple[float, Interval, float]:
    """By how much one method is more often right than another, pair by pair, and the ratio of
    their calls of the small model."""
    mine, theirs = (list(map(methods(items)[name], items)) for name in (one, other))
    gains = [float(a.right is True) - (b.right is True) for a, b in zip(mine, theirs, strict=True)]
    calls = fmean(each.small for each in mine) / fmean(each.small for each in theirs)
    return fmean(gains), bootstrap(gains, -1.0, 1.0), calls


class Held(NamedTuple):
    """What became of a promise on some cases: right, of those answered, of all."""

    right: int = 0
    answered: int = 0
    cases: int = 0


class Promise(NamedTuple):
    """What was asked for of a family, what was chosen, and what became of it on other cases.

    recipe: "" where nothing was promised, and ``why`` says it.
    """

    family: str
    reliability: float
    abstain: float
    recipe: str
    checking: Held = Held()
    fresh: Held = Held()
    why: str = ""

    def is_kept(self, held: Held) -> bool:
        """Tell whether so many were right of those that it answered."""
        return held.answered > 0 and held.right >= self.reliability * held.answered


def promised(
    planning: Sequence[Item],
    checking: Sequence[Item],
    reliability: float,
    abstain: float = 0.0,
    fresh: Sequence[Item] = (),
) -> Promise:
    """Choose by planning cases, and hold that against checking cases and fresh ones."""
    family = planning[0].family
    rules = CAUTIOUS if abstain else LADDER
    trials = [_trial(planning, rule, abstains=abstain > 0) for rule in rules]
    try:
        choice = choose(trials, reliability, abstain)
    except (TooFewCases, OutOfReach) as error:
        return Promise(family, reliability, abstain, "", why=_why(error))
    rule, abstains = rules[choice.place], abstain > 0
    kept, later = (_held(each, rule, abstains=abstains) for each in (checking, fresh))
    return Promise(family, reliability, abstain, choice.trial.recipe, kept, later)


def _held(items: Sequence[Item], rule: Rule | None, *, abstains: bool) -> Held:
    took = [item.small.vote(rule)[0] for item in items]
    answered = len(took) - took.count(None) * abstains
    return Held(took.count(True), answered, len(took))


def _trial(items: Sequence[Item], rule: Rule | None, *, abstains: bool) -> Trial:
    votes = [item.small.vote(rule, False if abstains else None) for item in items]
    said = [right for right, _ in votes]
    name = "as it is" if rule is None else str(rule)
    return Trial(
        recipe=name,
        right=said.count(True),
        wrong=said.count(False),
        unsure=said.count(None),
        cost=fmean(calls for _, calls in votes),
        abstains=abstains,
    )


def _why(error: NlpuError) -> str:
    return "out of reach" if isinstance(error, OutOfReach) else "too few cases"


def stuck(items: Sequence[Item]) -> Iterator[tuple[str, int, int]]:
    """Tell, family by family, of how many cases no right answer is drawn most often: what voting
    cannot mend."""
    families = dict.fromkeys(item.family for item in items)
    for family in families:
        mine = [item.small.leads for item in items if item.family == family]
        yield family, mine.count(False), len(mine)


def cut(items: Sequence[Item]) -> dict[str, float]:
    """Give the share of cases whose draws end before a race does: unsure here, not in a run."""
    shares = {
        name: fmean(item.small.vote(rule, True) != item.small.vote(rule, False) for item in items)
        for name, rule in RULES.items()
    }
    return {name: share for name, share in shares.items() if share}
