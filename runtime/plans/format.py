"""Writing a plan as text: the other half of ``parse``.

Rules
1. ``read(write(plan))`` is the plan, and writing that again gives the same text.
2. An op that is the library's own is named with its digest; any other stands there whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nlpu.label import Label
from nlpu.ops.op import Op
from nlpu.runtime.plans.parse import SETTINGS, STANDARD
from nlpu.runtime.plans.plan import COUNTED, Condition, Outside, Plan, Ref, Step
from nlpu.runtime.plans.types import write_type
from nlpu.sampling import DEFAULTS


def write(plan: Plan, library: Mapping[str, Op[Any]] = STANDARD) -> str:
    """The text of a plan, one statement a line."""
    lines = [_use(name, thing, library) for name, thing in plan.uses.items()]
    for each in plan.params:
        name = f" {each.name}" if each.name else ""
        lines.append(f"param %{each.number}{name}: {write_type(each.type)}")
    lines += [_step(step) for step in plan.steps]
    return "\n".join([*lines, f"return {shown(plan.result)}", ""])


def shown(expression: Any) -> str:
    """An expression as text."""
    if isinstance(expression, Ref):
        return f"%{expression.number}"
    if isinstance(expression, dict):
        parts = (f"{shown(key)}: {shown(part)}" for key, part in expression.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(expression, list):
        return "[" + ", ".join(map(shown, expression)) + "]"
    return json.dumps(expression, ensure_ascii=False)


def _use(name: str, thing: Op[Any] | Outside, library: Mapping[str, Op[Any]]) -> str:
    if isinstance(thing, Outside):
        words = [thing.kind, name]
        words += [f"name={shown(thing.name)}"] if thing.name != name else []
        words += [f"digest={shown(thing.digest)}"] if thing.digest else []
        return " ".join(words)
    if name in library and library[name] == thing:
        return f"op {name} digest={shown(thing.digest.hex())}"
    places = ", ".join(f"{place.name}: {write_type(place.type)}" for place in thing.operands)
    usual: Op[Any] = Op(name, thing.text, thing.operands, thing.result)
    settings = "".join(
        f" {key}={shown(dict(of) if key == 'extra' else of)}"
        for key in SETTINGS
        if (of := _setting(thing, key)) != _setting(usual, key)
    )
    return f"op {name}({places}) -> {write_type(thing.result)}{settings}: {shown(thing.text)}"


def _setting(op: Op[Any], key: str) -> Any:
    return getattr(op.sampling if key in DEFAULTS else op, key)


def _step(step: Step) -> str:
    words = [f"%{step.number} ="]
    words += [] if step.how in ("call", "value") else [step.how]
    words += [str(step.count)] if step.how in COUNTED else []
    words += [step.name] if step.name else []
    operands = [f"{name}={shown(part)}" if name else shown(part) for name, part in step.operands]
    if step.how == "split" and step.count:
        operands.append(str(step.count))
    words += [", ".join(operands)] if operands else []
    words += ["given " + ", ".join(map(_condition, step.given))] if step.given else []
    return " ".join(words)


def _condition(condition: Condition) -> str:
    if isinstance(condition, Label):
        readers = condition.readers
        who = "" if readers is None else f" {shown(sorted(readers))}"
        return condition.integrity.name.lower() + who
    if condition.failed:
        return f"%{condition.number} failed"
    content = "".join(f" = {shown(part)}" for part in condition.exactly)
    return f"%{condition.number}{content}"
