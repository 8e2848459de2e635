"""Verify and retry: an op is asked until a check has no objection, each time with those before.

The rules of all corrections are in ``corrections``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nlpu.checks import COUNT
from nlpu.checks import check as check_given
from nlpu.errors import BadOp
from nlpu.eval.matching import text_of
from nlpu.ops.op import Op, Operand
from nlpu.printing import one_line
from nlpu.runtime.eval.corrections.checks import (
    base_of,
    check_checking,
    check_places,
    name_of,
    objection_of,
    told,
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
from nlpu.types.result import result_type

R = TypeVar("R")
_OBJECTIONS = Operand("objections to earlier answers", result_type(str))


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
            check_places(self.check, op_of(subject))
            changed(subject, _unplanned)
        return Corrected(self, (subject,))

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Ask, check, and ask again."""
        (subject,), objections, answers = subjects, list[str](), list[Any]()
        asked, read = subject, operands
        if _OBJECTIONS in op_of(subject).operands:  # of a check around this one
            *_, objection = operands
            operands, objections = operands[:-1], [objection]
        for _ in range(self.attempts):
            answer, wrong = drawn(ask(asked, read, sample), ())
            if not wrong:
                wrong = self._objection(asked, operands, answer)
                if not wrong:
                    return answer
                answers.append(answer)
            said = f"{text_of(answer)}: " if answer is not None else ""
            objections.append(f"{said}{wrong}")
            asked, read = changed(subject, _told), (*operands, "\n".join(objections))
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
        result = op_of(asked).result
        return answer if check.operands[-1].type == result else result.render(answer)


def _unplanned(op: Op[Any]) -> Op[Any]:
    """The op, if no votes are planned for it: no datasheet tells of one that reads objections."""
    if op.reliability is not None:
        raise BadOp(
            f"verified: {op.name} has a reliability, and is measured without objections: leave it "
            "out, or name a vote"
        )
    return op


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
