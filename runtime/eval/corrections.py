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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from nlpu.checks import AMOUNT, COUNT, FUNCTION, RATE
from nlpu.checks import check as check_given
from nlpu.errors import BadOp, HostError, ModelError, described
from nlpu.eval.flags import Flag, objection
from nlpu.eval.likeness import element_of, same, same_in_any_order
from nlpu.eval.matching import text_of
from nlpu.eval.votes import Ahead, Majority, Rule, Tally
from nlpu.judgement import Judgement
from nlpu.ops.checks import check_draws
from nlpu.ops.op import Op, Operand, operands_of
from nlpu.printing import one_line
from nlpu.runtime.graph.spawning import Spawn
from nlpu.types.result import result_type
from nlpu.value import Value, current

R = TypeVar("R")
Equal = Callable[[Any, Any], Any]
_HOPELESS = 6  # void draws without any vote: more would hardly be better
_OBJECTIONS = Operand("objections to earlier answers", result_type(str))


class Unsure(BaseModel):
    """No answer to be sure of: why, and what was said how often, most first."""

    model_config = ConfigDict(frozen=True)
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
        names = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in places]
        facts = {
            "op": op, "__name__": f"{op.name} {self.by.name}", "__signature__": Signature(names),
            "__annotations__": {**places, "return": op.result.annotation},
        }  # fmt: skip
        for name, fact in facts.items():  # an evaluation reads them, as those of any program
            object.__setattr__(self, name, fact)

    def __repr__(self) -> str:
        return one_line(f"{self.by.name}({', '.join(map(called, self.subjects))})")

    def __call__(self, *args: Any, sample: int = 0, **named: Any) -> Value[R | Unsure]:
        """Begin asking, and give the Value of the answer. ``sample``: see rule 2."""
        check_draws(self.op.name, None, sample)
        operands = operands_of(self.op, args, named)  # a memory is asked once, not by every draw
        work = Spawn(self.by.correct, self.by.name, (self.subjects, operands, sample))
        return current().issue(work, ())

    def each(self, change: Callable[[Op[Any]], Op[Any]]) -> Corrected[R]:
        """Give the same correction of changed ops."""
        return replace(self, subjects=tuple(_changed(s, change) for s in self.subjects))


Subject = Op[R] | Corrected[R]


def _changed(subject: Subject[R], change: Callable[[Op[Any]], Op[Any]]) -> Subject[R]:
    """The subject with its ops changed; what is none is for ``Corrected`` to refuse."""
    if isinstance(subject, Corrected):
        return subject.each(change)
    return change(subject) if isinstance(subject, Op) else subject


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
        warm = _changed(
            subject, lambda op: op if op.temperature else op.using(temperature=self.temperature)
        )
        return Corrected(self, (warm,))

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
                return Unsure(why=f"none of {tally.void} draws is valid, the last because: {last}")
        won = rule.winner(tally)
        return _undecided(tally) if won is None else tally.answers[won]

    def _equality(self, subject: Subject[Any]) -> Equal:
        result = (subject.op if isinstance(subject, Corrected) else subject).result
        equal = self.equal
        if equal == "set":
            kind = element_of(result.annotation)
            return lambda one, other: same_in_any_order(one, other, kind)
        if isinstance(equal, Op):
            return lambda one, other: one == other or bool(equal(one, other).value)
        if callable(equal):
            return equal
        return lambda one, other: same(one, other, result.annotation)


def _drawn(draw: Value[Any], flags: Sequence[Flag]) -> tuple[Any, str]:
    """What was drawn, and why it is void, if it is (rule 3)."""
    try:
        answer = draw.value
    except ModelError as error:
        return None, str(error) or described(error)
    return answer, answer.why if isinstance(answer, Unsure) else objection(flags, answer)


def _undecided(tally: Tally) -> Unsure:
    order = sorted(range(len(tally.counts)), key=lambda place: -tally.counts[place])
    return Unsure(
        why=f"{tally.draws} draws did not decide it",
        answers=tuple(tally.answers[place] for place in order),
        counts=tuple(tally.counts[place] for place in order),
    )


def ahead_by(
    k: int, *, most: int = 0, temperature: float = 0.7, equal: Equal | str | None = None,
    flags: Sequence[Flag] = (),
) -> Vote:  # fmt: skip
    """Take the first answer that leads every other by ``k``; ``Unsure`` after ``most`` draws.

    most: 0 is so many that hardly any question needs them. equal, flags: see ``Vote``.
    """
    rule = Ahead(k, most)
    limit = f" of {most}" if most else ""
    return _vote(f"ahead by {k}{limit}", rule, temperature, equal, flags)


def majority(
    n: int, *, temperature: float = 0.7, equal: Equal | str | None = None,
    flags: Sequence[Flag] = (),
) -> Vote:  # fmt: skip
    """Take what most of ``n`` draws say, stopped when it is certain; ``Unsure`` of a tie."""
    return _vote(f"majority of {n}", Majority(n), temperature, equal, flags)


