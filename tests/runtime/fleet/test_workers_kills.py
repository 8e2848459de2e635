"""Fleets that are killed anywhere: workers, the command, the database with kill -9.

A tenth of it is in the slow lane, all by ``make test-fleet``.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fleet_kills import Fleet, until
from terminal_fixture import fault_server

from nlpu.errors import NeedsPerson
from nlpu.runtime import Computer
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
KINDS = ("worker", "worker", "driver", "database")
LITTLE, MUCH = pytest.mark.slow, pytest.mark.fleet


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    log = tmp_path / "sent.jsonl"
    slow = ("--rate", "slow:0.01=0.5", "--rate", "slow:0.04=0.5")
    with fault_server("--log", str(log), "--window", "100000", *slow) as url:
        yield url, log


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("shape", "seed"),
    [
        pytest.param(shape, seed, marks=MUCH if seed else LITTLE)
        for shape in ("chain", "fan", "loop")
        for seed in range(10)
    ],
)
def test_killed_anywhere(
    postgres: Any, served: tuple[str, Path], tmp_path: Path, shape: str, seed: int, capsys: Any
) -> None:
    """The results are those of an undisturbed run, to the byte."""
    expected = Fleet(postgres, *served, tmp_path / "batch", shape, 40).whole()
    fleet = Fleet(postgres, *served, tmp_path / "batch", shape, 40)
    fleet.killed(4, Random(f"{shape} {seed}"), KINDS)
    found = fleet.whole()
    again = fleet.judge()
    assert found == expected
    with capsys.disabled():
        print(f"\n{shape} {seed}: {dict(fleet.kills)}; {again} open calls sent again")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_killed_worker_had_open_is_told_as_lost(postgres: Any, tmp_path: Path) -> None:
    """And is that worker's part, not that of who goes on with its runs."""
    from nlpu.runtime.fleet.workers.desk import Desk

    log = tmp_path / "sent.jsonl"
    with fault_server("--log", str(log), "--rate", "slow:0.3=1") as url:
        fleet = Fleet(postgres, url, log, tmp_path / "lost", "chain", 6)
        process = fleet.begin("--json")
        until("calls under way", lambda: len(fleet.sent()) >= 4 or process.poll() is not None)
        for each in fleet.workers():
            os.kill(each, signal.SIGKILL)
        out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told + fleet.logs()
    lost = json.loads(out)["lost"]["calls"]
    assert lost >= 1 and "were lost" in told
    database = place_of(fleet.url)
    assert isinstance(database, Database)
    desk = Desk(database, json.loads(out)["batch"])
    receipt = desk.receipt()
    desk.close()
    assert receipt.lost.calls == lost and receipt.answered.calls == 6 * 8
    parts = {name: each.calls for name, each in receipt.by_worker.items()}
    assert sum(parts.values()) == 6 * 8 + lost and len(parts) >= 2 and "" not in parts


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [pytest.param(n, marks=MUCH if n else LITTLE) for n in range(10)])
def test_effects_are_made_once(
    postgres: Any,
    served: tuple[str, Path],
    tmp_path: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What became of an effect that was under way is asked of a person; all others are done."""
    fleet = Fleet(postgres, *served, tmp_path / "killed", "acts", 24)
    monkeypatch.setenv("NLPU_TEST_ACTS", str(fleet.acts))
    fleet.killed(3, Random(f"acts {seed}"), KINDS[:3])
    for _ in range(3):
        process = fleet.begin()
        told = process.communicate()[1]
        if process.returncode == 0:
            break
        assert process.returncode == 4, told
        asked = [json.loads(line) for line in (fleet.folder / "out.jsonl").read_text().splitlines()]
        for line in asked:
            if line["status"] == "needs_person":
                _settle(fleet, line)
    assert process.returncode == 0, told
    fleet.judge()
    done = fleet.acts.read_text().splitlines()
    assert len({*done}) == len(done) == 24 * 4


def _settle(fleet: Fleet, line: dict[str, Any]) -> None:
    """As a person who goes and looks, and says so to ``nlpu resume``."""
    program = load(str(fleet.folder / "mine.py") + ":acts").function

    def looks(call: ExactCall) -> Any:
        done = fleet.acts.read_text().splitlines()
        return "done" if json.loads(call.arguments)["what"] in done else "again"

    name = json.loads((fleet.folder / "in.jsonl").read_text().splitlines()[line["index"]])
    person = ScriptedPerson(settle=looks, approve=bool)
    with Computer(fleet.server, store=place_of(fleet.url), person=person) as computer:
        run = computer.resume(line["run"], program, name).wait()
    assert run.status == "done" and not isinstance(run.error, NeedsPerson), run.error
