"""The side record: what counts as lost to a power cut, and how it stays true beside its journal."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import Opened, rebooted
from kit import computer, echo, execute, finish, resumed
from witness_kit import (
    RESULT,
    SECTOR,
    STATES,
    Post,
    begun,
    commits,
    gone_on,
    held,
    laid,
    left,
    opened,
    shelf,
)

from nlpu.errors import JournalDamaged, ProgramError, StorageFailed
from nlpu.runtime.journal.file import CLOSED, OLDEST, OPEN, journals
from nlpu.runtime.journal.witness import (
    SLOT_BYTES,
    UNKNOWN,
    Record,
    boot_id,
    decode,
    encode,
    lost,
    read,
    side_of,
)
from nlpu.runtime.terminal.show.edges import _copy

__all__ = ["shelf"]  # a fixture

DEAD = STATES[:2]
ONE, OTHER = b"the boot it was.", b"the one after it"


# -- power cuts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", DEAD)
def test_a_power_cut_takes_nothing_that_an_effect_rests_on(shelf: Path, state: str) -> None:
    found = left(shelf, state)
    wal = found.files["db-wal"]
    for length in (0, *commits(wal)):
        assert opened(found, found.put(shelf / "j", db_wal=wal[:length])) in (None, len(found.rows))
        path = found.put(shelf / "j", reboot=True, db_wal=wal[:length])
        rows = opened(found, path)
        assert rows is None or rows >= held(found)
        if rows is not None:  # the outcome may be lost, and is asked for then
            assert gone_on(path) == ("asked" if rows == held(found) else "right")
    assert rows == len(found.rows)


def test_what_a_power_cut_took_is_forgotten(shelf: Path) -> None:
    """New rows take the place of lost ones: no older slot may name those."""
    files = begun(shelf / "j", 5, boot=ONE)
    files["j.db-wal"] = files["j.db-wal"][: commits(files["j.db-wal"])[-3]]
    for boot in (ONE, OTHER, UNKNOWN):
        path = laid(shelf / "cut", files)
        if boot == ONE:
            with pytest.raises(JournalDamaged, match="2 of its 5 rows are missing"):
                Opened(path, boot=boot)
            continue
        with closing(Opened(path, boot=boot)) as journal:
            assert len(journal.rows) == 3
            side = side_of(path).read_bytes()
            slots = [decode(side[start : start + SLOT_BYTES]) for start in (0, SECTOR)]
            assert [(slot.rows, slot.boot) for slot in slots if slot] == [(3, boot)] * 2
            journal.append("another", 1, 3)
            journal.flush()
            assert len(Opened(path, read_only=True, boot=boot).rows) == 4


def test_a_log_of_another_run_with_as_many_rows_as_were_held(shelf: Path) -> None:
    """The rows are all there and chained, but none of them is the intent."""
    kinds = [*(["row"] * 5), "intent", *(["row"] * 3)]
    files = killed(shelf / "j", kinds)
    other = killed(shelf / "k", [*kinds[:5], "other"])
    for boot in (ONE, OTHER, UNKNOWN):
        for read_only in (True, False):
            path = laid(shelf / "mixed", {**files, "j.db-wal": other["j.db-wal"]})
            with pytest.raises(JournalDamaged, match=r"6 is not the one|3 of its 9 rows"):
                Opened(path, read_only=read_only, boot=boot)
    cut = files["j.db-wal"][: commits(files["j.db-wal"])[-4]]
    path = laid(shelf / "cut", {**files, "j.db-wal": cut})
    for _ in range(2):  # what was held is known as that in each later boot
        with closing(Opened(path, boot=OTHER)) as journal:
            assert [row[0] for row in journal.rows] == kinds[:6]


def killed(place: Path, kinds: list[str]) -> dict[str, bytes]:
    """The files of a journal with such rows, whose owner was killed; intents were synced."""
    place.mkdir()
    with closing(Opened(place / "j.db", boot=ONE)) as journal:
        for kind in kinds:
            journal.append(kind, sync=kind == "intent")
            journal.flush()
        return {path.name: path.read_bytes() for path in place.glob("j.db*")}


def test_no_power_cut_empties_the_file(shelf: Path) -> None:
    files = begun(shelf / "j", 5, boot=ONE)
    for boot in (ONE, OTHER):
        for read_only in (True, False):
            path = laid(shelf / "cut", {**files, "j.db": b""})
            with pytest.raises(JournalDamaged, match="its file is empty, and with it 5 rows"):
                Opened(path, read_only=read_only, boot=boot)
            assert path.with_suffix(".db-wal").read_bytes() == files["j.db-wal"]
            path = laid(shelf / "cut", {"j.db-side": files["j.db-side"]})
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA journal_mode=WAL")  # no table, but a header
            with pytest.raises(JournalDamaged, match="its file holds nothing, and 5 rows are"):
                Opened(path, read_only=read_only, boot=boot)


def test_where_no_boot_has_an_id_each_is_another(shelf: Path) -> None:
    files = begun(shelf / "j", 5, boot=UNKNOWN)
    files["j.db-wal"] = files["j.db-wal"][: commits(files["j.db-wal"])[-3]]
    path = laid(shelf / "cut", files)
    assert len(Opened(path, read_only=True, boot=UNKNOWN).rows) == 3


def test_a_durable_journal_loses_nothing(shelf: Path) -> None:
    files = begun(shelf / "j", 5, durable=True, boot=ONE)
    files["j.db-wal"] = files["j.db-wal"][: commits(files["j.db-wal"])[-2]]
    with pytest.raises(JournalDamaged, match="1 of its 5 rows are missing"):
        Opened(laid(shelf / "cut", files), boot=OTHER)


def test_a_closed_journal_loses_nothing(shelf: Path) -> None:
    begun(shelf / "j", 5, boot=ONE)
    path = shelf / "j" / "j.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM log WHERE seq > 3")
        db.commit()
    with pytest.raises(JournalDamaged, match="2 of its 5 rows are missing"):
        Opened(path, boot=OTHER)


# -- beside the journal --------------------------------------------------------------------------


def test_a_kill_before_the_slot_leaves_the_journal_ahead(shelf: Path) -> None:
    files, before = begun(shelf / "j", 5, boot=ONE), begun(shelf / "k", 4, boot=ONE)
    path = laid(shelf / "both", {**files, "j.db-side": before["j.db-side"]})
    with closing(Opened(path, boot=ONE)) as journal:
        assert len(journal.rows) == 5
    record = read(path)
    assert record is not None and (record.rows, record.held) == (5, 5)


def mark(path: Path) -> int:
    """SQLite's user_version in the file itself, whatever a log says."""
    return int.from_bytes(path.read_bytes()[60:64], "big")