def _vote(
    name: str, rule: Rule, temperature: float, equal: Equal | str | None, flags: Sequence[Flag]
) -> Vote:
    given = {"temperature": temperature, "equal": equal}
    fits = (lambda e: e in (None, "set") or callable(e), "a function, an op that judges, or 'set'")
    check_given(name, given, {"temperature": RATE, "equal": fits}, BadOp)
    return Vote(name, rule, temperature, equal, tuple(flags))


# -- verify and retry ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """Asks again, with what was wrong, until a check has no objection. Made by ``verified``."""

    check: Callable[..., Any]
    attempts: int = 3
    name: str = "verified"

    def __repr__(self) -> str:
        return one_line(f"Verified({_name(self.check)})")

    def __call__(self, subject: Subject[R]) -> Corrected[R]:
        """Give the subject under this check."""
        return Corrected(self, (subject,))

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Ask, check, and ask again."""
        (subject,), objections, answers = subjects, list[str](), list[Any]()
        asked, more = subject, tuple[str, ...]()
        for _ in range(self.attempts):
            answer, wrong = _drawn(ask(asked, (*operands, *more), sample), ())
            if not wrong:
                wrong = self._objection(asked, operands, answer)
                if not wrong:
                    return answer
                answers.append(answer)
            said = f"{text_of(answer)}: " if answer is not None else ""
            objections.append(f"{said}{wrong}")
            asked, more = _changed(subject, _told), ("\n".join(objections),)
        why = f"{self.attempts} answers were objected to, the last because: {objections[-1]}"
        return Unsure(why=why, answers=tuple(answers), counts=(1,) * len(answers))

    def _objection(self, asked: Subject[Any], operands: tuple[Any, ...], answer: Any) -> str:
        if not isinstance(self.check, Op):
            said = self.check(answer)
            said = said.value if isinstance(said, Value) else said
        elif len(self.check.operands) == 1:
            said = self.check(self._shown(0, asked, answer)).value
        else:
            said = self.check(*operands, self._shown(-1, asked, answer)).value
        if isinstance(said, str):
            return said
        name = self.check.text if isinstance(self.check, Op) else _name(self.check)
        return "" if said else f"not so: {name}"

    def _shown(self, place: int, asked: Subject[Any], answer: Any) -> Any:
        """An answer as the checking op reads it: as it is, or as text."""
        assert isinstance(self.check, Op)
        result = (asked.op if isinstance(asked, Corrected) else asked).result
        reads = self.check.operands[place].type
        return answer if reads == result else result.render(answer)


def _told(op: Op[Any]) -> Op[Any]:
    """The op that also reads what was wrong with earlier answers."""
    return replace(op, operands=(*op.operands, _OBJECTIONS), examples=())


def _name(check: Callable[..., Any]) -> str:
    return getattr(check, "__name__", type(check).__name__).replace("_", " ")


def verified(check: Callable[..., Any], *, attempts: int = 3) -> Verified:
    """Ask until a check has no objection, each time with the earlier ones; else ``Unsure``.

    check: a function of the answer that gives what is wrong with it ("" for nothing) or whether it
    is right, a red flag, or an op: of the answer alone, or of the operands and the answer.
    """
    given = {"check": check, "attempts": attempts}
    check_given("verified", given, {"check": FUNCTION, "attempts": COUNT}, BadOp)
    return Verified(check, attempts)


# -- one after the other ---------------------------------------------------------------------------


@dataclass(frozen=True)
class InTurn:
    """Asks the next where the one before fails, or doubts. Made by ``cascade``, ``fallback``."""

    name: str
    doubts: bool
    sure: float = 0.0

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Ask one after the other; the last one's word is taken as it is."""
        *others, last = subjects
        for subject in others:
            try:
                answer = ask(subject, operands, sample).value
            except ModelError:
                continue
            except HostError:
                if self.doubts:  # it says nothing of the answer
                    raise
                continue
            if not (self.doubts and self._doubtful(answer)):
                return answer
        return ask(last, operands, sample).value

    def _doubtful(self, answer: Any) -> bool:
        if isinstance(answer, Judgement):
            return max(answer.probability, 1 - answer.probability) < self.sure
        return isinstance(answer, Unsure)


def cascade(*subjects: Subject[R], sure: float = 0.0) -> Corrected[R]:
    """Ask the first; where it is unsure or has no valid answer, the next, and so on.

    sure: how probable a judgement must find its answer not to be passed on.
    """
    fits = (lambda x: AMOUNT[0](x) and x <= 1, "a probability")
    check_given("cascade", {"sure": sure}, {"sure": fits}, BadOp)
    return Corrected(InTurn("cascade", True, sure), subjects)


def fallback(*subjects: Subject[R]) -> Corrected[R]:
    """Ask the first; where it fails, be it the model or its host, the next, and so on."""
    return Corrected(InTurn("fallback", False), subjects)
