"""Reading a program from its text.

Theory of operation
-------------------
A text is read line by line; each line is one statement, and # begins a line that says nothing.

    op shorten(text: str) -> str max_tokens=40: "Shorten the text."      an op, whole
    op judge digest="5f..."                              an op of the instruction set, as it was
    driver send digest="09..."                           given by whoever runs it
    function joined                                      a Python function, given in the same way
    param %1 book: str
    %2 = split %1, 512
    %3 = map shorten %2
    %4 = judge "Is it sad?", "It rained."
    %5 = reduce shorten %3 given %4 = true
    return {"short": %5}

    type    str bool int float judgement "a" | "b" list[str] json "Name" {schema}
    given   %4  %4 = JSON  %4 failed  untrusted  user ["ann"]

Rules
1. Names of ops that are not defined are looked up in a library that the reader is given.
2. Reading says what a text means, not whether it can run: that is ``check``.
3. Writing what was read and reading it again gives the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from keyword import iskeyword
from typing import Any

from nlpu import isa
from nlpu.calibration import Calibration
from nlpu.errors import BadOp, BadProgram
from nlpu.label import Integrity, Label, intern_label
from nlpu.ops.op import Op, Operand
from nlpu.runtime.plans.lexer import Line
from nlpu.runtime.plans.plan import COUNTED, Condition, Outside, Param, Plan, Seen, Step
from nlpu.runtime.plans.types import read_type
from nlpu.sampling import DEFAULTS, Extra
from nlpu.types.from_schema import plain

_KINDS: dict[type, type] = {tuple: list, Extra: dict, type(None): int}
SETTINGS: dict[str, type] = {
    "name": str,
    **{name: _KINDS.get(type(of), type(of)) for name, of in DEFAULTS.items()},
    "at_limit": str,
    "processor": str,
    "retries": int,
    "calibration": list,
}
JSON_WORDS = ("true", "false", "null")
MOST_CHARACTERS = 16_000_000
_MOST_COUNT = 1_000_000
STANDARD = {name: thing for name, thing in vars(isa).items() if isinstance(thing, Op)}
Operands = tuple[tuple[str, Any], ...]


def read(text: str, library: Mapping[str, Op[Any]] = STANDARD) -> Plan:
    """The plan that a text says. Raises BadProgram with line and column."""
    if len(text) > MOST_CHARACTERS:
        raise BadProgram(f"the text is longer than {MOST_CHARACTERS:,} characters")
    reader = _Reader(library)
    for number, written in enumerate(text.split("\n"), 1):
        if written.strip(" \t\r") and not written.lstrip(" \t").startswith("#"):
            reader.statement(Line(number, written.removesuffix("\r")))
    if not reader.ended:
        raise BadProgram(f"line {text.count(chr(10)) + 1}, column 1: expected a return line")
    return Plan(reader.uses, tuple(reader.params), tuple(reader.steps), reader.result)


class _Reader:
    """What has been read so far."""

    def __init__(self, library: Mapping[str, Op[Any]]) -> None:
        self._library = library
        self.uses: dict[str, Op[Any] | Outside] = {}
        self.params: list[Param] = []
        self.steps: list[Step] = []
        self.result: Any = None
        self.ended = False

    def statement(self, line: Line) -> None:
        """Read one line."""
        if self.ended:
            line.fail("nothing after the return line")
        known: dict[str, Callable[[Line], None]] = {
            "op": self._op,
            "driver": self._driver,
            "function": self._function,
            "param": self._param,
            "return": self._return,
        }
        word = line.given(*known)
        if word:
            known[word](line)
        elif line.next.kind == "ref":
            self.steps.append(self._step(line))
        else:
            line.fail("op, driver, function, param, return or a step such as %3 = ...")
        line.end()

    # -- names -------------------------------------------------------------------------------

    def _new(self, line: Line, kind: str) -> str:
        column = line.next.column
        name = line.name(f"the name of the {kind}")
        if name in self.uses:
            line.refuse(column, f"{name} is defined already")
        return name

    def _op(self, line: Line) -> None:
        name = self._new(line, "op")
        column = line.next.column
        if not line.given("("):
            self.uses[name] = self._standard(line, name)
            return
        operands: list[Operand] = []
        while not line.given(")"):
            if operands:
                line.expect(",")
            place = line.take("name", "the name of an operand")
            line.expect(":")
            operands.append(Operand(place, read_type(line)))
        line.expect("->")
        result = read_type(line)
        settings: dict[str, Any] = {}
        while not line.given(":"):
            settings |= dict([_setting(line)])
        text = line.string("the instruction in quotes")
        try:
            self.uses[name] = Op(name, text, tuple(operands), result).using(**settings)
        except BadOp as error:
            line.refuse(column, str(error))

    def _standard(self, line: Line, name: str) -> Op[Any]:
        column, digest = line.next.column, _told(line, "digest", "a digest")
        found = self._found(line, column, name)
        if digest and found.digest.hex() != digest:
            line.refuse(column, f"the op {name} of the instruction set is not that one any more")
        return found

    def _found(self, line: Line, column: int, name: str) -> Op[Any]:
        if name not in self._library:
            known = ", ".join(sorted(self._library)) or "none"
            line.refuse(column, f"no op is called {name}; define it, or use one of: {known}")
        found = self._library[name]
        return replace(
            found,
            result=plain(found.result),
            operands=tuple(replace(each, type=plain(each.type)) for each in found.operands),
        )

    def _driver(self, line: Line) -> None:
        local = self._new(line, "driver")
        self.uses[local] = Outside(
            "driver", _told(line, "name", "its name") or local, _told(line, "digest", "a digest")
        )

    def _function(self, line: Line) -> None:
        local = self._new(line, "function")
        self.uses[local] = Outside("function", _told(line, "name", "its name") or local)

    # -- values ------------------------------------------------------------------------------

    def _param(self, line: Line) -> None:
        number = line.ref().number
        column = line.next.column
        name = "" if line.next.text == ":" else line.name("the name of the parameter")
        if iskeyword(name):
            line.refuse(column, f"a parameter cannot be called {name}, as in Python")
        line.expect(":")
        self.params.append(Param(number, name, read_type(line)))

    def _return(self, line: Line) -> None:
        self.result, self.ended = line.expression(), True

    def _step(self, line: Line) -> Step:
        number = line.ref().number
        line.expect("=")
        how: Any = line.given("map", "reduce", "draw", "sample", "first", "split")
        count, name = 0, ""
        if how in COUNTED:
            count = line.whole(0 if how == "sample" else 1, _MOST_COUNT)
        column = line.next.column
        named = line.next.kind == "name" and line.next.text not in JSON_WORDS
        if how not in ("first", "split") and (how or named):
            name, how = line.name("the name of an op"), how or "call"
        if name and name not in self.uses:
            self.uses[name] = self._found(line, column, name)
        operands = self._operands(line) if how else (("", line.expression()),)
        if how == "split":
            count, operands = _size(operands)
        given = self._conditions(line) if line.given("given") else ()
        return Step(
            number,
            how or "value",
            name,
            count=count,
            operands=operands,
            given=given,
            line=line.number,
        )

    def _operands(self, line: Line) -> Operands:
        found: list[tuple[str, Any]] = []
        while line.next.kind != "end" and line.next.text != "given":
            if found:
                line.expect(",")
            name = ""
            if line.next.kind == "name" and line.next.text not in JSON_WORDS:
                name = line.take("name", "the name of an operand")
                line.expect("=")
            found.append((name, line.expression()))
        return tuple(found)

    def _conditions(self, line: Line) -> tuple[Condition, ...]:
        found = [self._condition(line)]
        while line.given(","):
            found.append(self._condition(line))
        return tuple(found)

    def _condition(self, line: Line) -> Condition:
        if line.next.kind == "ref":
            number = line.ref().number
            if line.given("failed"):
                return Seen(number, failed=True)
            return Seen(number, exactly=(line.json(),) if line.given("=") else ())
        return _label(line)


def _size(operands: Operands) -> tuple[int, Operands]:
    """A split's chunk size apart from what is split."""
    if len(operands) == 2:
        name, size = operands[1]
        if not name and type(size) is int and 8 <= size <= _MOST_COUNT:
            return size, operands[:1]
    return 0, operands


