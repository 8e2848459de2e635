"""Cases of a tuning: divided in planning and checking ones, and what each may take."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from nlpu.errors import BadOperand, Usage
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.metrics import means_the_same
from nlpu.eval.questions import Given, questions
from nlpu.ops.op import Op
from nlpu.printing import counted
from nlpu.runtime.eval.evaluation import check_ops
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP

FEWEST = 4  # cases of either kind


def divided(
    op: Op[Any], cases: Any, metric: Given, seed: int
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Give planning and checking cases, half each; what the op shows already is in neither.

    Raises Usage, BadOperand.
    """
    asked = cases_of(cases)
    check_ops({op.name: None}, asked)
    known, fresh = {each.operands for each in op.examples}, dict[tuple[str, ...], Case]()
    for case, question in zip(asked, questions(op, asked, metric), strict=True):
        pairs = zip(op.operands, question.operands, strict=True)
        texts = tuple(place.type.render(content) for place, content in pairs)
        first = fresh.setdefault(texts, case)  # one that is there twice would be on both sides
        if first.expected != case.expected:
            one, other = (each.where or each.id for each in (first, case))
            raise BadOperand(f"{one} and {other} ask the same and expect other answers: mend one")
        if texts in known:
            del fresh[texts]
    if len(fresh) < 2 * FEWEST:
        raise Usage(
            f"{counted(len(fresh), 'case')} that differ and are no examples of {op.name} are too "
            f"few to tune on: give {2 * FEWEST} or more"
        )
    order = list(fresh.values())
    Random(seed).shuffle(order)
    return tuple(order[: len(order) // 2]), tuple(order[len(order) // 2 :])


def most_nlops(op: Op[Any], metric: Given, cases: Sequence[Case]) -> float:
    """The most nlops that a case may take: every reply asked again, and the judge's call."""
    tokens = _tokens(op)
    if "judge" in {metric, *(case.metric for case in cases)}:
        tokens += _tokens(means_the_same)
    return tokens / TOKENS_PER_NLOP


def _tokens(op: Op[Any]) -> int:
    return op.max_tokens * (1 + op.retries * (op.result.kind != "text"))
