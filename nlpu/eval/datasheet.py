"""Datasheets: what one model's draws of an op are worth, from cases with known answers.

Theory of operation
-------------------
A truth table is drawn several times a case, at the temperature of votes. What was drawn is kept by
what is equal: of each case a row of numbers, one for each draw, equal numbers for equal answers. So
any rule can be tried on the sheet without asking anybody (``trials``): it is what the planner
reads, and everything else is counted from it.

Rules
1. Draws of one case are not independent cases: intervals are over cases.
2. The ceiling is the share of cases whose right answer is drawn more often than any wrong one: that
   is what votes come to, the more they draw. It is from so many draws a case, and no sharper.
3. A sheet is of one model, convention, system text and wording (the op's digest is in it), and is
   not read for another (``Datasheet.check_asked``).
4. A rule that wants more draws than the sheet has is not tried on fewer (``votes.needs``). A race
   without a limit that the draws do not end is unsure; where that is allowed it counts as wrong, as
   it may have ended so: nothing is made up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from os import PathLike
from pathlib import Path
from statistics import fmean
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from nlpu.errors import Usage
from nlpu.eval.bounds import bounded
from nlpu.eval.diagram import FOLDS, Diagram, calibrated
from nlpu.eval.intervals import Interval, wilson
from nlpu.eval.recipes import Trial
from nlpu.eval.speed import Amount, Count, Pace, Reading, Repeats
from nlpu.eval.votes import Rule, fold
from nlpu.frozen import Frozen

VOID = -1


class CaseDraws(Frozen):
    """The draws of a case: which answers are equal (VOID: no valid one), and which are right.

    once: the answer of the op as it is, which is mostly asked at temperature 0. answers: the texts
    of those that differ, by their numbers. asked: what tells the operands from others ("": older).
    """

    id: str
    draws: tuple[Annotated[int, Field(ge=VOID)], ...] = Field(min_length=1)
    right: tuple[Count, ...] = ()
    once: int = Field(VOID, ge=VOID)
    answers: tuple[str, ...] = ()
    asked: str = ""

    @property
    def share(self) -> float:
        """The share of its draws that is right."""
        return fmean(each in self.right for each in self.draws)

    @property
    def leads(self) -> bool:
        """Whether a right answer is drawn more often than any wrong one, void draws left out."""
        counts = Counter(each for each in self.draws if each != VOID)
        right = max((counts[each] for each in self.right), default=0)
        return right > max((counts[each] for each in counts if each not in self.right), default=0)

    def vote(self, rule: Rule | None, cut: bool | None = None) -> tuple[bool | None, int]:
        """Try a rule (None: the op as it is): whether it is right (None: unsure); calls it took.

        cut: what it is where the draws end before the vote.
        """
        if rule is None:
            return self.once in self.right, 1
        left = iter(self.draws)
        tally = fold(rule, left.__next__, void=lambda answer: answer == VOID)
        if rule.wants(tally):
            return cut, tally.draws
        won = rule.winner(tally)
        return None if won is None else tally.answers[won] in self.right, tally.draws


class OpSheet(Frozen):
    """One op. tokens: of a draw's prompt and answer, in the mean. latency_s: median and 95th.

    paces: how fast it is at so many at once. repeats: whether it says the same again.
    judged: of an op that judges, the probability of yes and the truth, a case each, asked as it is.
    """

    op: str
    digest: str
    temperature: float = Field(gt=0, allow_inf_nan=False)
    cases: tuple[CaseDraws, ...] = Field(min_length=1)
    tokens: tuple[Amount, Amount] = (0.0, 0.0)
    latency_s: tuple[Amount, Amount] = (0.0, 0.0)
    judged: tuple[tuple[Annotated[float, Field(ge=0, le=1)], bool], ...] = ()
    paces: tuple[Pace, ...] = ()
    repeats: Repeats | None = None

    @field_validator("cases")
    @classmethod
    def _each_once(cls, cases: tuple[CaseDraws, ...]) -> tuple[CaseDraws, ...]:
        if len({case.asked or case.id for case in cases}) < len(cases):
            raise ValueError("a case is there twice, and shows something only once")
        return cases

    def other_draws(self, own: float) -> str:
        """Say how an op with a temperature of its own would vote on other draws; "" if not so."""
        if own in (0, self.temperature):
            return ""
        return f"{self.op} draws at its own temperature {own:g}, and {self.temperature:g} was drawn"

    @property
    def alone_s(self) -> float:
        """Seconds that a call takes where no other is made, as far as that was measured."""
        return self.paces[0].p50_s if self.paces else self.latency_s[0]

    def busy_s(self, in_flight: int) -> float:
        """Give the seconds by which each call before it delays another."""
        best = max((pace.calls_per_s for pace in self.paces), default=0.0)
        return 1 / best if best else self.latency_s[0] / in_flight

    @property
    def least(self) -> int:
        """How many draws there are of every case."""
        return min((len(case.draws) for case in self.cases), default=0)

    @property
    def right(self) -> float:
        """The share right of one draw."""
        return fmean(case.share for case in self.cases)

    @property
    def interval(self) -> Interval:
        """Its 95 % interval (rule 1); that of alike cases is as wide as their number makes it."""
        return bounded([case.share for case in self.cases])

    @property
    def ceiling(self) -> float:
        """The share of cases that votes can get right (rule 2)."""
        return fmean(case.leads for case in self.cases)

    @property
    def ceiling_interval(self) -> Interval:
        """Its 95 % interval."""
        return wilson(sum(case.leads for case in self.cases), len(self.cases))

    @property
    def distribution(self) -> dict[float, int]:
        """How many cases have which share right, in tenths, rounded down."""
        tenths = Counter(int(10 * case.share + 1e-9) / 10 for case in self.cases)
        return dict(sorted(tenths.items()))

    @property
    def once(self) -> int:
        """How many cases the op as it is has right."""
        return sum(case.once in case.right for case in self.cases)

    @property
    def calibration(self) -> tuple[Diagram, Diagram | None]:
        """What its probabilities of yes are worth, as they are and calibrated on other cases.

        The second is None with fewer than ten cases of yes or of no.
        """
        yes = sum(truth for _, truth in self.judged)
        enough = min(yes, len(self.judged) - yes) >= 2 * FOLDS
        return Diagram.of(self.judged), Diagram.of(calibrated(self.judged)) if enough else None

    def trials(self, rules: Sequence[Rule | None], *, abstains: bool = False) -> list[Trial]:
        """Try rules on what was drawn (rule 4)."""
        found = []
        for rule in rules:
            votes = [case.vote(rule, False if abstains else None) for case in self.cases]
            said = Counter(right for right, _ in votes)
            found.append(
                Trial(
                    recipe=str(rule),
                    right=said[True],
                    wrong=said[False],
                    unsure=said[None],
                    cost=fmean(draws for _, draws in votes),
                    abstains=abstains,
                )
            )
        return found


class Datasheet(Frozen):
    """What a model's draws are worth, op by op (rule 3)."""

    model: str
    source: str = ""
    weights: str = ""
    engine: str = ""
    convention: str = ""
    system: str = ""
    date: str = ""
    window: Count = 0
    reading: Reading | None = None
    ops: dict[str, OpSheet]

    def has(self, op: str, digest: str) -> bool:
        """Whether there is a sheet of an op in these words."""
        return op in self.ops and self.ops[op].digest == digest

    @property
    def estimates(self) -> dict[str, int]:
        """Tokens that each op's answers are expected to have, for ``Computer.run(estimates=)``."""
        return {name: ceil(sheet.tokens[1]) for name, sheet in self.ops.items()}

    def of(self, op: str, digest: str) -> OpSheet:
        """Give the sheet of an op. Raises Usage where it is not there, or in other words."""
        found = self.ops.get(op)
        if found is None or not self.has(op, digest):
            why = "has other words, examples or settings there" if found else "is not there"
            raise Usage(
                f"{op} {why}: the datasheet of {self.model} has {', '.join(self.ops) or 'no op'}; "
                "make one of it with nlpu bench datasheet, or give cases"
            )
        return found

    def check_asked(self, **now: str) -> None:
        """Refuse to be read for another model, convention or system text. Raises Usage.

        now: what is asked for, by the names of the fields; what one of both does not know is taken
        to be the same, but for the system text.
        """
        odd = self.differs(**now)
        if odd:
            raise Usage(
                f"{odd}: it says nothing of that; make one with nlpu bench datasheet, or give cases"
            )

    def differs(self, **now: str) -> str:
        """Give the first difference to what is asked for (``check_asked``), "" if there is none."""
        for name, wanted in now.items():
            was = str(getattr(self, name))
            if was != wanted and (name == "system" or (was and wanted)):
                return f"the datasheet has the {name} {was!r:.60}, and {wanted!r:.60} is asked for"
        return ""

    def digest(self) -> str:
        """Give what tells it from every other sheet; of a file it stays, whoever reads it."""
        text = json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()


def sheet_in(path: str | PathLike[str]) -> Datasheet:
    """Read a datasheet that ``nlpu bench datasheet`` wrote, or an editor since. Raises Usage."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        return Datasheet.model_validate(found.get("sheet", found))
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, AttributeError, ValidationError, RecursionError) as error:
        odd = error.errors()[0] if isinstance(error, ValidationError) else None
        where = "" if odd is None else f" ({'.'.join(map(str, odd['loc']))}: {odd['msg']})"
        raise Usage(f"{path} is no datasheet{where}: make one with nlpu bench datasheet") from None
