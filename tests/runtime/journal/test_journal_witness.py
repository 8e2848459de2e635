"""The side record: what a journal has lost is noticed, and no letter is sent twice.

A journal that is damaged anywhere is found to be, or is whole: all of its rows are read, and the
run comes to its result. A power cut alone may take rows, and none that an effect rests on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing, suppress
from itertools import combinations
from pathlib import Path

import pytest
from journal_kit import Opened
from kill_programs import chain
from kit import computer, echo, execute
from terminal_fixture import Terminal, nlpu
from witness_kit import (
    NAMES,
    SECTOR,
    STATES,
    Left,
    begun,
    commits,
    flipped,
    gone_on,
    held,
    left,
    opened,
    shelf,
)

from nlpu.errors import JournalDamaged
from nlpu.runtime.journal.witness import SLOT_BYTES, read, side_of

__all__ = ["nlpu", "shelf"]  # fixtures

PAGE = 4096
DEAD = STATES[:2]


# -- every bit -----------------------------------------------------------------------------------


def flips(shelf: Path, found: Left, name: str, step: int, again: int) -> Counter[str]:
    """Turn every ``step``-th bit of a file over; each ``again``-th harmless one is gone on with."""
    path = found.put(shelf / "flips")
    file, met = path.with_suffix(f".{name}"), Counter[str]()
    for bit in range(0, len(found.files[name]) * 8, step):
        with flipped(file, bit):
            rows = opened(found, path)
            assert rows in (None, len(found.rows)), f"bit {bit} of {name}: {rows} rows"
            what = "found" if rows is None else "harmless"
            met[what] += 1
            if met[what] % again == 1 or (rows and bit < 800):
                place = shelf / "gone on"
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(path.parent, place)
                met[f"{what}, then {gone_on(place / path.name)}"] += 1
    assert opened(found, path) == len(found.rows)
    return met


@pytest.mark.parametrize("state", STATES)
def test_some_bits_of_a_journal(shelf: Path, state: str) -> None:
    found = left(shelf, state)
    for name in found.files:
        met = flips(shelf, found, name, step=1013 if name != "db-side" else 11, again=40)
        assert not any(what.startswith("found, then ") and what[-5:] != "found" for what in met)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", STATES)
def test_every_bit(shelf: Path, state: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = left(shelf, state)
    if name not in found.files:
        return
    met = flips(shelf, found, name, step=1, again=100)
    assert not any(what.startswith("found, then ") and what[-5:] != "found" for what in met)
    with capsys.disabled():
        print(f"\nevery bit of {name} ({len(found.files[name])} bytes), {state}: {dict(met)}")


# -- files that are cut, gone, or mixed up -------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", NAMES[:2])
def test_a_file_that_is_gone_or_cut(shelf: Path, state: str, name: str) -> None:
    found = left(shelf, state)
    if name not in found.files:
        return
    content, key = found.files[name], name.replace("-", "_")
    for changed in (None, b"", content[:-PAGE], content[: len(content) // 2], bytes(len(content))):
        rows = opened(found, found.put(shelf / "j", **{key: changed}))
        assert rows is None or (name == "db" and changed and rows == len(found.rows))
        path = found.put(shelf / "j", reboot=True, **{key: changed})
        rows = opened(found, path)
        assert rows is None or rows >= held(found)
        assert gone_on(path) == {None: "found", held(found): "asked"}.get(rows, "right")


def test_what_is_gone_is_named(shelf: Path, nlpu: Terminal) -> None:
    found = left(shelf, "sent")
    rows = len(found.rows)
    for changed, words in (
        ({"db_wal": None}, f"{rows} of its {rows} rows are missing, perhaps with what drivers"),
        ({"db": None}, f"its file is gone, and with it {rows} rows"),
        ({"db_side": None}, "its side record j.db-side is missing or says nothing"),
    ):
        path = found.put(shelf / "j", **changed)
        with pytest.raises(JournalDamaged, match=words):
            Opened(path, read_only=True)
        with computer(run_dir=path.parent) as machine, pytest.raises(JournalDamaged, match=words):
            machine.resume("j", echo, "hello")
        listed = nlpu("runs", "--run-dir", str(path.parent))
        assert "damaged" in listed.out and listed.code == 0
        shown = nlpu("show", "j", "--run-dir", str(path.parent))
        assert shown.code != 0 and "is damaged" in shown.err and "Traceback" not in shown.err


def test_pages_that_changed_places(shelf: Path) -> None:
    execute(chain, 40, run_dir=shelf / "home")
    (path,) = (shelf / "home").glob("*.db")
    whole = path.read_bytes()
    with closing(Opened(path, read_only=True)) as journal:
        rows = journal.rows
    pages = [whole[at : at + PAGE] for at in range(0, len(whole), PAGE)]
    for one, other in combinations(range(len(pages)), 2):
        swapped = pages.copy()
        swapped[one], swapped[other] = pages[other], pages[one]
        path.write_bytes(b"".join(swapped))
        with suppress(JournalDamaged), closing(Opened(path, read_only=True)) as journal:
            assert journal.rows == rows


def test_a_side_record_of_another_run(shelf: Path) -> None:
    found, other = left(shelf, "finished"), begun(shelf / "other", 3)["j.db-side"]
    with pytest.raises(JournalDamaged, match="row 3 is not the one that its side record names"):
        Opened(found.put(shelf / "j", db_side=other), read_only=True)


@pytest.mark.parametrize("state", STATES)
def test_a_side_record_that_says_nothing(shelf: Path, state: str) -> None:
    """Only a journal that was closed is whole without one."""
    found = left(shelf, state)
    for side in (None, b"", bytes(SECTOR + SLOT_BYTES), b"?" * 2000):
        path = found.put(shelf / "j", db_side=side)
        if state == "finished":
            assert opened(found, path) == len(found.rows)
            assert gone_on(path) == "right"
            assert read(path) is not None
        else:
            assert opened(found, path) is None and gone_on(path) == "found"


@pytest.mark.parametrize("state", DEAD)
def test_one_slot_is_enough(shelf: Path, state: str) -> None:
    found = left(shelf, state)
    for start in (0, SECTOR):
        side = bytearray(found.files["db-side"])
        side[start : start + SLOT_BYTES] = bytes(SLOT_BYTES)
        path = found.put(shelf / "j", db_side=bytes(side))
        assert opened(found, path) == len(found.rows)
        assert gone_on(path) == ("asked" if state == "on its way" else "right")


def test_a_damaged_journal_is_left_as_it_is(shelf: Path) -> None:
    found = left(shelf, "sent")
    wal = found.files["db-wal"]
    path = found.put(shelf / "j", db_wal=wal[: commits(wal)[-2]])
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            Opened(path)
        assert path.with_suffix(".db-wal").read_bytes() == wal[: commits(wal)[-2]]
        assert path.read_bytes() == found.files["db"]
        assert side_of(path).read_bytes() == found.files["db-side"]
