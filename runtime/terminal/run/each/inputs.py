"""The inputs of a batch: lines of JSON, rows of a table, the files of a folder, stdin.

Theory of operation
-------------------
Inputs are read one at a time, whatever their number. A record is what one of them holds: a text,
columns by name, or another JSON value; which parameters of the program they fill is told by
``program``.

Rules
1. What is no input is one Usage error that names the file and the line.
2. Nothing is left out in silence: a line that is blank is none, and files whose names begin with a
   dot, and symbolic links to folders or out of the folder, are counted (``listed``).
3. An object that has a key twice, and a column that is there twice, are errors: the last would be
   taken in silence.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

from nlpu.errors import Usage
from nlpu.printing import shown
from nlpu.runtime.terminal.inputs import MOST_BYTES, read_file
from nlpu.runtime.terminal.run.each.stdin import Patient
from nlpu.types.json_text import once

TABLES = {".csv": ",", ".tsv": "\t"}


class Record(NamedTuple):
    """One input, or the error that says why it is none.

    where: what errors call it. id: a file's name in its folder. cells: all of it are texts.
    """

    where: str
    content: Any
    id: str = ""
    cells: bool = False


def check_source(source: str) -> None:
    """Raise Usage for what cannot be read, before anything is opened."""
    path = Path(source)
    if source != "-" and not path.exists():
        raise Usage(
            f"--each: there is no {source}; it names a .jsonl or .csv file, a folder of text "
            "files, or - for JSON lines on stdin"
        )
    if source != "-" and not (path.is_file() or path.is_dir()):
        raise Usage(f"--each: {source} is neither a file nor a folder; give - to read stdin")


def records(source: str, stdin: IO[bytes]) -> Generator[Record | None, None, None]:
    """The inputs of a source, in order; None: none has come yet. Raises Usage (rule 1)."""
    path = Path(source)
    if source == "-":
        yield from _lines(Patient(stdin), "stdin")
        return
    if path.is_dir():
        yield from _files(path)
        return
    try:
        with path.open("rb") as file:
            suffix = path.suffix.lower()
            yield from _table(file, source, suffix) if suffix in TABLES else _lines(file, source)
    except OSError as error:
        raise Usage(f"{source} cannot be read: {error.strerror}") from None


# -- lines -----------------------------------------------------------------------------------


def _lines(file: IO[bytes] | Patient, name: str) -> Iterator[Record | None]:
    number = 0
    while (line := file.readline(MOST_BYTES + 1)) != b"":
        if line is None:
            yield None
            continue
        number += 1
        if number == 1:
            _check_encoding(line, name)
            line = line.removeprefix(BOM_UTF8)
        where = f"{name}:{number}"
        if len(line) > MOST_BYTES:
            raise Usage(f"{where} is longer than {MOST_BYTES // 2**20} MB: cut it into several")
        if line.strip():
            yield Record(where, _told(lambda: _json(_text(line, where, name), where)))  # noqa: B023


def _told(read: Callable[[], Any]) -> Any:
    """What is read, or the error that says why it cannot be: what follows may be read."""
    try:
        return read()
    except Usage as error:
        return error


def _json(text: str, where: str) -> Any:
    def none(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    try:
        content = json.loads(text, object_pairs_hook=once, parse_constant=none)
    except (ValueError, RecursionError) as error:
        why = getattr(error, "msg", error)
        at = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Usage(
            f"{where} is no line of JSON ({why}{at}): {shown(text.strip(), 60)}. Each line is one "
            'input, such as {"text": "..."} or "..."; a table ends in .csv or .tsv'
        ) from None
    if isinstance(content, list):
        raise Usage(
            f"{where} is a list, and a line is one input: an object of columns, or a text; jq -c "
            "'.[]' writes each item of a list on a line of its own"
        )
    return content


def _check_encoding(head: bytes, name: str) -> None:
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        file = shlex.quote(name)
        raise Usage(f"{name} is UTF-16; convert it first: iconv -f utf-16 -t utf-8 {file}")


def _text(data: bytes, where: str, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Usage(
            f"{where} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); convert "
            f"it first, for example: iconv -f latin1 -t utf-8 {shlex.quote(name)}"
        ) from None


# -- tables ----------------------------------------------------------------------------------


def _table(file: IO[bytes], name: str, suffix: str) -> Iterator[Record]:
    _check_encoding(file.peek(2)[:2], name)  # type: ignore[attr-defined]
    csv.field_size_limit(MOST_BYTES)
    with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = csv.reader(text, delimiter=TABLES[suffix], strict=True)
        try:
            head = [column.strip() for column in next(rows, [])]
            _check_head(head, name)
            for row in filter(None, rows):
                where = f"{name}:{rows.line_num}"
                content = _told(lambda: _row(row, head, where, name))  # noqa: B023
                yield Record(where, content, cells=True)
        except csv.Error as error:
            raise Usage(
                f"{name}:{rows.line_num} is no row of a table: {error}; a cell with line breaks or "
                "quotes stands in double quotes, and quotes in it are doubled"
            ) from None


def _check_head(head: list[str], name: str) -> None:
    twice = sorted({column for column in head if head.count(column) > 1})
    if not head:
        raise Usage(f"{name} is empty: its first row names the columns")
    if len(head) == 1 and any(map(head[0].count, ",;\t|")):
        raise Usage(
            f"{name}: its first row names one column, {head[0]!r}; columns are divided by commas, "
            "in a .tsv by tabs: write the table so"
        )
    if not all(head):
        raise Usage(f"{name}: its first row names the columns, and one of them has no name")
    if twice:
        raise Usage(f"{name}: two columns are called {twice[0]!r}; rename one")
    for column in head:
        _text(column.encode("utf-8", "surrogateescape"), f"{name}:1", name)


def _row(row: list[str], head: list[str], where: str, name: str) -> dict[str, str]:
    if len(row) != len(head):
        raise Usage(
            f"{where} has {len(row)} cells, and there are {len(head)} columns "
            f"({', '.join(head)}); a cell with a separator in it stands in double quotes"
        )
    for cell in row:
        if not cell.isascii():
            _text(cell.encode("utf-8", "surrogateescape"), where, name)
        if "\0" in cell:
            raise Usage(f"{where} holds a NUL: {name} is a binary file, or damaged")
    return dict(zip(head, row, strict=True))


# -- folders ---------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Record]:
    for path in listed(folder)[0]:
        name = path.relative_to(folder).as_posix()
        yield Record(str(path), _told(lambda: _file(path, folder)), name)  # noqa: B023


def _file(path: Path, folder: Path) -> str:
    if not path.is_file():
        raise Usage(f"{path} is no plain file; move it out of {folder}")
    try:
        return read_file(path)
    except Usage as error:
        told = f"{error} (or move it out of {folder}, whose files are the inputs)"
        raise Usage(told) from None


def listed(folder: Path) -> tuple[list[Path], int, int]:
    """The files of a folder and below, by name; how many are left out: hidden ones, links."""
    found: list[Path] = []
    hidden = links = 0
    whole = os.path.realpath(folder)

    def unreadable(error: OSError) -> NoReturn:
        raise Usage(f"{error.filename} cannot be read: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=unreadable):
        hidden += sum(name[0] == "." for name in [*files, *folders])
        folders[:] = [name for name in folders if name[0] != "."]
        links += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        here = [Path(place, name) for name in files if name[0] != "."]
        inside = [path for path in here if Path(os.path.realpath(path)).is_relative_to(whole)]
        links += len(here) - len(inside)
        found += inside
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix()), hidden, links
