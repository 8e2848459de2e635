"""Inputs of a batch of several workers: they get what the driver was given, or it is refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fleet_kit import crew

from nlpu.errors import (
    Usage,
)
from nlpu.runtime import Computer
from nlpu.runtime.fleet.plan import Entry
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.show.archive import find

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


ODD = ["a\0b", "half \ud800", '"quoted"', "two\nlines", ""]


def test_ids_and_texts_that_no_database_takes_are_kept(database: Database, tmp_path: Path) -> None:
    """The lines, and their runs' headers, have them as they are; in the next life, too."""
    inputs = [Entry(odd, (f"text\0 {at}",), {}) for at, odd in enumerate(ODD)]
    for _ in range(2):
        items = list(crew(database, tmp_path, inputs))
        assert [(item.id, item.status) for item in items] == [(odd, "done") for odd in ODD]
    headers = [find(database, item.run).past.header for item in items]
    assert [each["each"]["id"] for each in headers] == ODD


UNFIT: list[tuple[Entry, Any]] = [
    (Entry("", (), {"nosuch": "a"}), {"nosuch": "a"}),
    (Entry("", ("a", "b", "c"), {}), ("a", "b", "c")),
    (Entry("", (5,), {}), 5),
    (Entry("", (["a"],), {}), ["a"]),
    (Entry("", ("a",), {}), "a"),
]


def test_an_input_that_does_not_fit_fails_alone(database: Database, tmp_path: Path) -> None:
    found = [item.line() for item in crew(database, tmp_path, [entry for entry, _ in UNFIT])]
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        inputs = [each for _, each in UNFIT]
        assert found == [item.line() for item in computer.map(program, inputs, name="batch")]
    assert [json.loads(line)["status"] for line in found] == [*["failed"] * 4, "done"]


TYPED = """
from datetime import date
from pydantic import BaseModel

class Letter(BaseModel):
    text: str
    on: date = date(2020, 1, 1)

def go(letter: Letter, weight: float, raw: bytes, *days: date, **more: set[int]):
    return [type(letter).__name__, weight, repr(raw), [repr(day) for day in days], repr(more)]
"""


def test_arguments_reach_a_worker_as_they_were(database: Database, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TYPED)
    inputs: list[Entry] = []  # of types that the driver's program brings
    made = crew(database, tmp_path, (each for each in inputs), function="go")
    program = made._program
    given = (program.__globals__["Letter"](text="a"), 5, b"ab", date(2020, 1, 1), date(2021, 1, 1))
    inputs.append(Entry("", given, {"k": {2, 1}}))
    (item,) = made
    assert item.result == program(*given, k={2, 1})


@pytest.mark.parametrize("odd", [b"x", date(2020, 1, 1), ("a", "b"), float("nan")])
def test_what_a_worker_would_get_otherwise_is_refused(
    odd: Any, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(Usage, match=r"input 2 goes to a worker as JSON, .* and would be another"):
        list(crew(database, tmp_path, ["a", odd]))


def test_an_input_that_would_be_a_setting_is_refused(tmp_path: Path) -> None:
    told = "'budget' reaches named by name alone"
    with Computer("scripted") as computer, pytest.raises(Usage, match=told):
        list(computer.map(named, [{"budget": 5}]))


def test_a_fact_that_no_database_takes_is_not_the_servers_fault(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(Usage, match=r"it has a character that no database takes, U\+0000"):
        list(crew(database, tmp_path, ["a"], facts={"system": "a\0b"}))


def named(text: str) -> str:
    return text
