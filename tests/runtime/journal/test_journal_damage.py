"""A damaged journal is found or harmless.

Harmless means: what is read are the true rows with their true texts, and a run resumed from them
comes to the right result. In another boot of the machine it may be a prefix of the rows, as a power
cut leaves it. Everything else must be a typed error. ``test_journal_witness`` has effects as well.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from damage_kit import CALLS, shelf, whole
from journal_kit import Opened, rebooted
from kill_programs import chain
from pydantic_core import to_json

from nlpu.errors import JournalDamaged, ProgramError
from nlpu.runtime import Budget, Computer
from nlpu.runtime.journal.records import past_of
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import Row
from nlpu.testing.scripted import Scripted, Seen, default_answer

__all__ = ["shelf"]  # a fixture

DIED = 21  # the call at which the copy is taken, as a kill would leave it
FRAME, WAL_HEADER, PAGE = 4096 + 24, 32, 4096
STATES = ("log only", "half copied", "all copied", "closed")


@dataclass
class Sample:
    """A journal that was left behind: its files, and the truth about it."""

    files: dict[str, bytes]
    rows: list[Row]
    texts: dict[int, str]
    expected: bytes  # the result of the run

    def put(self, directory: Path, *, reboot: bool = False, **changed: bytes) -> Path:
        if reboot:
            changed["db_side"] = rebooted(self.files["db-side"])
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for name, content in self.files.items():
            (directory / f"j.{name}").write_bytes(changed.get(name.replace("-", "_"), content))
        return directory / "j.db"


def sample(shelf: Path, state: str) -> Sample:
    """A run that died, with its last rows in the WAL, in the database, or in both.

    log only:    nothing was copied into the database yet
    half copied: the WAL was emptied into it once, and holds what came later
    all copied:  the WAL's rows are in the database, too
    closed:      there is no WAL; the run was stopped by its budget
    """
    home, copy = shelf / "home", shelf / "copy"
    for directory in (home, copy):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
    asked = 0

    def answer(seen: Seen) -> str:
        nonlocal asked
        asked += 1
        if asked == DIED - 5 and state == "half copied":
            assert _database(computer).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        if asked == DIED and state == "all copied":
            _database(computer).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if asked == DIED and state != "closed":
            _copy(home, copy)
        return default_answer(seen)

    with Computer(Scripted(answer), run_dir=home) as computer:
        budget = Budget(calls=DIED) if state == "closed" else Budget()
        computer.start(chain, CALLS, budget=budget).wait()
    if state == "closed":
        _copy(home, copy)
    files = {path.name.removeprefix("j."): path.read_bytes() for path in copy.iterdir()}
    with closing(Opened(copy / "j.db", read_only=True)) as journal:
        found = Sample(files, journal.rows, journal.texts, whole())
    assert ("db-wal" in files) == (state != "closed")
    return found


def _database(computer: Computer) -> sqlite3.Connection:
    assert isinstance(computer._station.kernel.journal, Journal)
    return computer._station.kernel.journal._db


def _copy(home: Path, copy: Path) -> None:
    (path,) = home.glob("*.db")
    for suffix in (".db", ".db-wal", ".db-side"):
        file = path.with_suffix(suffix)
        if file.exists() and file.stat().st_size:
            shutil.copy(file, copy / f"j{suffix}")


def outcome(found: Sample, path: Path) -> str:
    """Open a journal: "damaged", or the number of rows, all of them true."""
    try:
        journal = Opened(path, read_only=True)
    except JournalDamaged:
        return "damaged"
    journal.close()
    assert journal.rows == found.rows[: len(journal.rows)]
    assert journal.texts.items() <= found.texts.items()
    return str(len(journal.rows))


def resumed(found: Sample, path: Path) -> str:
    """Resume a journal: "found" if that says that it is damaged, else the result is right."""
    engine = Scripted()
    done = 0
    try:
        with Computer(engine, run_dir=path.parent) as computer:
            run = computer.resume("j", chain, CALLS, budget=Budget()).wait()
            done = run.receipt.reused
            if isinstance(run.error, JournalDamaged):
                return "found"
            assert to_json(run.result) == found.expected
    except JournalDamaged:
        return "found"
    except ProgramError as error:
        return "empty" if "has no run" in str(error) else str(error)
    assert len(engine.seen) == CALLS - done
    return "right" if _still_good(path) else "found later"


def _still_good(path: Path) -> bool:
    """What was written on top of a harmless damage is itself good, or found."""
    try:
        with closing(Opened(path, read_only=True)) as journal:
            return past_of(journal.rows).finished
    except JournalDamaged:
        return False


# -- cuts ---------------------------------------------------------------------------------------


def _last_records(found: Sample, name: str, rows: int) -> range:
    """Every length from before the last rows to the whole: those of a WAL, commit by commit."""
    content = found.files[name]
    if name == "db":
        return range(max(0, len(content) - rows * PAGE), len(content))
    commits = [
        start
        for start in range(WAL_HEADER, len(content), FRAME)
        if int.from_bytes(content[start + 4 : start + 8], "big")
    ]
    return range(commits[-rows - 1] + FRAME if len(commits) > rows else 0, len(content))


def cut(shelf: Path, state: str, name: str, rows: int, step: int) -> Counter[str]:
    """Cut a file at every ``step``-th byte of its last rows: in this boot, and in another one."""
    found = sample(shelf, state)
    whole = str(len(found.rows))
    met = Counter[str]()
    for index, length in enumerate(_last_records(found, name, rows)[::step]):
        changed = {name.replace("-", "_"): found.files[name][:length]}
        assert outcome(found, found.put(shelf / "cut", **changed)) in ("damaged", whole)
        what = outcome(found, found.put(shelf / "cut", reboot=True, **changed))
        met[what] += 1
        if what != "damaged" and (met[what] == 1 or index % 199 == 0):
            there = found.put(shelf / "cut", reboot=True, **changed)
            assert resumed(found, there) in ("right", "empty")
    return met


CUTS = [
    ("log only", "db-wal", 3),
    ("half copied", "db-wal", 2),
    ("half copied", "db", 5),
    ("all copied", "db-wal", 1),
    ("closed", "db", 3),
]


@pytest.mark.parametrize(("state", "name", "rows"), CUTS)
def test_cut_here_and_there(shelf: Path, state: str, name: str, rows: int) -> None:
    assert cut(shelf, state, name, rows, step=331)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("state", "name", "rows"), CUTS)
def test_cut_at_every_byte(
    shelf: Path, state: str, name: str, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    met = cut(shelf, state, name, rows, step=1)
    with capsys.disabled():
        print(f"\n{name} of {state!r} cut at {met.total()} lengths: rows read {dict(met)}")


# -- flips --------------------------------------------------------------------------------------


def flip(shelf: Path, state: str, flips: int, seed: int) -> Counter[str]:
    """Turn one bit over, anywhere in the files; a third of them where the structure is."""
    found = sample(shelf, state)
    random = Random(f"{state}/{seed}")
    met = Counter[str]()
    for _ in range(flips):
        name = random.choice(list(found.files))
        content = bytearray(found.files[name])
        at = random.randrange(len(content))
        if random.random() < 1 / 3:
            at = at // PAGE * PAGE + random.randrange(min(128, len(content) - at // PAGE * PAGE))
        content[at] ^= 1 << random.randrange(8)
        changed = {name.replace("-", "_"): bytes(content)}
        what = outcome(found, found.put(shelf / "flip", **changed))
        if what != "damaged":
            assert what == str(len(found.rows))
            what = resumed(found, found.put(shelf / "flip", **changed))
        met[what] += 1
    return met


@pytest.mark.parametrize("state", STATES)
def test_a_few_flips(shelf: Path, state: str) -> None:
    assert flip(shelf, state, flips=12, seed=0).total() == 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("state", STATES)
def test_flips(shelf: Path, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    met = flip(shelf, state, flips=500, seed=1)
    assert met.total() == 500
    with capsys.disabled():
        print(f"\n500 bit flips in {state!r}: {dict(met)}")


# -- damage that SQLite cannot see --------------------------------------------------------------

HIDDEN = {
    "a text": "DELETE FROM text WHERE id = (SELECT max(id) FROM text)",
    "a row in the middle": "DELETE FROM log WHERE seq = 9",
    "a word": "UPDATE log SET body = replace(body, 'main/3', 'main/4') WHERE seq = 9",
    "two rows swapped": "UPDATE log SET seq = 1000 - seq WHERE seq IN (8, 9)",
    "another text": "UPDATE text SET body = CAST('no' AS BLOB) WHERE id = 3",
    "all tables": "DROP TABLE log; DROP TABLE text",
    "the mark": "PRAGMA application_id = 1",
    "another format": "PRAGMA user_version = 99",
}


@pytest.mark.parametrize("what", HIDDEN)
def test_a_change_behind_our_back_is_found(shelf: Path, what: str) -> None:
    path = sample(shelf, "closed").put(shelf / "j")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(HIDDEN[what])
    for read_only in (True, False):
        with pytest.raises(JournalDamaged, match="damaged"):
            Opened(path, read_only=read_only)


def test_a_header_that_forbids_writing_is_found(shelf: Path) -> None:
    found = sample(shelf, "closed")
    content = bytearray(found.files["db"])
    content[18] ^= 4  # SQLite then opens the file for reading only
    assert resumed(found, found.put(shelf / "j", db=bytes(content))) == "found"


@pytest.mark.parametrize("content", [b"", b"SQLite", b"\0" * 5000, b"Hello, world. " * 900])
def test_other_files(shelf: Path, content: bytes) -> None:
    path = shelf / "j.db"
    path.write_bytes(content)
    if content:
        with pytest.raises(JournalDamaged):
            Opened(path, read_only=True)
        return
    with closing(Opened(path, read_only=True)) as journal:  # killed before its first row
        assert journal.rows == []
    with pytest.raises(ProgramError, match="has no run"):
        Computer(Scripted(), run_dir=shelf).resume("j", chain, CALLS).wait()


def test_a_journal_is_read_while_it_is_written(shelf: Path) -> None:
    """A reader sees one moment, never rows whose texts it has not read."""
    asked = 0

    def answer(seen: Seen) -> str:
        nonlocal asked
        asked += 1
        (path,) = shelf.glob("*.db")
        with closing(Opened(path, read_only=True)) as journal:
            assert past_of(journal.rows).attempts == asked
        return default_answer(seen)

    with Computer(Scripted(answer), run_dir=shelf) as computer:
        assert computer.run(chain, 10).status == "done"
