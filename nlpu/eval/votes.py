"""Votes: several draws of one question as one answer. Pure: nothing here asks anybody.

Theory of operation
-------------------
A draw is right with a chance p that a program cannot change; how often to draw, it can. The votes
so far are a ``Tally``, a rule says how many more draws are wanted (none: it is over) and who has
won, if anybody:

    Ahead(k)      the first answer that leads every other by k
    Majority(n)   the answer that most of n draws give, stopped when no other can catch up

Of one question whose draws are right with chance p > 1/2, all wrong draws agreeing, Ahead(k) is
right with 1 / (1 + r) where r = ((1-p)/p)^k, after k/(2p-1) * (1-r)/(1+r) draws in the mean: the
gambler's ruin (Feller, "An Introduction to Probability Theory and Its Applications", volume 1,
chapter XIV, 2 and 3), and Wald's sequential test of p against 1-p ("Sequential tests of
statistical hypotheses", Annals of Mathematical Statistics 1945), so no rule that is as often right
draws less in the mean. Where wrong draws disagree it is right more often.

Rules
1. A rule wants no more draws at once than must come before anybody can have won: none is wasted by
   asking for them at the same time, and their order does not matter.
2. A void draw (it failed, or carries a red flag) is counted as drawn and votes for nobody. After
   six and no vote it is over: more would hardly be better.
3. Where nobody has won when the draws are used up, or nobody can any more, nobody has: that is no
   answer, and not a guess.
4. The formulae are of one p. Inputs differ in theirs, and none with p <= 1/2 gets better by
   voting: plan with cases (``recipes``), not with a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, expm1, log
from operator import eq
from statistics import fmean
from typing import Any, NamedTuple, Protocol

from nlpu.checks import COUNT, check
from nlpu.errors import BadOperand
from nlpu.eval.bounds import SHARE, OutOfReach

_HOPELESS = 6  # void draws (rule 2)
_MOST_AHEAD = 8  # draws for each k * k: one race in 20,000 is not over by then at p = 1/2


class Tally(NamedTuple):
    """The votes so far: the answers that differ, in order of appearance, and how many gave each."""

    answers: tuple[Any, ...] = ()
    counts: tuple[int, ...] = ()
    void: int = 0

    @property
    def draws(self) -> int:
        """How many draws there were."""
        return sum(self.counts) + self.void

    @property
    def hopeless(self) -> bool:
        """Whether there were only void draws, and enough of them (rule 2)."""
        return self.void >= _HOPELESS and not self.counts

    def vote(self, answer: Any, equal: Callable[[Any, Any], Any] = eq) -> Tally:
        """Give the tally with one more draw."""
        counts = self.counts
        for place, known in enumerate(self.answers):
            if equal(known, answer):
                more = counts[place] + 1
                return Tally(self.answers, (*counts[:place], more, *counts[place + 1 :]), self.void)
        return Tally((*self.answers, answer), (*counts, 1), self.void)

    def spoil(self) -> Tally:
        """Give the tally with one more void draw (rule 2)."""
        return self._replace(void=self.void + 1)

    def best(self) -> tuple[int, int]:
        """Give the most votes that an answer has, and the most that another has."""
        *_, second, first = sorted((0, 0, *self.counts))
        return first, second


class Rule(Protocol):
    """When a vote is over, and who has won."""

    @property
    def most(self) -> int:
        """Most draws there can be."""

    def wants(self, tally: Tally) -> int:
        """Give how many draws to make now, at once; 0: it is over."""

    def winner(self, tally: Tally) -> int | None:
        """Give the place of the answer that has won, if one has."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """The first answer that leads every other by ``k``, if one does in ``most`` draws.

    most: 0 is so many that hardly any race needs them. With ``most=k`` all must agree.
    """

    k: int
    most: int = 0

    def __post_init__(self) -> None:
        check("Ahead", {"k": self.k}, {"k": COUNT}, BadOperand)
        if not self.most:
            object.__setattr__(self, "most", _MOST_AHEAD * self.k * self.k)
        fits = {"most": (lambda n: COUNT[0](n) and n >= self.k, f"at least {self.k}, or 0")}
        check("Ahead", {"most": self.most}, fits, BadOperand)

    def wants(self, tally: Tally) -> int:
        """Give what the leader lacks, if there are so many draws left."""
        first, second = tally.best()
        lacks = self.k - (first - second)
        return 0 if lacks <= 0 or lacks > self.most - tally.draws or tally.hopeless else lacks

    def winner(self, tally: Tally) -> int | None:
        """Give the place of the answer that is so far ahead."""
        first, second = tally.best()
        return tally.counts.index(first) if first - second >= self.k else None


@dataclass(frozen=True, slots=True)
class Majority:
    """The answer that most of ``n`` draws give; a tie is nobody's."""

    n: int

    def __post_init__(self) -> None:
        check("Majority", {"n": self.n}, {"n": COUNT}, BadOperand)

    @property
    def most(self) -> int:
        """Most draws there can be."""
        return self.n

    def wants(self, tally: Tally) -> int:
        """Give how many draws would end it if all of them were for the leader."""
        first, second = tally.best()
        left = self.n - tally.draws
        over = first > second + left or tally.hopeless
        return 0 if over else min((left + second - first) // 2 + 1, left)

    def winner(self, tally: Tally) -> int | None:
        """Give the place of the answer with most votes."""
        first, second = tally.best()
        return tally.counts.index(first) if first > second else None


def needs(rule: Rule) -> int:
    """Give how many draws must be there to try a rule; of one without a limit, for it to end."""
    return rule.k if isinstance(rule, Ahead) and rule == Ahead(rule.k) else rule.most


def fold(
    rule: Rule,
    draw: Callable[[], Any],
    equal: Callable[[Any, Any], Any] = eq,
    void: Callable[[Any], bool] | None = None,
) -> Tally:
    """Carry a vote out with draws that are at hand, one after the other; StopIteration ends it."""
    tally = Tally()
    while wanted := rule.wants(tally):
        for _ in range(wanted):
            try:
                answer = draw()
            except StopIteration:
                return tally
            is_void = void is not None and void(answer)
            tally = tally.spoil() if is_void else tally.vote(answer, equal)
    return tally


# -- formulae: one question, draws right with chance p (rule 4) ------------------------------------


def right_ahead(p: float, k: int) -> float:
    """Give how often Ahead(k) is right. Raises OutOfReach for p <= 1/2."""
    return 1 / (1 + _odds(p) ** k)


def draws_ahead(p: float, k: int) -> float:
    """Give how many draws Ahead(k) makes in the mean. Raises OutOfReach for p <= 1/2."""
    ruin = _odds(p) ** k
    return k / (2 * p - 1) * (1 - ruin) / (1 + ruin)


def ahead_for(p: float, reliability: float, steps: int = 1) -> int:
    """Give the k by which so many steps, each a vote, are all right with that reliability.

    Raises OutOfReach for p <= 1/2.
    """
    fits = {"reliability": SHARE, "steps": COUNT}
    check("ahead_for", {"reliability": reliability, "steps": steps}, fits, BadOperand)
    odds = _odds(p)
    if not odds:
        return 1
    return max(1, ceil(log(expm1(-log(reliability) / steps)) / log(odds)))


def ahead_over(chances: Sequence[float], reliability: float, steps: int) -> tuple[int, float]:
    """Give the k by which so many steps are all right with that reliability, and their mean draws.

    chances: p of inputs that come equally often. Raises OutOfReach where one is at most 1/2.
    """
    k = max(ahead_for(p, reliability, 1) for p in chances)
    while steps * fmean(log(right_ahead(p, k)) for p in chances) < log(reliability):
        k += 1
    return k, steps * fmean(draws_ahead(p, k) for p in chances)


def chances_of(drawn: Sequence[tuple[int, int]]) -> list[float]:
    """Give each input's chance, of how many of its draws were right, and how many there were.

    Inputs are taken to resemble each other as far as they were seen to: each is drawn to the mean
    of all by the beta distribution that has the spread between them (by its moments).
    """
    shares, count = [right / draws for right, draws in drawn], sum(draws for _, draws in drawn)
    mean = (sum(right for right, _ in drawn) + 1) / (count + 2)
    noise, each = mean * (1 - mean), count / len(drawn)
    spread = fmean((share - mean) ** 2 for share in shares) / noise
    alike = (spread - 1 / each) / (1 - 1 / each) if each > 1 else 0.0  # correlation within an input
    if alike <= 0:
        return [mean] * len(drawn)
    weight = max(0.0, 1 / alike - 1)
    return [(right + weight * mean) / (draws + weight) for right, draws in drawn]


def _odds(p: float) -> float:
    """The odds of wrong to right. Raises OutOfReach."""
    if not 0.5 < p <= 1:
        raise OutOfReach(
            f"draws that are right with a chance of {p:.4g} get no better by voting: above one "
            "half they would; ask in other words, show examples, or take another model",
            p,
        )
    return (1 - p) / p
