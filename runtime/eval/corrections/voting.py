"""Votes: the answer that several draws of an op agree on.

How votes are counted, and when they are over, is in ``nlpu.eval.votes``; here it meets the graph.
The rules of all corrections are in ``corrections``.

Rules
1. Who draws more than once draws above temperature 0: at 0 all draws are one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nlpu.checks import RATE
from nlpu.checks import check as check_given
from nlpu.errors import BadOp
from nlpu.eval.flags import Flag
from nlpu.eval.likeness import alike, element_of, same_in_any_order
from nlpu.eval.votes import Ahead, Majority, Rule, Tally
from nlpu.ops.op import Op
from nlpu.printing import one_line
from nlpu.runtime.eval.corrections.checks import (
    base_of,
    check_equal,
    check_flags,
    check_set,
    name_of,
    told,
    truth,
)
from nlpu.runtime.eval.corrections.correction import (
    Corrected,
    Subject,
    Unsure,
    ask,
    changed,
    drawn,
    op_of,
)

R = TypeVar("R")
Equal = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Vote:
    """Draws until a rule has a winner. Made by ``ahead_by`` and ``majority``.

    equal: whether two answers are the same: a function, an op that judges it, "set" for lists in
        any order; None: as values of their type, texts but for case and blanks.
    """

    name: str
    rule: Rule
    temperature: float = 0.7
    equal: Equal | str | None = None
    flags: tuple[Flag, ...] = ()

    def __repr__(self) -> str:
        return one_line(f"Vote({self.name})")

    def __call__(self, subject: Subject[R]) -> Corrected[R]:
        """Give the subject under this vote (rule 1)."""
        if self.equal == "set" and isinstance(subject, Op | Corrected):
            check_set(self.name, op_of(subject))
        return Corrected(self, (changed(subject, self._warm),))

    def _warm(self, op: Op[Any]) -> Op[Any]:
        """The op as it is drawn (rule 1)."""
        if op.reliability is not None:
            raise BadOp(
                f"{self.name}: {op.name} has a reliability, which plans votes: leave one out"
            )
        return op if op.temperature else op.using(temperature=self.temperature)

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Carry the vote out."""
        (subject,), rule, tally, first = subjects, self.rule, Tally(), sample * self.rule.most
        equal, last = self._equality(subject), ""
        while wanted := rule.wants(tally):
            draws = [ask(subject, operands, first + tally.draws + n) for n in range(wanted)]
            for draw in draws:
                answer, why = drawn(draw, self.flags)
                last = why or last
                tally = tally.spoil() if why else tally.vote(answer, equal)
        if not tally.counts:
            return _all_void(tally, last)
        won = rule.winner(tally)
        return _undecided(tally) if won is None else tally.answers[won]

    def _equality(self, subject: Subject[Any]) -> Equal:
        annotation, equal = op_of(subject).result.annotation, self.equal
        if callable(equal):
            asks = base_of(equal) is not None
            return lambda one, other: (asks and one == other) or _are_equal(equal, one, other)
        if equal is None:
            return lambda one, other: alike(one, other, annotation)
        kind = element_of(annotation)
        return lambda one, other: (
            one == other or (None not in (one, other) and same_in_any_order(one, other, kind))
        )


def _are_equal(equal: Equal, one: Any, other: Any) -> bool:
    said = told(equal(one, other))
    return not isinstance(said, Unsure) and truth(said, f"equal={name_of(equal)}")


def _all_void(tally: Tally, last: str) -> Unsure:
    return Unsure(why=f"none of {tally.void} draws is valid, the last because: {last}")


def _undecided(tally: Tally) -> Unsure:
    order = sorted(range(len(tally.counts)), key=lambda place: -tally.counts[place])
    return Unsure(
        why=f"{tally.draws} draws did not decide it",
        answers=tuple(tally.answers[place] for place in order),
        counts=tuple(tally.counts[place] for place in order),
    )


def ahead_by(
    k: int,
    *,
    most: int = 0,
    temperature: float = 0.7,
    equal: Equal | str | None = None,
    flags: Sequence[Flag] = (),
) -> Vote:
    """Take the first answer that leads every other by ``k``; ``Unsure`` after ``most`` draws.

    most: 0 is so many that hardly any question needs them. equal, flags: see ``Vote``.
    """
    rule = Ahead(k, most)
    limit = f" of {most}" if most else ""
    return _vote(f"ahead by {k}{limit}", rule, temperature, equal, flags)


def majority(
    n: int,
    *,
    temperature: float = 0.7,
    equal: Equal | str | None = None,
    flags: Sequence[Flag] = (),
) -> Vote:
    """Take what most of ``n`` draws say, stopped when it is certain; ``Unsure`` of a tie."""
    return _vote(f"majority of {n}", Majority(n), temperature, equal, flags)


def _vote(
    name: str, rule: Rule, temperature: float, equal: Equal | str | None, flags: Sequence[Flag]
) -> Vote:
    check_given(name, {"temperature": temperature}, {"temperature": RATE}, BadOp)
    check_equal(name, equal)
    check_flags(name, flags)
    return Vote(name, rule, temperature, equal, tuple(flags))
