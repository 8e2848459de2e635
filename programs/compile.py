"""A wish in plain language becomes a program, is checked, and only then runs.

    nlpu run compile "Summarise the text and say whether it mentions money." --input docs/essay.txt
    nlpu run compile "What do they dispute?" --input letters.txt --json | jq -r .result.program

The model writes a few steps, each an op of the standard instruction set (or a driver that you give
it in Python) on the text, its parts, or what earlier steps made. They are decoded under a
constraint, so any answer is a program, in the language of ``nlpu run FILE.nl``; whether it is a
sensible one is checked before it runs: types, order, effects, size, and the most that it can
cost on this very text. What stands against it goes back to the model, a bounded number of times. A
program that checks runs as parallel as it is; one that never does is shown with its objections.

The plan is made from the wish alone. The text is data to the finished program and none of the
planning reads it, so nothing written in it can add a step; and what the plan may do is trusted no
more than the wish. What stands against a plan may tell how long the text is: a plan made after that
is trusted no more than the text, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model
from pydantic_core import to_json

from nlpu import ModelError, NlpuError, Op, Value, nlop, spawn
from nlpu.errors import BadOperand, BadProgram, Stopped, chain_of
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.plans.bounds import Bounds, Given
from nlpu.runtime.plans.check import check
from nlpu.runtime.plans.execute import program_of
from nlpu.runtime.plans.parse import STANDARD, read
from nlpu.types.result import result_type
from nlpu.value import see

ROUNDS = 3
MOST_STEPS = 5  # in one plan
FIRST = 3  # number of the first step's value, after the text and its parts
BOUNDS = Bounds(steps=MOST_STEPS + 1, depth=16, calls=64, nlops=100.0, effects=frozenset({"pure"}))

HowOften = Literal["once", "each", "fold"]
_MODIFIER = {"once": "", "each": "map ", "fold": "reduce "}
_Reference = Literal["%1", "%2", "%3", "%4", "%5", "%6", "%7"]
_On = Annotated[
    list[_Reference | Annotated[str, Field(max_length=60)]], Field(min_length=1, max_length=3)
]


@nlop(max_tokens=512)
def plan(ops: str, objections: str, wish: str) -> str:
    """Write the steps of a program that fulfils the wish, with these ops. The text is %1, the list
    of its parts %2; the first step makes %3, the next one %4, and so on. "once" is one call, "each"
    a call for each part of a list, "fold" makes one of a list. Only the parts of a long text fit.
    Mind the objections. Steps for "What is it all about, and is it sad?":
    [{"op":"summarize","how":"each","on":["%2"]},{"op":"summarize","how":"fold","on":["%3"]},
    {"op":"judge","how":"once","on":["Is it sad?","%4"]}]"""


class Compiled(BaseModel):
    """The program that the wish became, and what came of it. ``result`` is null if it did not run.

    program: the last that was written, if any was. rounds: plans that were asked for.
    objections: what stood against the last one, or stopped it.
    """

    program: str
    rounds: int
    objections: list[str]
    result: Any = None

    def __str__(self) -> str:
        ends = self.objections or [to_json(self.result, indent=2).decode()]
        return "\n".join([self.program, *ends])


def compile(wish: str, text: str = "", rounds: int = ROUNDS) -> Compiled:
    """Make a program of a wish, and run it on a text if it checks."""
    return compiled(wish, text, rounds=rounds)


def compiled(
    wish: str | Value[str],
    text: str | Value[str] = "",
    drivers: Sequence[Driver] = (),
    bounds: Bounds = BOUNDS,
    rounds: int = ROUNDS,
) -> Compiled:
    """As ``compile``, with drivers that the program may use and bounds that it keeps."""
    given = Given(drivers={driver.name: driver for driver in drivers})
    planner, known = planner_of(given), catalogue(given)
    source, objections = "", ["none yet"]
    if rounds < 1:
        raise BadOperand(f"rounds={rounds}: a program is made in one round at least")
    for number in range(1, rounds + 1):
        try:
            steps = planner(known, "\n".join([source, *objections]), wish).value
            source = rendered(steps, given)
            check(read(source), given, bounds, {"text": text})
        except BadProgram as error:
            objections = list(error.objections)
            if isinstance(text, Value) and text.ready:
                see(text.label)  # they tell its size
        except ModelError as error:  # cut off, most likely
            objections = [str(error)]
        else:
            return carried_out(source, text, given, bounds, number)
        planner = planner.using(temperature=0.7)
    return Compiled(program=source, rounds=rounds, objections=objections)


def carried_out(
    source: str, text: str | Value[str], given: Given, bounds: Bounds, rounds: int
) -> Compiled:
    """The outcome of a program that has checked: its result, or what went wrong."""
    try:
        result = spawn(program_of(source, given, bounds), text).value
    except Stopped:  # the whole run's: it can be resumed
        raise
    except NlpuError as error:
        return Compiled(program=source, rounds=rounds, objections=[chain_of(error)])
    return Compiled(program=source, rounds=rounds, objections=[], result=result)


def planner_of(given: Given) -> Op[Any]:
    """The op ``plan`` with a result type in which only what is there can be named."""
    names = (*STANDARD, *given.drivers)
    fields: dict[str, Any] = {"op": Literal[names], "how": HowOften, "on": _On}
    step = create_model("Step", **fields)
    steps = Annotated[list[step], Field(min_length=1, max_length=MOST_STEPS)]  # type: ignore[valid-type]
    return replace(plan, result=result_type(steps))


def catalogue(given: Given) -> str:
    """What a plan can be made of, one a line."""
    known: list[tuple[str, str, Any]] = [(n, op.text, op.operands) for n, op in STANDARD.items()]
    known += [(each.name, each.about, each.arguments) for each in given.drivers.values()]
    lines = [
        f"{name}({', '.join(place.name for place in places)}): {about.splitlines()[0]}"
        for name, about, places in known
    ]
    return "\n".join(lines)


def rendered(steps: Sequence[Any], given: Given) -> str:
    """The text of the program. Its result is what no other step reads."""
    read_later = {each for step in steps for each in step.on}
    lines = [f"driver {name}" for name in given.drivers if any(step.op == name for step in steps)]
    lines += ["param %1 text: str", *(["%2 = split %1"] if "%2" in read_later else [])]
    for number, step in enumerate(steps, FIRST):
        operands = ", ".join(each if is_reference(each) else json.dumps(each) for each in step.on)
        lines.append(f"%{number} = {_MODIFIER[step.how]}{step.op} {operands}")
    made = [f"%{number}" for number, _ in enumerate(steps, FIRST)]
    ends = [each for each in made if each not in read_later]
    return "\n".join([*lines, f"return [{', '.join(ends)}]", ""])


def is_reference(text: str) -> bool:
    """Whether an operand names a value of the program."""
    return re.fullmatch(r"%[0-9]{1,3}", text) is not None
