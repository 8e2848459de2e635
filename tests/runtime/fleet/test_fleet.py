"""``Fleet`` as Python makes it: what it needs, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nlpu import Fleet
from nlpu.errors import (
    Usage,
)
from nlpu.runtime import Computer
from nlpu.runtime.journal.where import Database

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


def test_what_it_needs_is_imported_when_it_is_asked_for() -> None:
    found = "print([n for n in ('psycopg', 'ray') if n in sys.modules])"
    code = f"import sys; from nlpu import *; Fleet; {found}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_ray_it_is_said_how_to_add_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from nlpu.runtime.fleet.driving.fleet import hands_of\n"
        "from nlpu.runtime.journal.where import Database\n"
        "try: hands_of(Database('', ''), 'batch', 'local', print)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingPart --ray needs Ray: pip install")
    assert "[fleet]" in done.stdout


def test_a_program_without_a_name_is_refused(database: Database) -> None:
    with pytest.raises(Usage, match="a lambda has no name"):
        Fleet(lambda text: text, ["a"], store=database, name="batch")
    with pytest.raises(Usage, match="take letters and digits"):
        Fleet(named, ["a"], store=database, name="a_b")
    with pytest.raises(Usage, match="workers share a database"):
        Fleet(named, ["a"], store="runs", name="batch")


def named(text: str) -> str:
    return text


def test_a_named_batch_of_one_computer_is_in_a_folder(database: Database) -> None:
    """In a database it is its workers'; one without a name is its program's runs, as any."""
    with Computer("scripted", store=database) as computer:
        with pytest.raises(Usage, match=r"in a database by workers: nlpu\.Fleet"):
            list(computer.map(named, ["a"], name="batch"))
        assert [item.result for item in computer.map(named, ["a", "b"])] == ["a", "b"]
