"""Examples of an op: calls with their right results, shown to the model in every prompt.

Rules
1. An example is checked like a call: its operands against the op's, its result against the type.
2. What is kept are texts, as the model reads and writes them: they compare and have a digest.
3. A case says things as a file can: a text, or a choice's value, is what its type reads from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from nlpu.chat import Chat
from nlpu.errors import BadOp, BadOperand, Malformed, ModelError
from nlpu.judgement import Judgement
from nlpu.lifting import check_text
from nlpu.printing import shown
from nlpu.types.json_text import Twice, check_once
from nlpu.types.result import ResultType, result_type
from nlpu.value import Value

_SAYS_THE_ANSWER = ("", "exact", "set", "number", "judge")  # metrics whose expectation is an answer


@dataclass(frozen=True, slots=True)
class Example:
    """A call and its right result: the operands' texts in order, and what should be written."""

    operands: tuple[str, ...]
    answer: str


def examples_of(
    name: str, places: Sequence[tuple[str, ResultType]], result: ResultType, given: Any
) -> tuple[Example, ...]:
    """Check examples and write them as texts (rule 1).

    Each is a tuple of the operands and the result, ``(text, result)``, or a mapping or a case with
    ``operands`` by name and ``expected``. Raises BadOp.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise BadOp(f"op {name}: examples are a list of (operand, ..., result)")
    return tuple(
        _example(f"example {number} of op {name}", places, result, each)
        for number, each in enumerate(given, 1)
    )


def _example(
    where: str, places: Sequence[tuple[str, ResultType]], result: ResultType, given: Any
) -> Example:
    if isinstance(given, Example):
        return _again(where, places, result, given)
    operands, expected = _parts(where, [name for name, _ in places], given)
    is_case = isinstance(given, Mapping) or hasattr(given, "operands")
    texts = tuple(
        _text(f"operand {name!r} of {where}", kind, content, is_case)
        for (name, kind), content in zip(places, operands, strict=True)
    )
    if isinstance(expected, Judgement):
        expected = expected.answer
    kind = result_type(bool) if result.kind == "judgement" else result
    answer = _text(f"the result of {where}", kind, expected, is_case)
    if not answer.strip():
        raise BadOp(f"the result of {where} is empty; an op never gives that")
    return Example(texts, answer)


def _again(
    where: str, places: Sequence[tuple[str, ResultType]], result: ResultType, given: Example
) -> Example:
    """An example that is given as its texts: they must be such of this op."""
    if len(given.operands) != len(places):
        raise BadOp(f"{where} has {len(given.operands)} operands, not {len(places)}")
    kinds = [*(kind for _, kind in places), result]
    for kind, text in zip(kinds, (*given.operands, given.answer), strict=True):
        try:
            kind.parse(text) if kind.kind != "text" else check_text(text, where)
        except (ModelError, BadOperand) as error:
            raise BadOp(f"{where} does not fit: {error}") from None
    return given


def _parts(where: str, names: list[str], given: Any) -> tuple[list[Any], Any]:
    if isinstance(given, Mapping):
        named = given.keys() == {"expected", "operands"}
        if not named or not isinstance(given["operands"], Mapping):
            raise BadOp(f"{where} must have the keys 'operands', by name, and 'expected'")
        given = SimpleNamespace(**given)
    if hasattr(given, "operands") and hasattr(given, "expected"):
        metric = getattr(given, "metric", "")
        if metric not in _SAYS_THE_ANSWER:
            raise BadOp(
                f"{where} is a case of the metric {metric!r}, which does not say what the answer "
                "is; give the operands and an answer"
            )
        operands = given.operands
        if isinstance(operands, Mapping):
            if operands.keys() != set(names):
                found = ", ".join(map(str, operands))
                raise BadOp(f"{where} has operands {found}, not {', '.join(names)}")
            return [operands[name] for name in names], given.expected
        given = (*operands, given.expected)
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(names) + 1:
        raise BadOp(f"{where} must be ({', '.join([*names, 'result'])})")
    return list(given[:-1]), given[-1]


def meant(kind: ResultType, item: Any) -> Any:
    """What an item of a case stands for (rule 3). Raises Twice."""
    if kind.kind == "text" or not (isinstance(item, str) or kind.kind == "choice"):
        return item
    with suppress(BadOperand):
        kind.check(item, "")
        return item
    check_once(str(item))
    with suppress(Malformed):
        return kind.parse(str(item))
    return item  # what it is not, who keeps it says


def _text(where: str, kind: ResultType, content: Any, is_case: bool) -> str:
    if isinstance(content, Value):
        raise BadOp(f"{where} is a Value, and examples are contents: give v.value")
    try:
        made = kind.keep(meant(kind, content) if is_case else content, shown(content))
        if isinstance(made, Chat):
            made.asked("it")
        text = kind.render(made)
        text.encode()
    except (BadOperand, Twice, UnicodeEncodeError) as error:
        raise BadOp(f"{where} does not fit: {error}") from None
    return text
