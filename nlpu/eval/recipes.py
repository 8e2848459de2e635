"""Recipes: the cheapest way of asking that cases with known answers show to be right often enough.

Theory of operation
-------------------
A recipe is an op, or an op under a correction. Each was tried on the same planning cases, and its
``Trial`` says how often it was right, wrong or unsure there, and what a case cost. ``choose`` takes
the trials from the most cautious to the boldest and tests each: is it shown (``bounds``) that it
is right as often as was asked for? It goes on as long as it is, and takes the last that is.

That is fixed-sequence testing (Maurer, Hothorn and Lehmacher, "Multiple comparisons in drug
clinical trials and preclinical assays", 1995; for choosing among settings of a model: Angelopoulos
and others, "Learn then Test", 2021): the order does not depend on the cases and it stops at the
first that is not shown, so however many recipes are tried, the one that is taken falls short of
what was asked for in at most 5 of 100 such plannings.

A recipe that may abstain is right or wrong only where it answers. Of mu wrong answers and alpha
that may be, (mu - alpha) / (1 - alpha) is the least that must be left unanswered: it takes none
but wrong ones away.

Rules
1. What counts is chosen before the cases are looked at: recipes and their order are an argument.
2. Of a recipe that may not abstain ``Unsure`` is a wrong answer.
3. What is not shown is not promised. Whether more cases would show it (``TooFewCases``) or nothing
   that was tried is so good (``OutOfReach``) is said with the figure that one wants to know.
4. It holds for inputs like the planning cases, and for them as a whole: not for each input.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from pydantic import Field

from nlpu.errors import BadOperand, Usage
from nlpu.eval.bounds import (
    LEVEL,
    OutOfReach,
    TooFewCases,
    cases_needed,
    check_plan,
    shown,
    too_few,
)
from nlpu.frozen import Frozen, Printed
from nlpu.printing import counted, figure, one_line


class Trial(Frozen):
    """How a recipe did on the planning cases. ``cost``: of a case in the mean, in calls.

    abstains: whether its ``Unsure`` are no wrong answers. level: how often what is shown may be
    false. spent: money or seconds of a call, where several processors are compared.
    """

    recipe: str
    right: int = Field(ge=0)
    wrong: int = Field(ge=0)
    unsure: int = Field(default=0, ge=0)
    cost: float = 1.0
    abstains: bool = False
    level: float = LEVEL
    spent: float = 0.0

    @property
    def counted(self) -> int:
        """The cases that count (rule 2)."""
        return self.right + self.wrong + (0 if self.abstains else self.unsure)

    @property
    def cases(self) -> int:
        """All cases."""
        return self.right + self.wrong + self.unsure

    @property
    def share(self) -> float:
        """The share of these that is right."""
        return self.right / self.counted if self.counted else 0.0

    @property
    def shown(self) -> float:
        """The share that is shown."""
        return shown(self.right, self.counted, self.level)

    @property
    def abstained(self) -> float:
        """The share of all cases that it does not answer."""
        return self.unsure / max(1, self.cases)

    def __str__(self) -> str:
        said = f"{self.recipe}: {self.right} of {self.counted} right, shown to be {self.shown:.3f}"
        unsure = f", {self.abstained:.0%} unsure" if self.abstains else ""
        spent = f", {figure(self.cost * self.spent)} spent on it" if self.spent else ""
        return f"{said}{unsure}, {self.cost:.2f} calls a case{spent}"


class Choice(Frozen):
    """What was chosen, and why. Prints as a table of what was tried, most cautious first.

    left_out: what could not be tried, and why. steps: of how many calls all must be right; foretold
    is then the chance of that, where it follows from a whole truth table (``shown`` does not).
    """

    reliability: float
    place: int
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    steps: int = 1
    foretold: float | None = None

    @property
    def trial(self) -> Trial:
        """The trial of the recipe that was chosen."""
        return self.trials[self.place]

    def __str__(self) -> str:
        lines = [
            f"{'->' if n == self.place else '  '} {each}" for n, each in enumerate(self.trials)
        ]
        lines += [f"   left out: {each}" for each in self.left_out]
        head = f"shown to be right in {self.reliability:.6g} of such cases"
        if self.foretold is not None:
            head = f"all right with {self.foretold:.3f}, as every input was measured"
        steps = f", for {self.steps:,} calls" if self.steps > 1 else ""
        return "\n".join((f"{head}{steps}:", *lines))

    def __repr__(self) -> str:
        return one_line(f"Choice({self.trial})")


class Chosen(Printed):
    """How calls of an op are asked in a run, and why; it is in the journal and on the receipt.

    ahead, most, temperature: its vote. sheet, inputs: digests of a datasheet, and of its operands.
    """

    op: str
    recipe: str
    asked: str
    shown: float
    calls: float
    why: str
    sheet: str = ""
    processor: str = ""
    ahead: int = 0
    most: int = 0
    temperature: float = 0.0
    inputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, op: str, asked: object, choice: Choice, **more: Any) -> Chosen:
        """Give what is kept of a choice."""
        trial = choice.trial
        return cls(
            op=op,
            recipe=trial.recipe,
            asked=str(asked),
            calls=trial.cost,
            why=str(choice),
            shown=trial.shown if choice.foretold is None else choice.foretold,
            **more,
        )

    def __str__(self) -> str:
        return f"{self.recipe} for {self.asked} ({self.shown:.3f})"


def choose(trials: Sequence[Trial], reliability: float, abstain: float = 0.0) -> Choice:
    """Choose the boldest of the recipes that are shown to be so reliable.

    trials: from the most cautious to the boldest. abstain: the share of cases that may be left
    unanswered. Raises BadOperand, TooFewCases, OutOfReach (rule 3).
    """
    if not trials:
        raise Usage("there is no recipe to choose: name at least one")
    check_plan(max(each.cases for each in trials), reliability, abstain, trials[0].level)
    place = -1
    while place + 1 < len(trials) and trials[place + 1].shown >= reliability:
        place += 1
    if place < 0:
        raise _not_shown(trials, reliability, abstain)
    found = trials[place]
    if found.abstains and found.abstained > abstain:
        raise OutOfReach(
            f"{reliability:g} is reached only by leaving {found.abstained:.0%} of the cases "
            f"unanswered, and {abstain:.0%} may be ({found}); ask for less, allow more, or take "
            "another model, other words or examples",
            _best(trials, abstaining=False).shown,
        )
    return Choice(reliability=reliability, place=place, trials=tuple(trials))


def _best(trials: Sequence[Trial], *, abstaining: bool) -> Trial:
    mine = [each for each in trials if abstaining or not each.abstains] or list(trials)
    return max(mine, key=lambda each: (each.share, each.shown))


def _alone(first: Trial, each: Trial, reliability: float) -> OutOfReach:
    return OutOfReach(
        f"{first.recipe}, the first of the recipes, is not shown to be right in {reliability:g} of "
        f"such cases ({first.shown:.3f} is), and then none after it counts. By itself "
        f"{each.recipe} is shown to be in {each.shown:.3f}: give it as the only recipe, with "
        "other cases",
        each.shown,
    )


def _not_shown(
    trials: Sequence[Trial], reliability: float, abstain: float
) -> TooFewCases | OutOfReach:
    """Why not even the most cautious will do (rule 3)."""
    first, best = trials[0], _best(trials, abstaining=True)
    there, least = counted(first.counted, "case"), cases_needed(reliability, level=first.level)
    there += f" that {first.recipe} answers (of {first.cases})" * (first.counted < first.cases)
    if 0 < first.counted < least:
        needed = ceil(least * first.cases / first.counted)
        return TooFewCases(too_few(there, reliability, needed), needed)
    for each in trials[1:]:
        if each.shown >= reliability and (not each.abstains or each.abstained <= abstain):
            return _alone(first, each, reliability)
    needed = _more(first, reliability)
    if needed:
        return TooFewCases(
            f"{first.recipe} is right in {first.share:.3f} of {there}, which shows no more than "
            f"{first.shown:.3f}; about {needed} like these would show {reliability:g}: give more, "
            "or ask for less",
            needed,
        )
    return OutOfReach(
        f"{reliability:g} is out of reach: the best that was tried is right in {best.share:.3f} of "
        f"{counted(best.counted, 'case')}, and shown to be in {best.shown:.3f} ({best.recipe}). "
        "Voting does not help where a model is wrong more often than right: ask in other words, "
        "show examples, or take another model",
        best.shown,
    )


def _more(trial: Trial, reliability: float) -> int:
    """How many cases, answered or not, would show it, if more of them would; else 0."""
    try:
        needed = cases_needed(reliability, 1 - trial.share, trial.level)
        return ceil(needed * trial.cases / trial.counted)
    except BadOperand:
        return 0
