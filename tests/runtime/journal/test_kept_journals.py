"""Journals that earlier versions left: each opens, replays and resumes, or is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kept_journals import FOLDER, KEPT, SENT, Kept, machine, script
from kit import asked, finish

from nlpu.errors import NlpuError
from nlpu.runtime import Budget
from nlpu.runtime.terminal.show.archive import records
from nlpu.testing.scripted import Scripted


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Copies of the journals: to open one for writing changes it."""
    return Path(shutil.copytree(FOLDER, tmp_path / "runs"))


def test_all_can_be_looked_at(shelf: Path) -> None:
    found = {record.name: record for record in records(shelf)}
    assert found.keys() == {kept.id for kept in KEPT}
    assert not [record.damage for record in found.values() if record.damage]
    cut = {name for name, record in found.items() if record.status == "stopped"}
    assert cut == {kept.id for kept in KEPT if kept.at or kept.name == "budget"}


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_each_is_replayed_without_a_call(shelf: Path, kept: Kept) -> None:
    engine = Scripted("never")
    with machine(engine, shelf) as computer:
        run = finish(computer.resume(kept.id, kept.program, replay=True))
    assert engine.seen == []
    if kept.fails:
        assert isinstance(run.error, NlpuError) and kept.fails in str(run.error)
    else:
        assert run.result == kept.result


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_each_is_gone_on_with_where_it_was(shelf: Path, kept: Kept) -> None:
    """And again, as this version has gone on with it."""
    SENT.clear()
    for asks in (kept.asks, ()):
        engine = Scripted(script)
        with machine(engine, shelf) as computer:
            run = finish(computer.resume(kept.id, kept.program, budget=Budget()))
        if isinstance(kept.result, type):
            assert isinstance(run.error, kept.result)
        else:
            assert run.result == kept.result
        assert sorted(asked(engine)) == sorted(asks)
    assert SENT == []