def test_a_file_says_itself_that_there_is_more(shelf: Path) -> None:
    path = shelf / "j.db"
    for _ in range(2):
        with closing(Opened(path)) as journal:
            assert mark(path) == OPEN[0]  # before there is a row
            journal.append("row")
            journal.flush()
        assert mark(path) == CLOSED[0]
    side_of(path).unlink()
    assert len(Opened(path, read_only=True).rows) == 2


def test_a_side_record_is_as_private_as_its_journal(tmp_path: Path) -> None:
    begun(tmp_path / "j", 1)
    path = tmp_path / "j" / "j.db"
    assert stat.S_IMODE(side_of(path).stat().st_mode) == 0o600
    path.chmod(0o640)
    Opened(path).close()
    assert stat.S_IMODE(side_of(path).stat().st_mode) == 0o640


def test_a_copy_to_look_at_has_its_side_record(shelf: Path) -> None:
    found = left(shelf, "sent")
    (shelf / "copy").mkdir()
    _copy(found.put(shelf / "j"), shelf / "copy" / "j.db")
    assert opened(found, shelf / "copy" / "j.db") == len(found.rows)


def test_an_empty_journal_leaves_nothing(tmp_path: Path) -> None:
    Opened(tmp_path / "j.db").close(discard=True)
    assert list(tmp_path.iterdir()) == []


def test_killed_before_its_first_row_there_was_no_run(shelf: Path) -> None:
    files = begun(shelf / "j", 0)
    for gone in ("j.db-wal", "j.db"):
        files.pop(gone, None)
        path = laid(shelf / "died", files)
        with computer(run_dir=path.parent) as machine, pytest.raises(ProgramError, match="no run"):
            machine.resume("j", echo, "hello")
    path = laid(shelf / "died", {**files, "j.db": b"", "j.db-side": b""})
    assert journals(path.parent) == [path]
    with closing(Opened(path)) as journal:
        assert journal.rows == [] and read(path) is not None


