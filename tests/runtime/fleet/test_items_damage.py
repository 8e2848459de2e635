"""What a batch keeps of its items: damage is found or harmless, and the journal makes it anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kit import echo
from witness_kit import flipped, shelf

from nlpu import Computer, FakeClock, JournalDamaged, Scripted
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime.fleet.items import SUFFIX, Items, Kept
from nlpu.runtime.fleet.share import NO_CALLS
from nlpu.testing.scripted import Seen

__all__ = ["shelf"]  # a fixture

FACTS = {"program": "main", "source": "0123", "processors": ["main"]}
KEPT = {
    ("ab12", 0): Kept(1, "done", "", '"a result"', UNTRUSTED, NO_CALLS),
    ("ab12", 1): Kept(2, "failed", "model", '["Malformed", "no JSON"]', USER, NO_CALLS),
    ("cd34", 0): Kept(3, "done", "", "[1, 2]", USER, NO_CALLS),
}


def kept(path: Path) -> Path:
    with closing(Items(path)) as items:
        items.note_facts(**FACTS)
        for key, item in KEPT.items():
            items.keep(*key, item)
        items.commit()
    return path


def seen(path: Path) -> Any:
    """All that is read of it."""
    with closing(Items(path)) as items:
        found = {key: items.find(*key) for key in KEPT}
        return found, items.facts(), items.tally(), items.runs(), items.failed(), [*items.took()]


def flips(path: Path, step: int) -> dict[str, int]:
    whole, met = seen(kept(path)), {"found": 0, "harmless": 0}
    for bit in range(0, path.stat().st_size * 8, step):
        with flipped(path, bit):
            try:
                assert seen(path) == whole, bit
                met["harmless"] += 1
            except JournalDamaged:
                met["found"] += 1
    return met


def test_a_few_bits(shelf: Path) -> None:
    met = flips(shelf / f"b{SUFFIX}", 331)
    assert met["found"] >= 10 and met["harmless"] >= 10, met


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_bit(shelf: Path) -> None:
    flips(shelf / f"b{SUFFIX}", 1)


def test_the_journal_makes_it_anew_without_a_call(tmp_path: Path) -> None:
    model = Scripted(lambda given: f"said {given.operands['text']}")

    def lines() -> list[str]:
        with Computer(model, run_dir=tmp_path, clock=FakeClock()) as machine:
            return [item.line() for item in machine.map(said, ["a", "b", "c"], name="b")]

    first = lines()
    asked: list[Seen] = [*model.seen]
    path = tmp_path / f"b{SUFFIX}"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE item SET body = replace(body, 'said a', 'said b')")
    with pytest.raises(JournalDamaged, match="a row of items is not as it was written"):
        lines()
    path.unlink()
    assert lines() == first and model.seen == asked


def said(text: str) -> str:
    return str(echo(text))


def test_a_file_of_an_earlier_version_is_sealed(tmp_path: Path) -> None:
    path = kept(tmp_path / f"b{SUFFIX}")
    whole = seen(path)
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("item", "fact"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN seal")
    assert seen(path) == whole == seen(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE fact SET content = '\"other\"' WHERE name = 'program'")
    with pytest.raises(JournalDamaged, match="a row of facts is not"):
        Items(path)
