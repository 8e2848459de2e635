"""Journals whose checksums hold and whose rows no run has written: damage that names the row."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journal_kit import PROGRAM, RUNS, Opened, Rows, forge
from kit import computer
from terminal_fixture import Ended, Terminal, nlpu

from nlpu.errors import JournalDamaged
from nlpu.runtime.journal.buffered import link
from nlpu.runtime.terminal.show.archive import find, followed, read
from nlpu.runtime.terminal.show.command import _details, _print_details

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
JUNK: tuple[Any, ...] = (None, "", -1, 10**9, [None], {"a": None})
DEEP = 400


def deep() -> Any:
    """A list in a list in a list ..."""
    found: list[Any] = []
    for _ in range(DEEP):
        found = [found]
    return found


def shortened(rows: Rows) -> None:
    rows[3][:] = rows[3][:3]


def without_a_processor(rows: Rows) -> None:
    rows[5][5] = None


def without_a_header(rows: Rows) -> Rows:
    return [*rows[1:]]


def no_row(rows: Rows) -> None:
    rows[0] = ""  # type: ignore[call-overload]


def of_another_kind(rows: Rows) -> None:
    rows[2][0] = "junk"


def of_no_run(rows: Rows) -> None:
    rows[2][1] = [1]


def of_a_run_and_no_run(rows: Rows) -> None:
    rows[2][1] = "1"


def in_another_order(rows: Rows) -> None:
    rows[1:] = reversed(rows[1:])


def of_no_date(rows: Rows) -> None:
    rows[0][2]["started_s"] = 1e300


def of_itself(rows: Rows) -> None:
    rows[0][2]["from"] = {"run": "x", "number": 1}


def of_no_budget(rows: Rows) -> None:
    rows[0][2]["budget"] = {"a": None}


def of_no_processor(rows: Rows) -> None:
    rows[0][2]["can"]["constraints"] = [[]]


def of_no_price(rows: Rows) -> None:
    rows[0][2]["price"] = 1


def begun_twice(rows: Rows) -> Rows:
    return [*rows, rows[0]]


def deep_header(rows: Rows) -> None:
    rows[0][2]["can"] = deep()


def texts_that_are_not_there(rows: Rows) -> None:
    for row in rows:
        if row[0] == "result":
            row[3] = 99


CHANGES: tuple[Callable[[Rows], Any], ...] = (
    shortened,
    without_a_processor,
    without_a_header,
    no_row,
    of_another_kind,
    of_no_run,
    of_a_run_and_no_run,
    in_another_order,
    of_no_date,
    deep_header,
    of_itself,
    begun_twice,
    of_no_budget,
    of_no_processor,
    of_no_price,
    texts_that_are_not_there,
)
COMMANDS = (
    ("show", "--json"),
    ("show",),
    ("show", "--html", "a.html"),
    ("show", "--live", "--json"),
    ("resume",),
    ("replay",),
    ("run", "--from"),
)


@pytest.fixture
def two(nlpu: Terminal, tmp_path: Path) -> tuple[str, str]:
    """Two runs; the first is there to be changed."""
    (tmp_path / "p.py").write_text(PROGRAM)
    runs = [nlpu("run", "p.py:go", word, *SCRIPTED, "--json") for word in ("What?", "Who?")]
    return runs[0].json["run_id"], runs[1].json["run_id"]


def told(ended: Ended) -> None:
    assert "is damaged: row " in ended.err + ended.out, ended
    assert "fault of nlpu" not in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize("change", CHANGES)
def test_odd_rows_are_damage(
    nlpu: Terminal, two: tuple[str, str], change: Callable[[Rows], Any]
) -> None:
    bad, good = two
    forge(RUNS / f"{bad}.db", change)
    for command in COMMANDS:
        verb, *more = command
        ended = nlpu(verb, *more, bad) if verb == "run" else nlpu(verb, bad, *more)
        assert ended.code != 0
        told(ended)
    ended = nlpu("runs")
    assert ended.code == 0 and good in ended.out
    told(ended)
    assert {each["id"]: each["status"] for each in nlpu("runs", "--json").json} == {
        bad: "damaged",
        good: "done",
    }


def test_each_part_of_each_row(two: tuple[str, str], tmp_path: Path) -> None:
    """Whatever stands there, a journal is read, or it is damaged and the row is named."""
    path, copy = RUNS / f"{two[0]}.db", tmp_path / "copy.db"
    with closing(Opened(path, read_only=True)) as journal:
        lengths = [len(row) for row in journal.rows]
    for at, length in enumerate(lengths):
        for part in range(length):
            for junk in JUNK:

                def change(rows: Rows, at: int = at, part: int = part, junk: Any = junk) -> None:
                    rows[at][part] = junk

                shutil.copy(path, copy)
                forge(copy, change)
                for record in read(copy):
                    assert record.damage == "" or "is damaged: row " in record.damage
                    if not record.damage:
                        _print_details(record, True)
                        assert _details(record)["id"] == record.name


def test_a_row_that_is_nested_too_deep_to_be_read(two: tuple[str, str]) -> None:
    path = RUNS / f"{two[0]}.db"

    def nest(rows: Rows) -> None:
        rows[1].append("NEST")

    forge(path, nest)
    _replace(path, b'"NEST"', b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(JournalDamaged, match=r"row 2 cannot be read"):
        Opened(path, read_only=True)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    with closing(sqlite3.connect(path)) as db:
        chain = bytes(8)
        for seq, texts, body in db.execute("SELECT seq, texts, body FROM log").fetchall():
            other = body.replace(old, new)
            chain = link(chain, seq, texts, other)
            db.execute("UPDATE log SET body = ?, chain = ? WHERE seq = ?", (other, chain, seq))
        db.commit()


def test_odd_rows_are_damage_for_python_too(two: tuple[str, str]) -> None:
    forge(RUNS / f"{two[0]}.db", without_a_processor)
    for replay in (False, True):
        for _ in range(2):  # the journal is free again
            with computer(run_dir=RUNS) as machine, pytest.raises(JournalDamaged, match="row 6"):
                machine.resume(two[0], lambda: "", replay=replay)


def test_odd_rows_of_a_run_that_is_followed(two: tuple[str, str]) -> None:
    record = find(RUNS, two[0])
    with closing(Opened(record.path)) as owner:
        owner.append("resume", 1, 1.0, False)
        owner.flush()
        steps = followed(record, lambda: None)
        assert next(steps).status == "running"
        owner.append("attempt", 1)
        owner.flush()
        with pytest.raises(JournalDamaged, match=r"row [0-9]+ .'attempt'. is none that a run"):
            next(steps)


def test_rows_of_a_kind_that_is_not_known_are_left_alone(two: tuple[str, str]) -> None:
    path = RUNS / f"{two[0]}.db"
    forge(path, lambda rows: [*rows, ["later", 1, {"deep": deep()}]])
    with closing(Opened(path, read_only=True)) as journal:
        assert journal.rows[-1][0] == "later"
    assert find(RUNS, two[0]).status == "done"
