"""A plan: a program that is data. One step a value, each value assigned once.

Theory of operation
-------------------
A plan is what a text program says and what is left of a run when time and Python are taken out of
it: the ops it uses, its parameters, its steps in an order in which each can be issued, its result.
It has no loops and no branches. Where a run was led by what its program had looked at, its steps
carry that as *conditions*: a step whose condition does not hold fails, because nobody has said what
the program would have done instead.

    call    one call of an op, a driver or a function     draw    count independent draws
    map     a call for each item of the first operand     sample  the draw of that number
    reduce  a tree of calls over the first operand        first   whichever operand is there first
    split   a text in chunks of at most count tokens      value   a structure of literals and values

Rules
1. A plan is complete: equal plans do the same, given the same drivers and functions.
2. Drivers and Python functions are names. Nothing of them comes from a text.
3. An expression is JSON with a Ref where a value goes; nothing else is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import PydanticSerializationError, from_json, to_json

from nlpu.judgement import Judgement
from nlpu.label import Label
from nlpu.ops.op import Op
from nlpu.types.result import ResultType

How = Literal["call", "map", "reduce", "draw", "sample", "first", "split", "value"]
Foreign = Literal["driver", "function"]
COUNTED: frozenset[str] = frozenset({"draw", "sample"})


class Ref(NamedTuple):
    """The value of that number."""

    number: int


class Outside(NamedTuple):
    """What a name stands for that only the caller can give; ``digest`` of a driver, if known."""

    kind: Foreign
    name: str
    digest: str = ""


class Param(NamedTuple):
    """What the program is given."""

    number: int
    name: str
    type: ResultType


class Seen(NamedTuple):
    """The condition that a value is there, or failed, or (``exactly``) has this content."""

    number: int
    failed: bool = False
    exactly: tuple[Any, ...] = ()


Condition = Seen | Label  # a label: that of the scope the step is issued in


@dataclass(frozen=True, slots=True)
class Step:
    """How one value is made. ``operands``: (name, expression); no name where order says it."""

    number: int
    how: How
    name: str = ""
    count: int = 0
    operands: tuple[tuple[str, Any], ...] = ()
    given: tuple[Condition, ...] = ()
    line: int = field(default=0, compare=False)

    @property
    def where(self) -> str:
        """The step, for messages."""
        return f"line {self.line}" if self.line else f"%{self.number}"

    def reads(self) -> Iterator[int]:
        """The numbers of the values it needs."""
        for _, expression in self.operands:
            yield from refs(expression)
        yield from (each.number for each in self.given if isinstance(each, Seen))


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole program. ``uses``: what each name in it stands for."""

    uses: dict[str, Op[Any] | Outside]
    params: tuple[Param, ...]
    steps: tuple[Step, ...]
    result: Any


def refs(expression: Any) -> Iterator[int]:
    """The numbers of the values in an expression."""
    if isinstance(expression, Ref):
        yield expression.number
    elif isinstance(expression, dict):
        for part in expression.values():
            yield from refs(part)
    elif isinstance(expression, list):
        for part in expression:
            yield from refs(part)


def filled(expression: Any, values: Any) -> Any:
    """The expression with ``values[number]`` in place of each Ref."""
    if isinstance(expression, Ref):
        return values[expression.number]
    if isinstance(expression, dict):
        return {key: filled(part, values) for key, part in expression.items()}
    if isinstance(expression, list):
        return [filled(part, values) for part in expression]
    return expression


def as_json(content: Any) -> Any:
    """A content as plain JSON. Raises ValueError where it has none."""
    try:
        return from_json(to_json(content, inf_nan_mode="constants"), allow_inf_nan=False)
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from error


def decided(content: Any) -> Any:
    """What a program goes by when it looks at a content: of a judgement, its answer."""
    return content.answer if isinstance(content, Judgement) else as_json(content)
