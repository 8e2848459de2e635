"""Cases: calls whose right answer is known, from Python, JSONL or a table.

Theory of operation
-------------------
A case has operands by name, what is expected, and a metric that holds an answer against it. An op's
truth table is a list of them, and so is a file that somebody made for an evaluation.

    JSONL   {"id": "a-1", "operands": {"question": "...", "text": "..."}, "expected": "Lisbon",
             "metric": "exact", "tags": {"length": "short"}}
    CSV     a column for each operand, ``expected``, and if need be ``metric``, ``id``, ``op``,
            ``choices`` (divided by |) and ``tag.length``
    Python  Cases, dicts as above, or (operands, expected)

Rules
1. A case that cannot be asked, or could never be right, is an error before anything is asked; it
   names the file, the line and what to do.
2. Ids are unique: they are how two evaluations on the same cases are compared.
3. Cases are data: they compare by value and have a JSON form, whatever they were read from.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, field_validator

from nlpu.errors import Usage
from nlpu.frozen import Printed
from nlpu.label import UNTRUSTED
from nlpu.printing import one_line, shown
from nlpu.types.json_text import Twice, once
from nlpu.value import see

_FIELDS = ("id", "op", "operands", "expected", "metric", "tags", "choices", "family")
_COLUMNS = ("id", "op", "expected", "metric", "choices", "family")
Tag = str | int | float | bool | None


class Case(Printed):
    """A call and what is right.

    id: of this case alone. op: whose case it is; "" is any op's. metric: "" is that of the result.
    choices: the classes, for an op that is made of them. where: the file and line it is from.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    operands: dict[str, Any]
    expected: Any
    id: str = ""
    op: str = ""
    metric: str = ""
    tags: dict[str, Tag] = Field(default_factory=dict)
    choices: tuple[str, ...] = Field(default=(), strict=False)
    where: str = Field(default="", exclude=True, repr=False)

    @field_validator("choices")
    @classmethod
    def _differ(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(choices)) != len(choices) or len(choices) == 1:
            raise ValueError("give two or more choices that differ")
        return choices

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.id, self.op, self.metric))

    def __str__(self) -> str:
        return one_line(f"{self.id}: {shown(self.operands)} -> {shown(self.expected)}")


def is_file(source: Any) -> bool:
    """Tell whether cases are those of a file: its texts are nobody's word."""
    return isinstance(source, str | PathLike)


def cases_of(source: Any) -> tuple[Case, ...]:
    """Read the cases of a file (``.jsonl``, ``.csv``), or of a list of Cases, dicts and pairs.

    A program that reads a file has seen what nobody vouches for. Raises Usage.
    """
    if is_file(source):
        see(UNTRUSTED)
    return read_cases(source)


def read_cases(source: Any) -> tuple[Case, ...]:
    """Read cases without lowering a program: who asks labels what comes of them. Raises Usage."""
    if is_file(source):
        return _unique(_from_file(Path(source)), str(source))
    if isinstance(source, Case | Mapping) or not isinstance(source, Iterable):
        raise Usage(f"cases are a list or the path of a .jsonl or .csv file, not {shown(source)}")
    return _unique(_from_python(source), "the list of cases")


def _unique(found: Iterable[Case], source: str) -> tuple[Case, ...]:
    """Rule 2. A case without an id is called by its place."""
    cases: dict[str, Case] = {}
    for number, each in enumerate(found, 1):
        case = each if each.id else each.model_copy(update={"id": str(number)})
        if case.id in cases:
            before = cases[case.id].where
            raise Usage(f"{case.where}: the id {case.id!r} is that of {before}, too; change one")
        cases[case.id] = case
    if not cases:
        raise Usage(f"{source} has no cases: give at least one, with operands and expected")
    return tuple(cases.values())


def _from_python(source: Iterable[Any]) -> Iterator[Case]:
    for number, given in enumerate(source, 1):
        where = f"case {number}"
        if isinstance(given, Case):
            yield given.model_copy(update={"where": given.where or where})
        elif isinstance(given, tuple) and len(given) == 2:
            yield _case({"operands": given[0], "expected": given[1]}, where)
        else:
            yield _case(given, where)


def _case(given: Any, where: str) -> Case:
    """A case of its fields. Raises Usage."""
    if not isinstance(given, Mapping):
        raise Usage(f"{where}: a case is an object with operands and expected, not {shown(given)}")
    fields = dict(given)
    odd = next((name for name in fields if name not in _FIELDS), None)
    if odd is not None:
        raise Usage(
            f"{where}: a case has no {odd!r}, but {', '.join(_FIELDS)}; what else is to be said of "
            "it goes into tags"
        )
    for name in ("operands", "expected"):
        if name not in fields:
            raise Usage(f"{where}: {name!r} is missing: a case has operands and expected")
    if "family" in fields:
        fields["tags"] = {**(fields.get("tags") or {}), "family": fields.pop("family")}
    try:
        return Case(**fields, where=where)
    except ValidationError as error:
        what = error.errors()[0]
        place = ".".join(map(str, what["loc"])) or "it"
        raise Usage(f"{where}: {place}: {what['msg']}") from None


# -- files -------------------------------------------------------------------------------------


def _from_file(path: Path) -> Iterator[Case]:
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise Usage(f"{path}: cases are in a .jsonl or .csv file; rename it, or write one")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return _rows(path, text) if path.suffix.lower() == ".csv" else _lines(path, text)


def _lines(path: Path, text: str) -> Iterator[Case]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            given = json.loads(line, parse_constant=_no_number, object_pairs_hook=once)
            line.encode()
        except (ValueError, RecursionError) as error:
            what = where if isinstance(error, Twice) else f"{where} is not JSON"
            raise Usage(f"{what}: {error}; write one object on each line") from None
        yield _case(given, where)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number one can count with")


def _rows(path: Path, text: str) -> Iterator[Case]:
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # a cell may be a whole document
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(path, names)
        line = reader.line_num + 1
        for row in reader:
            if row:
                yield _row(f"{path}, line {line}", names, row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise Usage(f"{path}, line {reader.line_num} is not CSV: {error}") from None


def _check_columns(path: Path, names: list[str]) -> None:
    if "expected" not in names:
        raise Usage(
            f"{path}, line 1: there is no column 'expected'; the first line names the columns: "
            f"those of the operands and expected; it names {', '.join(names) or 'none'}"
        )
    twice = next((name for name in names if not name or names.count(name) > 1), None)
    if twice is not None:
        what = f"the column {twice!r} is there twice" if twice else "a column has no name"
        raise Usage(f"{path}, line 1: {what}; name each once")


def _row(where: str, names: list[str], row: list[str]) -> Case:
    if len(row) != len(names):
        raise Usage(
            f"{where} has {len(row)} fields, and there are {len(names)} columns; put a text with "
            "commas or line ends into quotes"
        )
    cells = dict(zip(names, row, strict=True))
    tags = {name[4:]: cell for name, cell in cells.items() if name.startswith("tag.") and cell}
    fields: dict[str, Any] = {name: cells[name] for name in _COLUMNS if cells.get(name)}
    fields["expected"] = cells["expected"]
    if "choices" in fields:
        fields["choices"] = tuple(part.strip() for part in cells["choices"].split("|"))
    rest = {n: c for n, c in cells.items() if n not in _COLUMNS and not n.startswith("tag.")}
    return _case({**fields, "operands": rest, "tags": tags}, where)
