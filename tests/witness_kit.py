"""Journals of runs that send a letter, as they are left behind, for tests that damage them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest
from journal_kit import Opened, rebooted
from kit import Doomed, computer, echo, finish, keep, said, shorten

from nlpu.errors import JournalDamaged, NeedsPerson
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.journal.store import Row

STATES = ("on its way", "sent", "finished")
NAMES = ("db", "db-wal", "db-side")
SECTOR = 512
FRAME, WAL_HEADER = 4096 + 24, 32
RESULT = "hello True"


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A directory in memory, where that is possible: thousands of journals are opened there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


class Post:
    """A program that sends one letter, and what it has sent."""

    def __init__(self, home: Path | None = None, grave: Path | None = None) -> None:
        self.sent: list[str] = []

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            if home and grave and not grave.exists():
                keep(home, grave)
            self.sent.append(body)
            return True

        self.send = send

    def program(self) -> Any:
        body = echo("hello")
        sent = str(self.send("ann", body))
        return shorten(f"{body} {sent}")


@dataclass
class Left:
    """What a run left behind: its files, and the truth about its rows.

    on its way: the process died while the letter was being sent
    sent:       it died during the call after that
    finished:   it came to its end, and the journal was closed
    """

    state: str
    files: dict[str, bytes] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)

    def put(self, place: Path, *, reboot: bool = False, **changed: bytes | None) -> Path:
        """Lay the files out, some of them changed or (None) without; as in another boot."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        files: dict[str, bytes | None] = dict(self.files)
        if reboot:
            files["db-side"] = rebooted(self.files["db-side"])
        files.update({name.replace("_", "-"): content for name, content in changed.items()})
        for name, content in files.items():
            if content is not None:
                (place / f"j.{name}").write_bytes(content)
        return place / "j.db"


def left(place: Path, state: str) -> Left:
    """Run the program, and keep what such a death would leave."""
    home, grave = place / "home", place / "grave"
    for folder in (home, grave):
        shutil.rmtree(folder, ignore_errors=True)
    post = Post(home, grave if state == "on its way" else None)
    engine = Doomed(said, home, grave, 2 if state == "sent" else 0)
    with computer(engine, run_dir=home) as machine:
        assert finish(machine.start(post.program)).result == RESULT
    folder = home if state == "finished" else grave
    stem = next(folder.glob("*.db")).stem
    there = {path.name.removeprefix(f"{stem}."): path for path in folder.iterdir()}
    found = Left(state, {name: there[name].read_bytes() for name in NAMES if name in there})
    assert ("db-wal" in found.files) == (state != "finished")
    assert sum(map(len, found.files.values())) < 65536
    with closing(Opened(found.put(place / "look"), read_only=True)) as journal:
        found.rows, found.texts = journal.rows, journal.texts
    return found


def opened(left: Left, path: Path) -> int | None:
    """Open a journal: the number of rows, all of them true; None if it says that it is damaged."""
    try:
        journal = Opened(path, read_only=True)
    except JournalDamaged:
        return None
    journal.close()
    assert journal.rows == left.rows[: len(journal.rows)]
    assert journal.texts.items() <= left.texts.items()
    return len(journal.rows)


def gone_on(path: Path) -> str:
    """Resume the run: "found", "asked", or "right". It sends no letter: that has been sent."""
    post = Post()
    try:
        with computer(run_dir=path.parent) as machine:
            run = finish(machine.resume(path.stem, post.program))
    except JournalDamaged:
        return "found"
    finally:
        assert post.sent == []
    if isinstance(run.error, JournalDamaged):
        return "found"
    if isinstance(run.error, NeedsPerson):
        return "asked"
    assert run.result == RESULT, run.error
    return "right"


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """A file in which one bit is turned over, for a while."""
    with path.open("r+b", buffering=0) as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        try:
            _put(file, bit // 8, byte ^ 1 << bit % 8)
            yield
        finally:
            _put(file, bit // 8, byte)


def _put(file: RawIOBase, at: int, byte: int) -> None:
    file.seek(at)
    file.write(bytes([byte]))


def held(found: Left) -> int:
    """How many rows were synced to the disk: those up to the intent, or all of them."""
    if found.state == "finished":
        return len(found.rows)
    return next(seq for seq, row in enumerate(found.rows, 1) if row[0] == "intent")


def commits(wal: bytes) -> list[int]:
    """The lengths of a log after its commits."""
    starts = range(WAL_HEADER, len(wal), FRAME)
    return [start + FRAME for start in starts if any(wal[start + 4 : start + 8])]


def begun(place: Path, commits: int, **options: Any) -> dict[str, bytes]:
    """The files of a journal whose owner was killed."""
    place.mkdir(exist_ok=True)
    journal = Opened(place / "j.db", **options)
    for number in range(commits):
        journal.append("row", 1, number)
        journal.flush()
    files = {path.name: path.read_bytes() for path in place.glob("j.db*")}
    journal.close()
    return files


def laid(place: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place / "j.db"