def _label(line: Line) -> Label:
    word = line.given("user", "system", "untrusted")
    if not word:
        line.fail("a value, or user, system or untrusted")
    readers = None
    if line.next.text == "[":
        column, content = line.next.column, line.json()
        if not all(isinstance(each, str) for each in content):
            line.refuse(column, "readers are a list of names in quotes")
        readers = frozenset(content)
    return intern_label(Integrity[word.upper()], readers)


def _setting(line: Line) -> tuple[str, Any]:
    column = line.next.column
    key = line.take("name", "a setting, or ':' and the instruction")
    if key not in SETTINGS:
        line.refuse(column, f"{key} is no setting of an op; there are {', '.join(SETTINGS)}")
    line.expect("=")
    column = line.next.column
    content: Any = line.json()
    kind = SETTINGS[key]
    if kind is float and type(content) is int:
        content = float(content)
    counts = kind is int and key != "seed" and type(content) is int
    large = counts and content > _MOST_COUNT  # totals are floats
    unknown = key == "at_limit" and content not in ("error", "trim")
    unknown = unknown or (key == "calibration" and _calibration(content) is None)
    if type(content) is not kind or large or unknown:
        line.refuse(column, f"{key} cannot be {str(content)[:40]}")
    return key, _calibration(content) if key == "calibration" else content


def _calibration(content: Any) -> Calibration | None:
    """That of [slope, intercept, at chance]."""
    fits = isinstance(content, list) and list(map(type, content)) == [float, float, bool]
    return Calibration(*content) if fits else None


def _told(line: Line, word: str, what: str) -> str:
    """``name="..."``, where what is meant has no name that the language can write, or a digest."""
    if not line.given(word):
        return ""
    line.expect("=")
    return line.string(f"{what} in quotes")
