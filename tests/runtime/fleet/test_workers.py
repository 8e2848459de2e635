"""Runs whose workers ended: what others take over, and what nobody does again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fleet_kit import INPUTS, crew, lines

from nlpu.runtime import Computer
from nlpu.runtime.fleet.driving.local import Processes
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


KEYED = """
from pathlib import Path
from nlpu.errors import NeedsPerson
from nlpu.runtime.drivers import fencing_token, idempotency_key
from nlpu.runtime.drivers.driver import driver

ACTS = Path(__file__).parent / "acts"

@driver(effect="external", idempotent=IDEMPOTENT)
def pay(whom: str) -> str:
    \"\"\"Pay, at a service that knows keys.\"\"\"
    first = not ACTS.exists()
    with ACTS.open("a") as acts:
        acts.write(f"{idempotency_key()} {fencing_token()}\\n")
    if first:
        raise NeedsPerson("its worker ends before it is known what came of it")
    return "paid"

def chain(text: str) -> str:
    return str(pay(text))
"""


def keyed(database: Database, folder: Path, idempotent: bool) -> list[str]:
    """How a batch of one act ends whose first attempt had no outcome, and ends when given again."""
    source = KEYED.replace("IDEMPOTENT", str(idempotent))
    (folder / "mine.py").write_text(source)
    loaded = load(f"{folder / 'mine.py'}:chain")
    facts = {"header": {"program": loaded.spec, "file": loaded.digest}}  # its user's words
    batch = crew(database, folder, ["ann"], facts=facts)
    return [each["status"] for each in lines(batch)]


def test_an_act_is_made_again_only_under_the_key_of_the_first(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """What its service sees: the same key in each life, with a larger token; others' are others."""
    assert keyed(database, tmp_path, True) == ["needs_person"]
    assert keyed(database, tmp_path, True) == ["done"]
    other = place_of(postgres.fresh())
    assert isinstance(other, Database)
    assert keyed(other, tmp_path, True) == ["done"], "under the same names, in another database"
    acts = [line.split() for line in (tmp_path / "acts").read_text().splitlines()]
    (one, first), (same, second), (another, third) = acts
    assert one == same != another
    assert int(first) == int(third) == 1 < int(second)


def test_an_act_that_takes_no_key_is_never_repeated_by_a_take_over(
    database: Database, tmp_path: Path
) -> None:
    for _ in range(2):
        assert keyed(database, tmp_path, False) == ["needs_person"]
    assert len((tmp_path / "acts").read_text().splitlines()) == 1


STORAGE = """
from pathlib import Path
from nlpu import nlop
from nlpu.errors import StorageFailed

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if not (Path(__file__).parent / "back").exists():
        (Path(__file__).parent / "back").touch()
        raise StorageFailed("cannot use the database: it is away")
    return said
"""


def test_that_nothing_could_be_written_is_no_outcome(database: Database, tmp_path: Path) -> None:
    """Not even where the row of a run's end was written when the database was back."""
    batch = crew(database, tmp_path, INPUTS, program=STORAGE)
    found = lines(batch)
    assert {each["status"] for each in found} == {"done"}
    assert [type(each).__name__ for each in batch._keeper.hands.errors.values()] == [
        "StorageFailed"
    ]
    assert batch.receipt.answered.calls == len(INPUTS), "it went on with what was answered"


DEADLY = """
import os
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if text == "text 2":
        os._exit(7)
    return said
"""


@pytest.mark.slow  # processes are begun for each death
def test_an_input_that_ends_its_process_fails_and_all_others_are_done(
    database: Database, tmp_path: Path
) -> None:
    def processes(where: Database, stem: str) -> Processes:
        return Processes(where, stem, tmp_path / "logs")

    made = dict(program=DEADLY, hands=processes, at_once=16)
    found = lines(crew(database, tmp_path, INPUTS, **made))
    assert [each["index"] for each in found if each["status"] != "done"] == [2]
    why = found[2]["error"]
    assert why["type"] == "HostError"
    assert "ended with exit code 7, 4 times; the last time nothing else was" in why["message"]
    logs = [path.read_text() for path in (tmp_path / "logs").iterdir()]
    assert logs.count("this process ended with exit code 7\n") == 4
    assert lines(crew(database, tmp_path, INPUTS, **made)) == found, "nor is it tried again"
    (tmp_path / "mine.py").write_text(DEADLY.replace("os._exit(7)", "pass"))
    again = lines(crew(database, tmp_path, INPUTS, **made, retry=True, changed=True))
    assert [each["status"] for each in again] == ["done"] * len(INPUTS)
    assert again[2]["cost"]["calls"] == 1, "what was answered is met"


FLAGGED = """
from pathlib import Path
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if text == "text 2":
        flag = Path(__file__).parent / "flag"
        if not flag.exists() or flag.read_text():
            raise ValueError(flag.read_text() if flag.exists() else "no flag")
        said = str(step("more"))
    return said
"""


def test_a_failure_that_was_gone_on_with_alone_is_taken_up(
    database: Database, tmp_path: Path
) -> None:
    first = lines(crew(database, tmp_path, INPUTS, program=FLAGGED))
    program = load(f"{tmp_path / 'mine.py'}:chain").function

    def alone(flag: str) -> str:
        (tmp_path / "flag").write_text(flag)
        with Computer("scripted", store=database) as computer:
            return str(computer.resume(first[2]["run"], program, "text 2").wait().status)

    assert "no flag" in first[2]["error"]["message"] and first[2]["cost"]["calls"] == 1
    same = crew(database, tmp_path, INPUTS, program=FLAGGED)
    assert lines(same) == first and same._keeper.hands.told == {}
    assert alone("another flag") == "failed"
    found = lines(crew(database, tmp_path, INPUTS, program=FLAGGED))
    assert "another flag" in found[2]["error"]["message"] and found[3:] == first[3:]
    assert alone("") == "done"
    batch = crew(database, tmp_path, INPUTS, program=FLAGGED)
    found = lines(batch)
    assert found[2]["status"] == "done" and found[2]["cost"]["calls"] == 2
    assert batch.receipt.answered.calls == len(INPUTS) + 1
