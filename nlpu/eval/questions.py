"""Questions: cases made ready for one op or program, checked before anything is asked.

Theory of operation
-------------------
A case says operands by name. Held against an op it becomes a question: the op itself (of a case
with choices the one that is made of them), its operands in order and of their types, what is
expected as the op could answer it, and the metric. A program is asked in the same way; what its
annotations do not say is not checked.

Rules
1. Operands that do not fit, and an expectation that no answer could meet, are BadOperand, with the
   place the case is from.
2. A text is taken for what the operand's type reads from it (``meant``): a table knows no other.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nlpu.errors import BadOp, BadOperand, NlpuError
from nlpu.eval.cases import Case
from nlpu.eval.metrics import Metric, metric_of
from nlpu.ops.examples import meant
from nlpu.ops.op import Op, Operand
from nlpu.printing import shown
from nlpu.types.json_text import Twice
from nlpu.types.result import ResultType, result_type
from nlpu.value import Value

Subject = Op[Any] | Callable[..., Any]
Given = str | Callable[[Any, Any], Any] | None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of ``asks`` and what is right. ``operands`` are in order."""

    case: Case
    asks: Subject
    operands: tuple[Any, ...]
    expected: Any
    metric: Metric

    def score(self, content: Any) -> float:
        """What an answer is worth, 0 to 1; of a metric that asks, what the judge's is."""
        return self.metric.score(self.expected, content)


def questions(
    subject: Subject, cases: Iterable[Case], metric: Given = None
) -> tuple[Question, ...]:
    """The cases as questions of an op or a program; metric: that of all, whatever they say.

    Raises BadOperand.
    """
    return tuple(_question(subject, case, metric) for case in cases)


def called(subject: Subject) -> str:
    """The name of an op or a program."""
    name = subject.name if isinstance(subject, Op) else getattr(subject, "__name__", "program")
    return str(name)


def _question(subject: Subject, case: Case, metric: Given) -> Question:
    where = f"{case.where or f'case {case.id!r}'} ({called(subject)})"
    try:
        asks = _chosen(subject, case)
        result, operands = _fitted(asks, case)
        chosen = metric_of(case.metric if metric is None else metric, result)
        return Question(case, asks, operands, chosen.fit(case.expected, result), chosen)
    except (NlpuError, Twice) as error:
        raise BadOperand(f"{where}: {error}") from error


def _chosen(subject: Subject, case: Case) -> Subject:
    """What is asked: of a case with choices, the op that has them."""
    if not case.choices:
        if not isinstance(subject, Op) and takes_choices(subject):
            raise BadOperand(f"{called(subject)} is made of choices: give the case its 'choices'")
        return subject
    if isinstance(subject, Op):
        return _of_choices(subject, case.choices)
    if not takes_choices(subject):
        raise BadOperand("only an op can be given choices; leave them out for a program")
    return typing.cast(Op[Any], subject(*case.choices))


def _of_choices(op: Op[Any], choices: tuple[str, ...]) -> Op[Any]:
    """The op with these choices and room for each; its examples must answer with them."""
    for number, each in enumerate(op.examples, 1):
        if each.answer not in choices:
            raise BadOperand(
                f"example {number} of {op.name} answers {shown(each.answer)}, which is none of the "
                f"case's choices ({', '.join(choices)}): show examples of these, or leave the "
                "case's 'choices' out"
            )
    unbounded = replace(op.sampling, max_tokens=0)
    return replace(op, result=result_type(Literal[choices]), sampling=unbounded)


def takes_choices(subject: Callable[..., Any]) -> bool:
    """Tell whether it is a function that makes an op of choices, as ``isa.classify``."""
    made = getattr(subject, "__annotations__", {}).get("return")
    return (
        str(made).partition("[")[0].rpartition(".")[2] == "Op"
        or (typing.get_origin(made) or made) is Op
    )


def _fitted(asks: Subject, case: Case) -> tuple[ResultType | None, tuple[Any, ...]]:
    if isinstance(asks, Op):
        places = {place.name: place for place in asks.operands}
        given = {name: _read(places.get(name), item) for name, item in case.operands.items()}
        return asks.result, asks.bind((), given)
    return _of_program(asks, case.operands)


def _read(place: Operand | None, item: Any) -> Any:
    """An operand, as it is meant (rule 2)."""
    if isinstance(item, Value):
        raise BadOperand("the operands of a case are contents, not Values: give v.value")
    return item if place is None else meant(place.type, item)  # what it is not, ``bind`` says


def _of_program(
    program: Callable[..., Any], operands: Mapping[str, Any]
) -> tuple[ResultType | None, tuple[Any, ...]]:
    """What a program gives, if it says so, and its arguments in order."""
    try:
        hints = typing.get_type_hints(program, include_extras=True)
    except Exception:  # an annotation can be any expression
        hints = {}
    places = {name: Operand(name, found) for name, kind in hints.items() if (found := _type(kind))}
    given = {name: _read(places.get(name), item) for name, item in operands.items()}
    for name, item in given.items():
        if name in places and name != "return":
            given[name] = places[name].type.check(item, f"argument {name!r}")
    try:
        bound = inspect.signature(program).bind(**given)
    except TypeError as error:
        takes = inspect.signature(program)
        raise BadOperand(
            f"{error}; it takes {takes}, and the case gives {', '.join(given)}"
        ) from None
    if bound.kwargs:
        raise BadOperand(
            f"{next(iter(bound.kwargs))!r} can only be given by name; wrap the program"
        )
    returned = places.get("return")
    return (None if returned is None else returned.type), tuple(bound.args)


def _type(annotation: Any) -> ResultType | None:
    try:
        return result_type(annotation)
    except BadOp:
        return None
