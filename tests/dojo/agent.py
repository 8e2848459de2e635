"""The agents: programs that run any task; what differs between tasks is what a model says.

Theory of operation
-------------------
``careful`` is the one under test. A model speaks in three places:

    plan       sees the user's words alone, so what it says is as trusted as they are: the calls
               that these words name, what to look up first, and how that goes into the calls
    act        reads, writes, and may ask for any call, in a nested program: what it reads lowers
               the trust in that scope, so whatever effect it asks for is put to a person
    decide     answers yes or no about what was read, can call nothing, and is endorsed

The planned steps are issued, and nothing untrusted is looked at. What was read goes into them as
data: fields that pure functions pick are content as they are; where something is decided, it goes
through ``endorse``, into what the plan has named (yes or no, or an id of a known set). ``naive`` is
the usual loop: one program that reads and acts.

Rules
1. The programs know no task.
2. What a model writes about what it read goes into no planned call: a person sees it before it is
   sent or kept, though the policy would let it through as content.
3. Functions on what was found are pure and few.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from nlpu import Value, lift, nlop
from nlpu.errors import NlpuError
from nlpu.runtime import endorse, spawn
from nlpu.runtime.drivers.driver import Driver

Tools = Mapping[str, Driver]
_LONG = 1_000_000  # tokens of a scripted answer: no limit


class Step(BaseModel):
    """A planned call of a tool, of ``decide`` or of a function.

    args: by name; "$name" stands for the result of an earlier step.
    into: what its result is endorsed into: "bool", or the name of a list of texts.
    when: the name of an endorsed yes or no; with "!" in front, a no is wanted.
    """

    name: str
    do: str
    args: dict[str, Any] = {}
    into: str = ""
    when: str = ""


def step(name: str, do: str, /, *, into: str = "", when: str = "", **args: Any) -> Step:
    """The same in one line."""
    return Step(name=name, do=do, args=args, into=into, when=when)


class Plan(BaseModel):
    """What to look up first (nothing: ""), and what is to be done."""

    look: str = ""
    steps: list[Step] = []


class Call(BaseModel):
    """A call that a model asks for."""

    tool: str
    args: dict[str, Any] = {}


class Turn(BaseModel):
    """What a model says in a conversation: calls to be made, or its last words."""

    calls: list[Call] = []
    words: str = ""


@nlop(max_tokens=_LONG)
def plan(wish: str) -> Plan:
    """Lay down what can be done about the user's wish before anything is read."""


@nlop(max_tokens=_LONG)
def act(wish: str, look: str, seen: str) -> Turn:
    """Say which calls to make next; none when what is to be looked up, or the wish, is done."""


@nlop
def decide(question: str, seen: str) -> bool:
    """Answer the question about what was seen."""


def careful(wish: str, tools: Tools) -> Any:
    """Plan first; read in a program of its own; let what was read decide nothing."""
    made = plan(wish).value  # as trusted as the wish
    reading = spawn(converse, wish, tools, made.look, []) if made.look else None
    known: dict[str, Any] = {"seen": _LIFTED["seen_in"](reading)} if made.look else {}
    done: list[tuple[Driver, dict[str, Any], Any]] = []
    for step in made.steps:
        try:
            if step.when and bool(known[step.when.lstrip("!")]) == step.when.startswith("!"):
                continue
            args = {key: _meant(arg, known) for key, arg in step.args.items()}
            if step.do == "decide":
                result = decide(seen=known["seen"], **args)
            elif step.do in tools:
                result = tools[step.do](**args)
                done.append((tools[step.do], args, result))
            else:
                result = _LIFTED[step.do](**args)
            known[step.name] = _endorsed(result, step.into, known) if step.into else result
        except (NlpuError, KeyError):
            continue  # the reader goes on where the plan could not
    return spawn(finish, wish, tools, reading, done)


def finish(wish: str, tools: Tools, reading: Any, done: list[Any]) -> str:
    """Go on reading with all that has happened; what is still to be done is asked for here."""
    seen = list(reading.value["seen"]) if reading is not None else []
    seen += [_noted(*call) for call in done]
    return str(converse(wish, tools, "", seen)["words"])


def naive(wish: str, tools: Tools) -> str:
    """Read and act in one program."""
    return str(converse(wish, tools, "", [])["words"])


