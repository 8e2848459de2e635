"""Carrying a plan out: from data to a program that a computer runs.

Theory of operation
-------------------
Every step is issued in order, and nothing is waited for: edges are the values themselves, so the
graph runs as parallel as it is. A step with conditions is issued in a nested program of its own,
which waits for them, and whose scope takes on their labels; the steps beside it go on.

Rules
1. Only what ``check`` has passed is carried out, under the same bounds.
2. A condition that does not hold fails its step: the text says nothing of that case.
3. A text vouches for no more than its reader does: labels arise from arguments, drivers and
   conditions, as in any program.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nlpu.errors import NlpuError, ProgramError
from nlpu.label import Label
from nlpu.lifting import contains_value, gather, lift
from nlpu.ops.op import Op
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.executor.builtins import first
from nlpu.runtime.graph.spawning import spawn
from nlpu.runtime.plans.bounds import Bounds, Given
from nlpu.runtime.plans.check import check
from nlpu.runtime.plans.parse import STANDARD, read
from nlpu.runtime.plans.plan import Condition, Plan, Step, decided, filled
from nlpu.text import split
from nlpu.value import Value

NOTHING_GIVEN = Given()
UNBOUNDED = Bounds()


def program_of(
    text: str,
    given: Given = NOTHING_GIVEN,
    bounds: Bounds = UNBOUNDED,
    *,
    library: Mapping[str, Op[Any]] = STANDARD,
    name: str = "plan",
) -> Callable[..., Any]:
    """The program that a text says; its parameters are the text's. Raises BadProgram."""
    plan = read(text, library)
    check(plan, given, Bounds(bounds.steps, bounds.depth, effects=bounds.effects))
    names = [param.name or f"p{param.number}" for param in plan.params]
    kinds = [param.type.annotation for param in plan.params]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(each, kind) for each in names])

    def program(*args: Any, **named: Any) -> Any:
        arguments = signature.bind(*args, **named).arguments
        if bounds.calls is not None or bounds.nlops is not None:
            check(plan, given, bounds, arguments)  # here it can count (rule 1)
        return carried_out(plan, given, arguments)

    program.__name__ = program.__qualname__ = name
    program.__annotations__ = dict(zip(names, kinds, strict=True))
    program.__signature__ = signature  # type: ignore[attr-defined]
    program.source_text = text  # type: ignore[attr-defined]
    return program


def carried_out(plan: Plan, given: Given, arguments: Mapping[str, Any]) -> Any:
    """Issue all steps and give the result, which may hold Values. Inside a run."""
    values = {param.number: arguments[param.name or f"p{param.number}"] for param in plan.params}
    for step in plan.steps:
        thing = plan.uses.get(step.name)
        act = thing if thing is None or isinstance(thing, Op) else given.of(thing)
        operands = [(name, filled(part, values)) for name, part in step.operands]
        if step.given:
            conditions = [(each, _asked(each, values)) for each in step.given]
            values[step.number] = spawn(guarded, step, act, operands, conditions)
        else:
            values[step.number] = _issued(step, act, operands)
    return filled(plan.result, values)


def _asked(condition: Condition, values: Mapping[int, Any]) -> Any:
    """The Value to wait for: for a label, one that has it."""
    if isinstance(condition, Label):
        return Value(None, condition)
    return _valued(values[condition.number])


def _valued(part: Any) -> Value[Any]:
    whole = _whole(part)
    return whole if isinstance(whole, Value) else Value(whole)


def _whole(part: Any) -> Any:
    """A structure with Values in it as one Value."""
    return gather(part) if not isinstance(part, Value) and contains_value(part) else part


def guarded(step: Step, act: Any, operands: Any, conditions: Any) -> Any:
    """A step, once its conditions hold."""
    for condition, value in conditions:
        try:
            content, failed = value.value, False
        except NlpuError:
            content, failed = None, True
        if isinstance(condition, Label):
            continue
        wanted = condition.exactly
        if failed != condition.failed or (wanted and decided(content) != wanted[0]):
            said = "has failed" if failed else f"is {content!s:.60}"
            raise ProgramError(
                f"{step.where}: %{condition.number} {said}, and the text is written for another "
                "case; write the program out of a run that took this turn"
            )
    return _issued(step, act, operands)


def _issued(step: Step, act: Any, operands: list[tuple[str, Any]]) -> Any:
    args = [part for name, part in operands if not name]
    named = {name: part for name, part in operands if name}
    match step.how:
        case "value":
            return args[0]
        case "split":
            return split(args[0], step.count or None)
        case "first":
            return first(*map(_valued, args))
        case "map":
            return act.map(*args, **named)
        case "reduce":
            return act.reduce(*args, **named)
        case "draw":
            return act(*args, samples=step.count, **named)
        case "sample":
            return act(*args, sample=step.count, **named)
    if isinstance(act, Op):
        return act(*args, **named)
    act = act if isinstance(act, Driver) else lift(act)
    return act(*map(_whole, args), **{name: _whole(part) for name, part in named.items()})
