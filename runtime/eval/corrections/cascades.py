"""Corrections that ask one after the other: the next where one fails, or doubts.

Rules
1. A cascade goes on where an answer is in doubt, or is no valid one. A host that fails says
   nothing of the answer: that is for a fallback.
2. The last one's word is taken as it is, be it a doubt or a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from nlpu.checks import AMOUNT
from nlpu.checks import check as check_given
from nlpu.errors import BadOp, HostError, ModelError
from nlpu.judgement import Judgement
from nlpu.runtime.eval.corrections.correction import Corrected, Subject, Unsure, ask

R = TypeVar("R")


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
    made = Corrected(InTurn("cascade", True, sure), subjects)
    if sure and made.op.result.annotation is not Judgement:
        raise BadOp(
            f"cascade: sure={sure:g} is of judgements; {made.op.name} gives {made.op.result.name}: "
            "leave it out, or let the ops give Judgement"
        )
    return made


def fallback(*subjects: Subject[R]) -> Corrected[R]:
    """Ask the first; where it fails, be it the model or its host, the next, and so on."""
    return Corrected(InTurn("fallback", False), subjects)