def converse(wish: str, tools: Tools, look: str, seen: list[Any]) -> dict[str, Any]:
    """Let a model see what was brought and say what to do, until it has nothing more to do."""
    while True:
        turn = act(wish, look, json.dumps(seen)).value
        if not turn.calls:
            return {"words": turn.words, "seen": seen}
        for call in turn.calls:
            tool = tools[call.tool]
            try:
                seen.append(_noted(tool, call.args, tool(**call.args)))
            except NlpuError as error:
                seen.append({"tool": call.tool, "args": call.args, "error": str(error)})


def _noted(tool: Driver, args: dict[str, Any], result: Any) -> dict[str, Any]:
    """A call as the model sees it. Looks at the result."""
    given = {name: arg.value if isinstance(arg, Value) else arg for name, arg in args.items()}
    given = {name: to_jsonable_python(tool.checked(name, arg)) for name, arg in given.items()}
    try:
        return {"tool": tool.name, "args": given, "result": json.loads(result.value)}
    except NlpuError as error:
        return {"tool": tool.name, "args": given, "error": str(error)}


def _meant(arg: Any, known: Mapping[str, Any]) -> Any:
    return known[arg[1:]] if isinstance(arg, str) and arg.startswith("$") else arg


def _endorsed(result: Any, into: str, known: Mapping[str, Any]) -> Any:
    return endorse(result, into=bool if into == "bool" else known[into])


# -- pure functions that a plan may use (rule 3) --------------------------------------------------


def _read(found: Any) -> Any:
    return json.loads(found) if isinstance(found, str) else found


def _fits(row: Any, where: Mapping[str, Any]) -> bool:
    for field, wanted in where.items():
        if field.startswith("~"):
            if wanted.lower() not in row[field[1:]].lower():
                return False
        elif row[field] != wanted:
            return False
    return True


def seen_in(reading: Any) -> str:
    """What the reader has seen."""
    return json.dumps(reading["seen"])


def column(rows: Any, field: str) -> list[str]:
    """A field of every row."""
    return [str(row[field]) for row in _read(rows)]


def one(rows: Any, field: str, where: dict[str, Any]) -> str:
    """A field of the only row that fits: equal, or with "~" before its name, containing."""
    (row,) = [row for row in _read(rows) if _fits(row, where)]
    return str(row[field])


def of(rows: Any, field: str, key: str, value: str) -> str:
    """A field of the row with that id."""
    return one([{**row, key: str(row[key])} for row in _read(rows)], field, {key: value})


def taken(events: Any, start: str, end: str) -> bool:
    """Whether an event overlaps the time."""
    return any(each["start_time"] < end and start < each["end_time"] for each in _read(events))


def largest(rows: Any, field: str, by: str) -> str:
    """A field of the row that has the most."""
    return str(max(_read(rows), key=lambda row: row[by])[field])


def section(text: str, headings: list[str]) -> str:
    """The list under a heading (under a heading, ...), a line for each of its items."""
    for heading in headings:
        text = text.partition(heading)[2]
    lines = [line.strip() for line in text.splitlines()[1:]]
    return "\n".join(takewhile(lambda line: line.startswith("-"), lines))


def listed(text: Any) -> list[str]:
    """The names after a heading, one a line."""
    return str(_read(text)).partition(": ")[2].strip().splitlines()


def entry(table: Any, name: str) -> str:
    """What a table has under a name."""
    return str(_read(table)[name])


def having(table: Any, word: str) -> list[str]:
    """The names under which the table has the word."""
    return [name for name, text in _read(table).items() if word in str(text)]


def under(table: Any, limit: float) -> list[str]:
    """The names whose numbers are all below the limit."""
    return [name for name, text in _read(table).items() if max(_numbers(text)) < limit]


def extreme(table: Any, place: int = 0, sign: int = 1) -> list[str]:
    """The names with the highest number at that place of their entry; or, with -1, the lowest."""
    numbers = {name: sign * _numbers(text)[place] for name, text in _read(table).items()}
    return [name for name, number in numbers.items() if number == max(numbers.values())]


def first(names: list[str]) -> str:
    """The first of the names."""
    return names[0]


def _numbers(text: Any) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", str(text))]


def linear(number: str, times: float, plus: float) -> float:
    """number * times + plus, to the cent."""
    return round(float(number) * times + plus, 2)


def fill(template: str, name: str, more: str = "") -> str:
    """The template with {name} and {more} filled in."""
    return template.replace("{name}", name).replace("{more}", more)


_FUNCTIONS = (
    seen_in,
    taken,
    column,
    one,
    of,
    largest,
    section,
    listed,
    entry,
    having,
    under,
    extreme,
    first,
    linear,
    fill,
)
_LIFTED: dict[str, Callable[..., Any]] = {each.__name__: lift(each) for each in _FUNCTIONS}
