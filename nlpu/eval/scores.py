"""Scores: what an evaluation found, of one op and of others on the same cases.

Theory of operation
-------------------
A report has a row for each case: what was answered, what was expected, the score, and what it took.
Figures are computed from the rows. Where several were asked the same cases, the first is compared
with each of the others pair by pair: what both have right or wrong tells nothing of which is
better, what only one has right does.

Rules
1. A call that failed counts as wrong, and its row says why. A case that was not asked is no row.
2. Right is a score of 1. Where every score is 0 or 1 intervals are Wilson's and Newcombe's, else
   those of a bootstrap over cases (``intervals``).
3. Reports are frozen and have a JSON form that reads back as they were.
4. Only equal cases are compared: one id that stands for two is an error, and so is no common id.
"""

from __future__ import annotations

from importlib import import_module
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import Field, computed_field

from nlpu.errors import Usage
from nlpu.eval.intervals import Interval, bootstrap, newcombe, wilson
from nlpu.frozen import Frozen, Printed
from nlpu.printing import counted, one_line

if TYPE_CHECKING:
    from rich.console import Group

_WIDTH = 100
_MOST_NAMED = 5


class Row(Printed):
    """One case: what was answered and what that was worth.

    calls, tokens and seconds: what it takes alone; equal calls of an evaluation are made once.
    case: digests of its operands and of what is expected, as the case says them.
    """

    id: str
    score: float
    answer: str
    expected: str
    error: str = ""
    metric: str = "exact"
    asked: dict[str, str] = Field(default_factory=dict)
    case: tuple[str, ...] = ()
    tags: dict[str, Any] = Field(default_factory=dict)
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether it is right (rule 2)."""
        return self.score == 1

    def __str__(self) -> str:
        said = f"failed: {self.error}" if self.error else self.answer
        return one_line(f"{self.id}: {said} (expected: {self.expected})")


class Difference(Printed):
    """One against another on the same cases: the first's accuracy less the second's.

    gained, lost: ids of the cases that only the first, or only the second, has right; where it is
    ``graded``, that is not all scores are 0 or 1: does better.
    other_words: of how many cases the answers differ at all.
    """

    first: str
    second: str
    cases: int
    difference: float
    interval: Interval
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    other_words: int
    graded: bool = False

    def __str__(self) -> str:
        both = f"{self.first} and {self.second}"
        if not self.gained and not self.lost:
            if not self.cases:
                return f"{both}: no case has an answer of both"
            many = counted(self.cases, "case")
            if not self.other_words:
                return f"{both}: nothing differs in {many}"
            words = counted(self.other_words, "answer")
            return f"{both}: none of {many} flipped, though {words} differ in words"
        low, high = self.interval
        how = (
            "{} in which {} does better, {} in which {} does"
            if self.graded
            else "{} that only {} has right, {} that only {} has"
        )
        flips = how.format(len(self.gained), self.first, len(self.lost), self.second)
        sure = "" if low > 0 or high < 0 else ", which may as well be none"
        share = f"{self.difference:+.1%} ({low:+.1%} to {high:+.1%}){sure}"
        return f"{both}: {share}; of {counted(self.cases, 'case')} there are {flips}"


class Report(Frozen):
    """What an evaluation found. Prints as a table.

    name: what was asked. model: of its processor. cases: how many there were.
    others: what it was compared with, on the same cases. stopped: why not all were asked.
    """

    name: str
    model: str = ""
    cases: int
    rows: tuple[Row, ...]
    others: tuple[Report, ...] = ()
    stopped: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def right(self) -> int:
        """How many are right."""
        return sum(row.right for row in self.rows)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def failed(self) -> int:
        """How many calls failed; they count as wrong."""
        return sum(bool(row.error) for row in self.rows)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accuracy(self) -> float:
        """The mean of the scores: the share that is right."""
        return fmean(row.score for row in self.rows) if self.rows else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def interval(self) -> Interval:
        """The accuracy's 95 % interval (rule 2)."""
        scores = [row.score for row in self.rows]
        if _binary(scores):
            return wilson(self.right, len(scores))
        return bootstrap(scores, 0.0, 1.0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def calls(self) -> int:
        """How many calls its answers take alone, those to a judge included."""
        return sum(row.calls for row in self.rows)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def tokens_in(self) -> int:
        """Tokens of their prompts."""
        return sum(row.tokens_in for row in self.rows)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def tokens_out(self) -> int:
        """Tokens that they generated."""
        return sum(row.tokens_out for row in self.rows)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def nlops(self) -> float:
        """What they generated, in hundreds of tokens."""
        return round(self.tokens_out / 100, 4)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def latency_s(self) -> tuple[float, float]:
        """Median and 95th percentile of the seconds a case took."""
        took = sorted(row.seconds for row in self.rows) or [0.0]
        return took[(len(took) - 1) // 2], took[ceil(0.95 * len(took)) - 1]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def differences(self) -> tuple[Difference, ...]:
        """It against each of the others."""
        return tuple(self._against(other) for other in self.others)

    @property
    def wrong(self) -> tuple[Row, ...]:
        """The rows that are not right."""
        return tuple(row for row in self.rows if not row.right)

    def against(self, other: Report) -> Difference:
        """Compare with another report, on the cases that both have. Raises Usage (rule 4)."""
        _check_cases(self, other)
        return self._against(other)

    def _against(self, other: Report) -> Difference:
        theirs = {row.id: row for row in other.rows}
        pairs = [(row, theirs[row.id]) for row in self.rows if row.id in theirs]
        gained = tuple(mine.id for mine, its in pairs if mine.score > its.score)
        lost = tuple(mine.id for mine, its in pairs if mine.score < its.score)
        gaps = [mine.score - its.score for mine, its in pairs]
        graded = not _binary([row.score for pair in pairs for row in pair])
        if not graded:
            both = sum(mine.right and its.right for mine, its in pairs)
            neither = len(pairs) - both - len(gained) - len(lost)
            interval = newcombe(both, len(gained), len(lost), neither)
        else:
            interval = bootstrap(gaps, -1.0, 1.0)
        first, second = _told_apart(self, other)
        return Difference(
            first=first,
            second=second,
            cases=len(pairs),
            difference=fmean(gaps) if gaps else 0.0,
            interval=interval,
            gained=gained,
            lost=lost,
            graded=graded,
            other_words=sum(
                (mine.answer, mine.error) != (its.answer, its.error) for mine, its in pairs
            ),
        )

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        console = Console(
            file=StringIO(),
            width=_WIDTH,
            color_system=None,
            markup=False,
            emoji=False,
            highlight=False,
            force_terminal=False,
            legacy_windows=False,
        )
        console.print(self.__rich__())
        assert isinstance(console.file, StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

    def __repr__(self) -> str:
        low, high = self.interval
        share = (
            f"{self.right} of {len(self.rows)} right, {self.accuracy:.1%} ({low:.1%}-{high:.1%})"
        )
        return one_line(f"Report({self.name}: {share})")

    def __rich__(self) -> Group:
        table = import_module("nlpu.eval.score_table")  # rich is for those who print
        group: Group = table.drawn(self)
        return group


def _told_apart(one: Report, other: Report) -> tuple[str, str]:
    """The names of two reports; of equal ones with the model that tells them apart."""
    if one.name != other.name or one.model == other.model:
        return one.name, other.name
    return f"{one.name} on {one.model}", f"{other.name} on {other.model}"


def _check_cases(one: Report, other: Report) -> None:
    """Rule 4. Raises Usage."""
    theirs = {row.id: row for row in other.rows}
    pairs = [(row, theirs[row.id]) for row in one.rows if row.id in theirs]
    if not pairs and (one.rows or other.rows):
        raise Usage(
            f"{one.name} and {other.name} have no case in common ({_ids(one)}; {_ids(other)}): "
            "compare evaluations of the same cases, with the same ids"
        )
    odd = [f"{mine.id} in {what}" for mine, its in pairs if (what := _differs(mine, its))]
    if odd:
        more = f" and {len(odd) - _MOST_NAMED} more" if len(odd) > _MOST_NAMED else ""
        raise Usage(
            f"{one.name} and {other.name} have other cases under the same ids: they differ "
            f"{', '.join(odd[:_MOST_NAMED])}{more}; compare evaluations of the same cases"
        )


def _ids(report: Report) -> str:
    return f"{report.name}: {', '.join(row.id for row in report.rows[:_MOST_NAMED]) or 'none'}"


def _differs(mine: Row, its: Row) -> str:
    """In what two rows are of different cases; rows of former versions tell their texts alone."""
    if mine.case and its.case:
        parts = [mine.case[0] != its.case[0], mine.case[1] != its.case[1]]
    else:
        asked = bool(mine.asked and its.asked) and mine.asked != its.asked
        parts = [asked, mine.expected != its.expected]
    names = ("operands", "expected")
    return " and ".join(name for name, odd in zip(names, parts, strict=True) if odd)


def _binary(scores: list[float]) -> bool:
    return all(score in (0, 1) for score in scores)