def test_a_record_that_cannot_be_written_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = Opened(path)
    journal.append("one")
    journal.flush()
    journal._side.close()
    for row in ("two", "three"):
        journal.append(row)
        with pytest.raises(StorageFailed, match="cannot use the journal"):
            journal.flush()
        assert not journal.dirty
    journal.close()
    assert [row for row, _ in Opened(path, read_only=True).rows] == ["one", "two", "three"]


def test_a_side_record_that_cannot_be_read(tmp_path: Path) -> None:
    begun(tmp_path, 1)
    side_of(tmp_path / "j.db").unlink()
    side_of(tmp_path / "j.db").mkdir()
    for read_only in (True, False):
        with pytest.raises(StorageFailed, match="directory"):
            Opened(tmp_path / "j.db", read_only=read_only)


def test_readers_of_a_living_journal_find_nothing_wrong(shelf: Path) -> None:
    path, done, met = shelf / "j.db", threading.Event(), Counter[str]()
    owner = Opened(path)

    def look() -> None:
        try:
            follower = Opened(path, read_only=True)
            seen = len(follower.rows)
            while not done.is_set():
                seen += len(follower.follow(1).rows)
                with closing(Opened(path, read_only=True)) as fresh:
                    met["looks"] += len(fresh.rows) >= seen
        except JournalDamaged as error:
            met[str(error)] += 1

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(2000):
        owner.append("row", 1, number)
        owner.flush()
    done.set()
    reader.join()
    owner.close()
    assert set(met) == {"looks"} and met["looks"] > 1, met


def test_a_run_that_was_looked_at_is_resumed(tmp_path: Path) -> None:
    """Opening for writing without a new row changes no count."""
    post = Post()
    run = execute(post.program, run_dir=tmp_path)
    before = read(next(tmp_path.glob("*.db")))
    again = resumed(tmp_path, run, post.program, replay=True)
    assert again.result == RESULT and read(next(tmp_path.glob("*.db"))) == before


# -- records -------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 2**64 - 1)
RECORDS = st.builds(
    Record,
    NUMBERS,
    st.binary(min_size=16, max_size=16),
    NUMBERS,
    NUMBERS,
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
)


@given(RECORDS)
def test_a_slot_comes_back_and_no_other_is_one(record: Record) -> None:
    slot = encode(record)
    assert len(slot) == SLOT_BYTES and decode(slot) == record
    for bit in range(len(slot) * 8):
        other = bytearray(slot)
        other[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(other)) is None
    assert decode(slot[:-1]) is None and decode(b"") is None and decode(bytes(SLOT_BYTES)) is None


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_what_counts_as_lost(rows: int, counted: int, held: int, same: bool) -> None:
    held = min(held, counted)
    record = Record(1, ONE, counted, held, bytes(8), bytes(8))
    missing = lost(record, rows, ONE if same else OTHER)
    assert bool(missing) == (rows < held or (same and rows < counted))


def test_this_boot_has_an_id() -> None:
    assert boot_id() == boot_id() and len(boot_id()) == len(UNKNOWN)
    if os.path.exists("/proc/sys/kernel/random/boot_id"):
        assert boot_id() != UNKNOWN
    side = encode(Record(1, ONE, 1, 1, bytes(8), bytes(8)))
    assert decode(rebooted(side)) == Record(1, b"another boot id.", 1, 1, bytes(8), bytes(8))


def test_a_journal_of_an_earlier_version_is_looked_at_and_not_gone_on_with(tmp_path: Path) -> None:
    """Its calls have other keys: they would not be met, and what was sent would be sent again."""
    with computer("fine", run_dir=tmp_path) as machine:
        name = finish(machine.start(lambda: echo("a"))).name
    (path,) = tmp_path.glob("*.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={OLDEST}")
    side_of(path).unlink()
    for replay in (False, True):
        with (
            computer("fine", run_dir=tmp_path) as machine,
            pytest.raises(ProgramError, match="earlier version"),
        ):
            machine.resume(name, lambda: echo("a"), replay=replay)
    with closing(Opened(path, read_only=True)) as journal:
        assert journal.is_older and journal.rows
    assert mark(path) == OLDEST
