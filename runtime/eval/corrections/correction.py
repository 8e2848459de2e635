"""Correction: ops that are asked in a way that makes more of their answers right.

Theory of operation
-------------------
A correction is a small frozen value. Applied to an op it gives something that is called like the
op, and gives its Value at once: a nested program that draws, checks, asks again or asks another.

    ahead_by(2)(op)                      draws until one answer leads by two         voting
    majority(5)(op)                      what most of five draws give, stopped early voting
    verified(check)(op)                  asks again, with what was wrong             verifying
    cascade(small, large)                the first that has no doubt                 cascades
    fallback(op, other)                  the first that does not fail                cascades
    ahead_by(2)(verified(check)(op))     they compose: a vote of answers that passed a check

Here is what they have in common; what may be given to them says ``checks_of_corrections``.
All of it is calls and nested programs: budgeted and journaled as such, killed in mid-vote they are
there when the run goes on, and an answer has the labels of all that was drawn for it.

Rules
1. Where there is no answer to be sure of the content is an ``Unsure``: never a guess.
2. Draws have sample numbers that follow from the caller's, so equal questions share their draws
   (of an evaluation: two rules, too), and another ``sample`` has others throughout.
3. A reply that is no valid result votes for nobody, and its error is what a check would say. What
   the program or the host is to blame for is no vote: it fails the Value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from keyword import iskeyword
from typing import Any, Generic, Protocol, TypeVar

from nlpu.errors import BadOp, ModelError, described
from nlpu.eval.flags import Flag
from nlpu.eval.matching import text_of
from nlpu.frozen import Frozen
from nlpu.ops.checks import check_draws
from nlpu.ops.op import Op, operands_of
from nlpu.printing import one_line
from nlpu.runtime.eval.corrections.checks import flagged
from nlpu.runtime.graph.spawning import Spawn
from nlpu.value import Value, current

R = TypeVar("R")


class Unsure(Frozen):
    """No answer to be sure of: why, and what was said how often, most first."""

    why: str
    answers: tuple[Any, ...] = ()
    counts: tuple[int, ...] = ()

    def __str__(self) -> str:
        votes = zip(self.answers, self.counts, strict=True)
        said = ", ".join(f"{text_of(answer)} ({count})" for answer, count in votes)
        return one_line(f"unsure: {self.why}" + (f"; {said}" if said else ""), 200)

    def __repr__(self) -> str:
        return one_line(f"Unsure({self.why!r:.100}, {len(self.answers)} answers)")


class Correction(Protocol):
    """How subjects are asked. A frozen value; one's own is a dataclass with these two."""

    @property
    def name(self) -> str:
        """What it is called in graphs and reports."""

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Give an answer or ``Unsure``; runs as a nested program."""


@dataclass(frozen=True)
class Corrected(Generic[R]):
    """Ops under a correction, called as they are: with their operands, giving a Value at once."""

    by: Correction
    subjects: tuple[Subject[R], ...]
    op: Op[R] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.subjects or not all(isinstance(s, Op | Corrected) for s in self.subjects):
            raise BadOp(f"{self.by.name} corrects ops, and what others corrected, and nothing else")
        op, *others = (s.op if isinstance(s, Corrected) else s for s in self.subjects)
        odd = [o.name for o in others if (o.operands, o.result) != (op.operands, op.result)]
        if odd:
            raise BadOp(
                f"{self.by.name}: {odd[0]} does not take and give what {op.name} does; name ops "
                "with the same operands and the same result"
            )
        places = {each.name: each.type.annotation for each in op.operands}
        facts = {
            "op": op,
            "__name__": f"{op.name} {self.by.name}",
            "__signature__": _signature(places),
            "__annotations__": {**places, "return": op.result.annotation},
        }
        for name, fact in facts.items():  # an evaluation reads them, as those of any program
            object.__setattr__(self, name, fact)

    def __repr__(self) -> str:
        return one_line(f"{self.by.name}({', '.join(map(called, self.subjects))})")

    def __call__(self, *args: Any, sample: int = 0, **named: Any) -> Value[R | Unsure]:
        """Begin asking, and give the Value of the answer. ``sample``: see rule 2."""
        check_draws(self.op.name, None, sample)
        operands = operands_of(self.op, args, named)  # a memory is asked once, not by every draw
        given = (self.subjects, operands, sample)
        work = Spawn(self.by.correct, self.by.name, given, as_is=True)
        return current().issue(work, ())

    def each(self, change: Callable[[Op[Any]], Op[Any]]) -> Corrected[R]:
        """Give the same correction of changed ops."""
        return replace(self, subjects=tuple(changed(s, change) for s in self.subjects))


Subject = Op[R] | Corrected[R]


def _signature(names: Iterable[str]) -> Signature:
    """What a program of such operands would take; by place where none could have their names."""
    usable = [name if name.isidentifier() and not iskeyword(name) else "" for name in names]
    return Signature(
        [
            Parameter(name or f"_{at}", Parameter.POSITIONAL_OR_KEYWORD)
            for at, name in enumerate(usable)
        ]
    )


def changed(subject: Subject[R], change: Callable[[Op[Any]], Op[Any]]) -> Subject[R]:
    """The subject with its ops changed; what is none is for ``Corrected`` to refuse."""
    if isinstance(subject, Corrected):
        return subject.each(change)
    return change(subject) if isinstance(subject, Op) else subject


def op_of(subject: Subject[R]) -> Op[R]:
    return subject.op if isinstance(subject, Corrected) else subject


def called(subject: Subject[Any]) -> str:
    """Give what a subject is called, and on which processor it is, if it says so."""
    if isinstance(subject, Corrected):
        return repr(subject)
    return f"{subject.name} on {subject.processor}" if subject.processor else subject.name


def ask(subject: Subject[R], operands: tuple[Any, ...], sample: int) -> Value[Any]:
    """Ask a subject for its draw of that number; of an op at temperature 0 there is but one."""
    if isinstance(subject, Op) and not subject.temperature:
        return subject(*operands)
    return subject(*operands, sample=sample)


def drawn(draw: Value[Any], flags: Sequence[Flag]) -> tuple[Any, str]:
    """What was drawn, and why it is void, if it is (rule 3)."""
    try:
        answer = draw.value
    except ModelError as error:
        return None, str(error) or described(error)
    return answer, answer.why if isinstance(answer, Unsure) else flagged(flags, answer)
