"""Correction: ops that are asked in a way that makes more of their answers right.

Theory of operation
-------------------
A correction is a small frozen value. Applied to an op it gives something that is called like the
op, and gives its Value at once: a nested program that draws, checks, asks again or asks another.

    ahead_by(2)(op)                      draws until one answer leads by two
    majority(5)(op)                      the answer that most of five draws give, stopped early
    verified(check)(op)                  asks again with what was wrong, until nothing is
    cascade(small, large)                the first that has no doubt
    fallback(op, other)                  the first that does not fail
    ahead_by(2)(verified(check)(op))     they compose: a vote of answers that passed a check

How votes are counted, and when they are over, is in ``nlpu.eval.votes``; here it meets the graph.
Those that ask one after the other are ``cascades``; what may be given says
``checks_of_corrections``.
All of it is calls and nested programs: budgeted and journaled as such, killed in mid-vote they are
there when the run goes on, and an answer has the labels of all that was drawn for it.

Rules
1. Where there is no answer to be sure of the content is an ``Unsure``: never a guess.
2. Draws have sample numbers that follow from the caller's, so equal questions share their draws
   (of an evaluation: two rules, too), and another ``sample`` has others throughout.
3. A reply that is no valid result votes for nobody, and its error is what a check would say. What
   the program or the host is to blame for is no vote: it fails the Value.
4. Whoever draws more than once draws above temperature 0: at 0 all draws are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from keyword import iskeyword
from typing import Any, Generic, Protocol, TypeVar

from nlpu.checks import COUNT, RATE
from nlpu.checks import check as check_given
from nlpu.errors import BadOp, ModelError, described
from nlpu.eval.flags import Flag
from nlpu.eval.likeness import element_of, same, same_in_any_order
from nlpu.eval.matching import text_of
from nlpu.eval.votes import Ahead, Majority, Rule, Tally
from nlpu.frozen import Frozen
from nlpu.ops.checks import check_draws
from nlpu.ops.op import Op, Operand, operands_of
from nlpu.printing import one_line
from nlpu.runtime.eval.checks_of_corrections import (
    base_of,
    check_checking,
    check_equal,
    check_flags,
    check_places,
    check_set,
    flagged,
    name_of,
    objection_of,
    told,
    truth,
)
from nlpu.runtime.graph.spawning import Spawn
from nlpu.types.result import result_type
from nlpu.value import Value, current

R = TypeVar("R")
Equal = Callable[[Any, Any], Any]
_HOPELESS = 6  # void draws without any vote: more would hardly be better
_OBJECTIONS = Operand("objections to earlier answers", result_type(str))


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
        return replace(self, subjects=tuple(_changed(s, change) for s in self.subjects))


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


def _changed(subject: Subject[R], change: Callable[[Op[Any]], Op[Any]]) -> Subject[R]:
    """The subject with its ops changed; what is none is for ``Corrected`` to refuse."""
    if isinstance(subject, Corrected):
        return subject.each(change)
    return change(subject) if isinstance(subject, Op) else subject


def _op_of(subject: Subject[R]) -> Op[R]:
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


# -- votes -----------------------------------------------------------------------------------------


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
        """Give the subject under this vote (rule 4)."""
        if self.equal == "set" and isinstance(subject, Op | Corrected):
            check_set(self.name, _op_of(subject))
        return Corrected(self, (_changed(subject, self._warm),))

    def _warm(self, op: Op[Any]) -> Op[Any]:
        """The op as it is drawn (rule 4)."""
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
                answer, why = _drawn(draw, self.flags)
                last = why or last
                tally = tally.spoil() if why else tally.vote(answer, equal)
            if tally.void >= _HOPELESS and not tally.counts:
                return _all_void(tally, last)
        if not tally.counts:
            return _all_void(tally, last)
        won = rule.winner(tally)
        return _undecided(tally) if won is None else tally.answers[won]

    def _equality(self, subject: Subject[Any]) -> Equal:
        annotation, equal = _op_of(subject).result.annotation, self.equal
        if callable(equal):
            asks = base_of(equal) is not None
            return lambda one, other: (asks and one == other) or _are_equal(equal, one, other)
        if equal is None:
            return lambda one, other: same(one, other, annotation)
        kind = element_of(annotation)
        return lambda one, other: (
            one == other or (None not in (one, other) and same_in_any_order(one, other, kind))
        )


def _are_equal(equal: Equal, one: Any, other: Any) -> bool:
    said = told(equal(one, other))
    return not isinstance(said, Unsure) and truth(said, f"equal={name_of(equal)}")


def _drawn(draw: Value[Any], flags: Sequence[Flag]) -> tuple[Any, str]:
    """What was drawn, and why it is void, if it is (rule 3)."""
    try:
        answer = draw.value
    except ModelError as error:
        return None, str(error) or described(error)
    return answer, answer.why if isinstance(answer, Unsure) else flagged(flags, answer)


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


# -- verify and retry ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """Asks again, with what was wrong, until a check has no objection. Made by ``verified``."""

    check: Callable[..., Any]
    attempts: int = 3
    name: str = "verified"

    def __repr__(self) -> str:
        return one_line(f"Verified({name_of(self.check)})")

    def __call__(self, subject: Subject[R]) -> Corrected[R]:
        """Give the subject under this check."""
        if isinstance(subject, Op | Corrected):
            check_places(self.check, _op_of(subject))
        return Corrected(self, (subject,))

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Ask, check, and ask again."""
        (subject,), objections, answers = subjects, list[str](), list[Any]()
        asked, read = subject, operands
        if _OBJECTIONS in _op_of(subject).operands:  # of a check around this one
            *_, objection = operands
            operands, objections = operands[:-1], [objection]
        for _ in range(self.attempts):
            answer, wrong = _drawn(ask(asked, read, sample), ())
            if not wrong:
                wrong = self._objection(asked, operands, answer)
                if not wrong:
                    return answer
                answers.append(answer)
            said = f"{text_of(answer)}: " if answer is not None else ""
            objections.append(f"{said}{wrong}")
            asked, read = _changed(subject, _told), (*operands, "\n".join(objections))
        why = f"{self.attempts} answers were objected to, the last because: {objections[-1]}"
        return Unsure(why=why, answers=tuple(answers), counts=(1,) * len(answers))

    def _objection(self, asked: Subject[Any], operands: Sequence[Any], answer: Any) -> str:
        op = base_of(self.check)
        if op is None:
            said = told(self.check(answer))
        else:
            before = () if len(op.operands) == 1 else operands
            said = self.check(*before, self._shown(op, asked, answer)).value
        if isinstance(said, Unsure):
            return str(said)
        return objection_of(said, name_of(self.check) if op is None else op.text)

    def _shown(self, check: Op[Any], asked: Subject[Any], answer: Any) -> Any:
        """An answer as the checking op reads it: as it is, or as text."""
        result = _op_of(asked).result
        return answer if check.operands[-1].type == result else result.render(answer)


def _told(op: Op[Any]) -> Op[Any]:
    """The op that also reads what was wrong with earlier answers."""
    if _OBJECTIONS in op.operands:
        return op
    return replace(op, operands=(*op.operands, _OBJECTIONS), examples=())


def verified(check: Callable[..., Any], *, attempts: int = 3) -> Verified:
    """Ask until a check has no objection, each time with the earlier ones; else ``Unsure``.

    check: a function of the answer that gives what is wrong with it ("" for nothing) or whether it
    is right, a red flag, or an op: of the answer alone, or of the operands and the answer.
    """
    check_checking(check)
    check_given("verified", {"attempts": attempts}, {"attempts": COUNT}, BadOp)
    return Verified(check, attempts)
