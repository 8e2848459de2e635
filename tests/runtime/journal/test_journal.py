"""The journal: chained rows, texts once, one owner, and what a full disk does."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import Opened
from kit import asked, computer, echo, execute, finish, shorten, slow

from nlpu import lift, op
from nlpu.errors import JournalDamaged, RunBusy, StorageFailed
from nlpu.runtime.journal.buffered import link
from nlpu.runtime.journal.file import owned
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import NoJournal, RunLog
from nlpu.runtime.journal.witness import side_of
from nlpu.runtime.terminal.show.archive import owner
from nlpu.testing.scripted import Scripted

ROWS: list[list[Any]] = [["run", 1, {"a": None}], ["x", 1, "ü\u2028\n", 0.5], ["y", 1, [1, "2"]]]


def written(path: Path, rows: list[list[Any]] = ROWS) -> Path:
    journal = Opened(path)
    for row in rows:
        journal.append(*row)
        journal.number(f"text of {row[0]}")
        journal.flush()
    journal.close()
    return path


def damage(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_rows_and_texts_come_back(tmp_path: Path) -> None:
    journal = Opened(written(tmp_path / "j.db"))
    assert journal.rows == ROWS
    assert journal.texts == {1: "text of run", 2: "text of x", 3: "text of y"}
    journal.append("z", 1)
    assert journal.number("text of x") == 2 and journal.number("new") == 4
    journal.flush()
    journal.close()
    again = Opened(tmp_path / "j.db", read_only=True)
    assert again.rows == [*ROWS, ["z", 1]]
    again.close()


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    journal = Opened(written(tmp_path / "j.db"))
    journal.append("lost", 1)
    assert journal.dirty
    journal.close()
    again = Opened(tmp_path / "j.db")
    assert again.rows == ROWS and not again.dirty
    again.close()


def test_texts_are_stored_once(tmp_path: Path) -> None:
    journal = Opened(tmp_path / "j.db")
    assert [journal.number(text) for text in ("a", "b", "a", "b", "c")] == [1, 2, 1, 2, 3]
    journal.flush()
    assert [journal.number(text) for text in ("c", "a")] == [3, 1]
    journal.close()
    assert len(Opened(tmp_path / "j.db", read_only=True).texts) == 3


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["UPDATE log SET body = CAST('[1]' AS BLOB) WHERE seq = 2"], "row 2 fails"),
        (["DELETE FROM log WHERE seq = 2"], "row 2 fails"),
        (["DELETE FROM log WHERE seq = 1"], "row 1 fails"),
        (["UPDATE log SET seq = 9 WHERE seq = 3"], "row 3 fails"),
        (
            [
                "UPDATE log SET seq = 9 WHERE seq = 1",
                "UPDATE log SET seq = 1 WHERE seq = 2",
                "UPDATE log SET seq = 2 WHERE seq = 9",
            ],
            "row 1 fails",
        ),
        (["INSERT INTO log SELECT 4, texts, body, chain FROM log WHERE seq = 3"], "row 4 fails"),
        (["UPDATE text SET body = CAST('other' AS BLOB) WHERE id = 2"], "text 2 does not match"),
        (["DELETE FROM text WHERE id = 1"], "text 2 does not match"),
        (["UPDATE log SET chain = NULL || '' WHERE seq = 1"], "damaged"),
        (["DROP TABLE text"], "damaged"),
        (["PRAGMA user_version = 77"], "not a journal of this program's format"),
    ],
)
def test_damage_is_found_and_named(tmp_path: Path, statements: list[str], words: str) -> None:
    path = written(tmp_path / "j.db")
    try:
        damage(path, *statements)
    except sqlite3.IntegrityError:
        return  # SQLite itself refuses it
    for read_only in (False, True):
        with pytest.raises(JournalDamaged, match="Nothing of it was used") as found:
            Opened(path, read_only=read_only)
        assert words in str(found.value) and str(path) in str(found.value)


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    path, content = tmp_path / "j.db", b"not a database, but long enough to be one" * 50
    path.write_bytes(content)
    with pytest.raises(JournalDamaged):
        Opened(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    damage(path, "CREATE TABLE mine (a)")
    with pytest.raises(JournalDamaged, match="not a journal"):
        Opened(path)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=6, unique=True))
def test_the_chain_depends_on_every_row_and_its_place(bodies: list[bytes]) -> None:
    def chain(rows: list[bytes]) -> bytes:
        value = bytes(8)
        for seq, body in enumerate(rows, start=1):
            value = link(value, seq, 0, body)
        return value

    whole = chain(bodies)
    assert chain(bodies[::-1]) != whole
    assert chain(bodies[1:]) != whole
    assert chain([bodies[0] + b" ", *bodies[1:]]) != whole


# -- one owner ---------------------------------------------------------------------------------


def _try_to_open(path: Path, told: Any) -> None:
    try:
        Opened(path).close()
        told.put("opened")
    except RunBusy as error:
        told.put(str(error))


@pytest.mark.parametrize("read_only", [True, False])
def test_a_stray_rollback_file_is_named(tmp_path: Path, read_only: bool) -> None:
    path, stray = tmp_path / "j.db", tmp_path / "j.db-journal"
    with closing(Opened(path)) as journal:
        journal.append("row")
        journal.flush()
    stray.write_bytes(b"junk" * 200)
    with pytest.raises(JournalDamaged, match=r"j\.db-journal lies beside it.*move it away"):
        Opened(path, read_only=read_only)
    assert stray.read_bytes() == b"junk" * 200
    stray.unlink()
    with closing(Opened(path, read_only=read_only)) as journal:
        assert journal.rows == [["row", 1]]


def test_a_journal_has_one_owner_whatever_link_names_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path, linked = tmp_path / "a" / "x.db", tmp_path / "b" / "y.db"
    linked.symlink_to(Path("..", "a", "x.db"))
    for one, other in ((path, linked), (linked, path)):
        with closing(Opened(one)) as journal:
            journal.append("row")
            journal.flush()
            with pytest.raises(RunBusy):
                Opened(other)
            assert owner(one) and owner(other)
            assert len(Opened(other, read_only=True).rows) == len(journal.rows) + 1
    assert [each.name for each in linked.parent.iterdir()] == ["y.db"]
    assert not owner(linked)
    side_of(path).unlink()
    assert len(Opened(linked, read_only=True).rows) == 2, "it was closed, and is whole alone"


def test_a_second_process_is_told_who_owns_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    told = fork.Queue()
    journal = Opened(tmp_path / "j.db")
    for expected in (f"executed by process {os.getpid()}", "opened"):
        other = fork.Process(target=_try_to_open, args=(tmp_path / "j.db", told))
        other.start()
        answer = told.get(timeout=60)
        other.join()
        assert expected in answer
        journal.close()


def test_who_only_looks_for_an_owner_is_none(tmp_path: Path) -> None:
    path, done = tmp_path / "j.db", threading.Event()
    owned(path).release()

    def look() -> None:
        while not done.is_set():
            owner(path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(1000):
            owned(path).release()
    finally:
        done.set()
        looker.join()


def test_a_live_run_is_busy_and_can_be_looked_at(tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        run = finish(machine.start(lambda: echo("x")))
        with computer(run_dir=tmp_path) as other, pytest.raises(RunBusy, match="wait for it"):
            other.resume(run.name, lambda: echo("x"))
        looked = Opened(tmp_path / f"{run.name}.db", read_only=True)
        assert looked.rows[-1][0] == "end"
        looked.close()


# -- where it cannot be written ------------------------------------------------------------------


class Filling(Scripted):
    """After some requests the disk of the journal is full."""

    journal: Any = None
    after = 4

    async def send(self, request: Any, on_text: Callable[[str], None] | None = None) -> Any:
        if len(self.seen) == self.after:
            pages = self.journal._db.execute("PRAGMA page_count").fetchone()[0]
            self.journal._db.execute(f"PRAGMA max_page_count = {pages}")
        return await super().send(request, on_text)


def test_a_full_disk_stops_the_run_and_keeps_what_was_written(tmp_path: Path) -> None:
    def program() -> Any:
        text = "x" * 3000
        for _ in range(20):
            text = str(shorten.using(max_tokens=4000)(text))
        return text

    engine = Filling(lambda seen: seen.operands["text"] + "y")
    with computer(engine, run_dir=tmp_path) as machine:
        machine.processors  # noqa: B018  (opens it)
        assert machine._station.is_open
        engine.journal = machine._station.kernel.journal
        run = finish(machine.start(program))
        second = finish(machine.start(program))
    for failed in (run, second):
        assert isinstance(failed.error, StorageFailed)
        assert "cannot use the journal" in str(failed.error)
    made = len(engine.seen)
    assert made < 20
    rest = Scripted(engine._script)
    with computer(rest, run_dir=tmp_path) as machine:
        whole = finish(machine.resume(run.name, program))
    assert whole.result == "x" * 3000 + "y" * 20
    assert whole.receipt.reused >= 3
    assert len(rest.seen) + whole.receipt.reused == 20


def test_a_run_whose_header_could_not_be_written_leaves_no_row(tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        machine.processors  # noqa: B018  (opens it)
        journal = machine._station.kernel.journal
        assert isinstance(journal, Journal)
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # for a small row
        run = finish(machine.start(lambda book: book, "book " * 10_000))
        assert isinstance(run.error, StorageFailed)
        assert finish(machine.start(lambda: "small")).result == "small"
    rows = Opened(tmp_path / f"{machine._station.stem}.db", read_only=True).rows
    assert [row[:2] for row in rows] == [["run", 2], ["end", 2]]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        computer(run_dir=tmp_path / "file" / "runs") as machine,
        pytest.raises(StorageFailed, match="--run-dir"),
    ):
        machine.start(lambda: echo("x"))


def test_without_a_run_dir_nothing_is_kept() -> None:
    journal = NoJournal()
    log = RunLog(journal, 1)
    log.append("x", 1)
    assert journal.flush() is None
    assert not journal.dirty and log.text("x") == 0 and journal.read(1) == ([], {})


# -- size and order ------------------------------------------------------------------------------


def test_the_journal_is_small(tmp_path: Path) -> None:
    """2,000 calls with prompts of about 50 tokens (200 bytes): at most 1.5 times the texts."""
    asks = op(
        "Say in one short sentence what follows from this, of what you know of ships, of the "
        "sea and of letters, and nothing that does not follow.",
        name="follows",
    )
    texts = [f"{n}: " + "the captain kept the letter under " * 2 for n in range(2000)]
    engine = Scripted(lambda seen: f"It follows that number {seen.operands['text'][:4]} is there.")
    run = execute(lambda: lift(len)(asks.map(texts)), engine=engine, run_dir=tmp_path)
    assert run.result == 2000
    prompts = sum(len(seen.request.prompt) for seen in engine.seen)
    assert 190 <= prompts / 2000 <= 230
    size = sum(path.stat().st_size for path in tmp_path.glob("*.db*"))
    assert size <= 1.5 * (prompts + run.receipt.completion_tokens)


def test_nothing_is_seen_before_it_is_written(tmp_path: Path) -> None:
    """At each step of the program, the journal on the disk holds what it has seen."""
    path: list[Path] = []

    def program() -> int:
        for n in range(5):
            text = str(echo(f"{n}"))
            db = sqlite3.connect(f"{path[0].as_uri()}?mode=ro", uri=True)
            kinds = [row[0] for row in db.execute("SELECT body FROM log")]
            db.close()
            assert sum(b'"result"' in bytes(kind) for kind in kinds) == n + 1, text
        return n

    with computer(slow(1.0), run_dir=tmp_path) as machine:
        machine.processors  # noqa: B018  (opens it)
        path += tmp_path.glob("*.db")
        assert finish(machine.start(program)).result == 4


def test_runs_of_one_computer_share_a_journal(tmp_path: Path) -> None:
    engine = Scripted("x")
    with computer(engine, run_dir=tmp_path) as machine:
        runs = [finish(machine.start(lambda n=n: echo(f"{n}"))) for n in range(3)]
    stem = runs[0].name
    assert [run.name for run in runs] == [stem, f"{stem}.2", f"{stem}.3"]
    with computer(Scripted("never"), run_dir=tmp_path) as machine:
        again = finish(machine.resume(f"{stem}.2", lambda: echo("1"), replay=True))
        assert again.result == "x"
    assert asked(engine) == ["0", "1", "2"]
