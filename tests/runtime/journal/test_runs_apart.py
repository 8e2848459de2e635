"""Several runs in one file: each is read, damaged and gone on with for itself."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from kit import asked, computer, echo, finish, said, shorten

from nlpu.errors import JournalDamaged
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.file import CLOSED, OPEN
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.terminal.show.archive import find, records
from nlpu.testing.scripted import Scripted


def program(text: str) -> str:
    return str(shorten(echo(text)))


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, str]:
    """A journal of three runs that asked for partly the same."""
    with computer(said, run_dir=tmp_path) as machine:
        runs = [finish(machine.start(program, text)) for text in ("one", "same", "same")]
    return tmp_path, runs[0].name


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


SECOND = "texts >> 32 = 1"
DAMAGES: dict[str, str] = {
    "a word": f"UPDATE log SET body = replace(body, 'main/0', 'main/7') WHERE {SECOND}",
    "a row": f"DELETE FROM log WHERE seq = (SELECT max(seq) - 3 FROM log WHERE {SECOND})",
    "a text": "UPDATE text SET body = CAST('no' AS BLOB) WHERE place = (1 << 32) + 2",
    "its texts": "DELETE FROM text WHERE place >> 32 = 1",
    "a row that is another's now": "UPDATE log SET texts = texts + (1 << 32) "
    f"WHERE seq = (SELECT max(seq) - 3 FROM log WHERE {SECOND})",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_of_a_run_is_found_where_that_is_read(three: tuple[Path, str], what: str) -> None:
    folder, name = three
    change(folder / f"{name}.db", DAMAGES[what])
    with computer("never", run_dir=folder) as machine, pytest.raises(JournalDamaged):
        machine.resume(f"{name}.2", program, "same")
    with pytest.raises(JournalDamaged):
        find(folder, f"{name}.2")
    assert [record.status for record in records(folder)] == ["damaged"]
    with pytest.raises(JournalDamaged):
        Journal(folder / f"{name}.db")


def test_damage_of_one_run_does_not_keep_others_from_going_on(three: tuple[Path, str]) -> None:
    folder, name = three
    change(folder / f"{name}.db", DAMAGES["a word"])
    engine = Scripted(said)
    for run, text in ((name, "one"), (f"{name}.3", "same")):
        with computer(engine, run_dir=folder) as machine:
            assert finish(machine.resume(run, program, text)).result == text
        assert find(folder, run).status == "done"
    assert asked(engine) == []


@pytest.mark.parametrize("run", [1, 2, 3])
def test_rows_that_are_gone_from_any_run_are_missed_by_all(
    three: tuple[Path, str], run: int
) -> None:
    """The last rows of a run leave its chain whole; the file has too few all the same."""
    folder, name = three
    where = f"texts >> 32 = {run - 1}"
    last = f"SELECT seq FROM log WHERE {where} ORDER BY seq DESC LIMIT 2"
    change(folder / f"{name}.db", f"DELETE FROM log WHERE seq IN ({last})")
    for other in (1, 2, 3):
        with pytest.raises(JournalDamaged, match=r"missing|side record"):
            Journal(folder / f"{name}.db", read_only=True, run=other)


def test_texts_are_numbered_for_each_run(three: tuple[Path, str]) -> None:
    folder, name = three
    with closing(Journal(folder / f"{name}.db", read_only=True)) as journal:
        found = {run: journal.read(run) for run in journal.runs()}
    assert [*found] == [1, 2, 3]
    assert found[2].texts == found[3].texts
    assert {*found[1].texts} == {*found[2].texts} == {*range(1, len(found[1].texts) + 1)}
    assert [row[1] for row in found[3].rows] == [3] * len(found[3].rows)


def test_a_closed_file_has_its_runs_apart_and_an_open_one_writes_no_index(
    three: tuple[Path, str],
) -> None:
    folder, name = three
    path = folder / f"{name}.db"
    query = "EXPLAIN QUERY PLAN SELECT body FROM log WHERE texts >= 1 AND texts < 2"

    def told() -> tuple[int, int, str]:
        with closing(sqlite3.connect(path)) as db:
            (mark,) = db.execute("PRAGMA user_version").fetchone()
            (count,) = db.execute(
                "SELECT count(*) FROM sqlite_master WHERE type='index'"
            ).fetchone()
            return mark, count, db.execute(query).fetchone()[3]

    assert told()[:2] == (CLOSED[0], 2) and "USING INDEX" in told()[2]
    with closing(Journal(path)):
        assert told()[:2] == (OPEN[0], 0)
    assert told()[:2] == (CLOSED[0], 2)


def test_memory_does_not_grow_with_the_other_runs(tmp_path: Path) -> None:
    def held(others: int) -> int:
        """Most bytes while the first run of a file is opened, read and gone on with."""
        path = tmp_path / f"{others}.db"
        with closing(Journal(path)) as store:
            for run in [1, *range(2, others + 2)]:
                log = RunLog(store, run)
                for n in range(50):
                    log.append("row", log.text(f"{run} {n} " + "text " * 40))
            store.flush()
        gc.collect()
        tracemalloc.start()
        with closing(Journal(path, run=1)) as store:
            log = RunLog(store, 1, store.read(1))
            assert len(log.rows) == 50
            log.append("row", log.text("more"))
            store.flush()
            most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = held(2), held(200)
    assert many < 1.2 * few + 20_000, (few, many)


@pytest.mark.parametrize("read_first", [True, False])
def test_a_run_that_was_not_read_on_opening_is_gone_on_with(
    three: tuple[Path, str], read_first: bool
) -> None:
    folder, name = three
    path = folder / f"{name}.db"
    with closing(Journal(path, run=2)) as store:
        if read_first:
            store.read(3)
        log = RunLog(store, 3)
        before = log.text("same")
        log.append("pulse", 0, 0, log.text("new"), 0)
        store.flush()
    with closing(Journal(path, read_only=True)) as journal:
        rows, texts = journal.read(3)
    assert texts[before] == "same" and texts[len(texts)] == "new"
    assert rows[-1] == ["pulse", 3, 0, 0, len(texts), 0]


def test_an_edit_of_an_edit_takes_texts_of_runs_that_number_them_otherwise(tmp_path: Path) -> None:
    def long() -> list[str]:
        parts = [str(echo(f"part {n}")) for n in range(4)]
        return [*parts, str(shorten(" ".join(parts)))]

    engine = Scripted(said)
    with computer(engine, run_dir=tmp_path) as machine:
        finish(machine.start(program, "first"))
        run = finish(machine.start(long))
        one = finish(machine.rerun(run.name, long, edits=Edits({"main/1": "EDITED"})))
        two = finish(machine.rerun(one.name, long, edits=Edits({"main/2": "AGAIN"})))
    wanted = ["part 0", "EDITED", "AGAIN", "part 3"]
    assert two.result == [*wanted, " ".join(wanted)]
    made = len(engine.seen)
    with computer(engine, run_dir=tmp_path) as machine:
        assert finish(machine.resume(two.name, long)).result == two.result
        assert finish(machine.resume(two.name, long, replay=True)).result == two.result
    assert made == len(engine.seen) == 2 + 5 + 1 + 1
    own = find(tmp_path, two.name)
    assert {own.texts[made.text] for made in own.past.outcomes.values()} == {*two.result}
