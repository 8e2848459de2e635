"""Old journals are removed, whole, wherever they are kept; what somebody needs is not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fleet_kit import crew
from kit import echo, finish, said
from terminal_fixture import Terminal, nlpu

from nlpu.errors import DeadlineExceeded, RunBusy, Usage
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import journals, place_of, remove
from nlpu.runtime.journal.where import Database, Place
from nlpu.runtime.loader import load
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.terminal.show.pruning import age_s, prune
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
DAY_S = 86400.0


class Yard:
    """A place of journals, which can be made to look older."""

    def __init__(self, place: Place, server: Any = None) -> None:
        self.place, self.server = place, server

    def run(self, program: Any) -> str:
        with Computer(Scripted(said), store=self.place) as machine:
            return finish(machine.start(program)).name

    def age(self, stem: str, days: float) -> None:
        """Have it changed last so many days ago."""
        if isinstance(self.place, Path):
            then = time.time() - days * DAY_S
            for path in self.place.glob(f"{stem}.db*"):
                os.utime(path, (then, then))
        else:
            self._do(f"changed_s = changed_s - {days * DAY_S} WHERE stem = '{stem}'")

    def damage(self, stem: str) -> None:
        if isinstance(self.place, Path):
            path = self.place / f"{stem}.db"
            path.write_bytes(path.read_bytes()[:5000])
        else:
            self._do(f"rows = rows + 1 WHERE stem = '{stem}'")

    def _do(self, change: str) -> None:
        name = urlsplit(self.place.url).path[1:]  # type: ignore[union-attr]
        self.server.do(f"UPDATE nlpu.journal SET {change}", name)

    def stems(self) -> set[str]:
        return {where.stem for where in journals(self.place)}


@pytest.fixture(params=["folder", "database"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Yard:
    if request.param == "folder":
        return Yard(tmp_path)
    server = request.getfixturevalue("postgres")
    return Yard(place_of(server.fresh()), server)


def program() -> str:
    return str(echo("a"))


def echo_of(text: str) -> str:
    return str(echo(text))


def fails() -> None:
    raise ValueError("no")


def test_what_is_old_is_removed_and_the_rest_is_as_it_was(yard: Yard) -> None:
    old, new = yard.run(program), yard.run(program)
    with Computer(Scripted(said), store=yard.place) as machine:
        bad = machine.start(program).wait().name
        assert machine.start(fails).wait().status == "failed"
    odd = yard.run(program)
    yard.damage(odd)
    for stem in (old, bad, odd):
        yard.age(stem, 31)
    whole = yard.stems()
    dry = prune(yard.place, 30 * DAY_S, True, True)
    assert (dry.removed, dry.kept) == ([old], {"newer": 1, "not done": 1, "damaged": 1})
    assert yard.stems() == whole == {old, new, bad, odd}
    done = prune(yard.place, 30 * DAY_S, True, False)
    assert done == dry and done.freed > 200 and done.left > 600
    assert yard.stems() == {new, bad, odd}
    assert prune(yard.place, 30 * DAY_S, False, False).removed == [bad]
    assert yard.stems() == {new, odd}
    if isinstance(yard.place, Path):
        assert {path.stem for path in yard.place.iterdir()} == {new, odd}


def test_what_goes_on_is_kept(yard: Yard) -> None:
    with Computer(Scripted(said), store=yard.place) as machine:
        stem = finish(machine.start(program)).name
        yard.age(stem, 31)
        assert prune(yard.place, DAY_S, False, False).kept == {"running": 1}
        assert finish(machine.start(program)).result == "a"
    yard.age(stem, 31)
    assert prune(yard.place, DAY_S, False, False).removed == [stem]


def test_what_has_changed_since_it_was_looked_at_is_kept(request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres")
    yard = Yard(place_of(server.fresh()), server)
    stem = yard.run(program)
    yard.age(stem, 40)
    (seat,) = journals(yard.place)
    yard.age(stem, -1)
    with pytest.raises(RunBusy):
        remove(seat)
    assert yard.stems() == {stem}
    remove(next(iter(journals(yard.place))))
    assert not yard.stems()


def test_what_belongs_to_a_batch_goes_with_its_journal(tmp_path: Path) -> None:
    with Computer(Scripted(said), run_dir=tmp_path) as machine:
        assert [item.result for item in machine.map(echo_of, ["a", "b"], name="letters")]
    assert (tmp_path / "letters.items").exists()
    Yard(tmp_path).age("letters", 40)
    assert prune(tmp_path, 30 * DAY_S, keep_failed=False, dry=False).removed == ["letters"]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("letters")]


UNKEPT = """
def go(text: str):
    return b"\\xff"
"""


def test_an_input_that_failed_though_its_run_is_done_is_not_done(
    yard: Yard, tmp_path: Path
) -> None:
    """No run tells of it: what came of it is kept beside, and that is to be tried again."""
    (tmp_path / "mine.py").write_text(UNKEPT)
    if isinstance(yard.place, Path):
        with Computer(Scripted(said), store=yard.place) as machine:
            go = load(f"{tmp_path / 'mine.py'}:go").function
            items = list(machine.map(go, ["a"], name="batch"))
    else:
        items = list(crew(yard.place, tmp_path, ["a"], function="go"))
    assert [item.status for item in items] == ["failed"]
    yard.age("batch", 40)
    assert prune(yard.place, DAY_S, keep_failed=True, dry=False).kept == {"not done": 1}
    assert prune(yard.place, DAY_S, keep_failed=False, dry=False).removed == ["batch"]


def test_a_batch_whose_inputs_no_worker_came_to_is_not_done(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    with pytest.raises(DeadlineExceeded):
        list(crew(database, tmp_path, ["a", "b"], budget=Budget(seconds=0)))
    yard = Yard(database, postgres)
    yard.age("batch", 40)
    assert prune(database, DAY_S, keep_failed=True, dry=False).kept == {"not done": 1}
    assert prune(database, DAY_S, keep_failed=False, dry=False).removed == ["batch"]


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * DAY_S), ("2h", 7200.0), ("0s", 0.0)])
def test_an_age_is_read(text: str, seconds: float) -> None:
    assert age_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1w", "9999999d", "30d "])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--older takes an age"):
        age_s(text)


def test_the_command_says_sizes(nlpu: Terminal) -> None:
    assert nlpu("run", "ask", "a", "--engine", "scripted").code == 0
    kept = nlpu("runs", "prune", "--older", "1d")
    assert (kept.code, kept.out) == (0, "") and "removed 0 journals, 0.0 kB" in kept.err
    assert "kept 1 journal," in kept.err and "kB (1 newer)" in kept.err
    gone = json.loads(nlpu("runs", "prune", "--older", "0s", "--json").out)
    assert len(gone["removed"]) == 1 and gone["bytes"] > 5000 and gone["kept"] == {}
    assert json.loads(nlpu("runs", "--json").out) == []
    early = nlpu("runs", "--run-dir", "there", "prune", "--older", "0s")
    assert early.code == 2 and "stand behind it" in early.err
    assert nlpu("runs", "prune", "--older", "1d", "--keep", "all").code == 2
