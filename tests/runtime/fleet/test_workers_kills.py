"""Fleets that are killed anywhere: workers, the command, the database with kill -9.

A tenth of it is in the slow lane, all by ``make test-fleet``.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from fleet_kills import Fleet, Stage, until
from terminal_fixture import fault_server

from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
LITTLE, MUCH = pytest.mark.slow, pytest.mark.fleet
SHAPES = ("chain", "fan", "loop", "acts")
INPUTS = 40


class Kills(NamedTuple):
    """How often a kind is killed in one test, and how many tests there are of each shape.

    little: the shapes of which the first test is of the slow lane.
    """

    each: int
    tests: tuple[int, int, int, int]
    little: tuple[str, ...]


MATRIX = {
    "worker": Kills(5, (10, 10, 10, 10), little=SHAPES),
    "database": Kills(1, (5, 5, 5, 5), little=("fan", "acts")),
    "driver": Kills(1, (3, 3, 2, 2), little=("loop",)),
}
CASES = [
    (kind, shape, seed)
    for kind, kills in MATRIX.items()
    for shape, tests in zip(SHAPES, kills.tests, strict=True)
    for seed in range(tests)
]


def is_little(kind: str, shape: str, seed: int) -> bool:
    return seed == 0 and shape in MATRIX[kind].little


@pytest.fixture(scope="module")
def stage(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    place = tmp_path_factory.mktemp("stage")
    slow = ("--rate", "slow:0.01=0.5", "--rate", "slow:0.04=0.5")
    with fault_server("--log", str(place / "sent"), "--window", "100000", *slow) as url:
        yield Stage(postgres, url, place / "sent", place, INPUTS)


def test_what_is_killed_in_all_and_a_tenth_in_the_slow_lane() -> None:
    kills, little = Counter[str](), Counter[str]()
    for case in CASES:
        kills[case[0]] += MATRIX[case[0]].each
        little[case[0]] += MATRIX[case[0]].each * is_little(*case)
    assert kills == {"worker": 200, "database": 20, "driver": 10}
    assert little == {"worker": 20, "database": 2, "driver": 1}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "shape", "seed"),
    [pytest.param(*case, marks=LITTLE if is_little(*case) else MUCH) for case in CASES],
)
def test_killed(stage: Stage, kind: str, shape: str, seed: int, capsys: Any) -> None:
    """The results are those of an undisturbed run, to the byte; what was done is done once."""
    expected, fleet = stage.undisturbed(shape), stage.fleet(shape)
    fleet.killed(MATRIX[kind].each, Random(f"{kind} {shape} {seed}"), (kind,))
    found = fleet.finished()
    again = fleet.judge()
    assert found == expected
    with capsys.disabled():
        print(f"\n{kind} {shape} {seed}: {dict(fleet.kills)}; {again} open calls sent again")


@pytest.mark.fleet
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", SHAPES)
def test_killed_in_turn(stage: Stage, shape: str) -> None:
    """Whatever is killed beside what."""
    expected, fleet = stage.undisturbed(shape), stage.fleet(shape)
    fleet.killed(6, Random(shape), (*MATRIX,))
    assert fleet.finished() == expected
    fleet.judge()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_killed_worker_had_open_is_told_as_lost(postgres: Any, tmp_path: Path) -> None:
    """And is that worker's part, not that of who goes on with its runs."""
    from nlpu.runtime.fleet.driving.desk import Desk

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
