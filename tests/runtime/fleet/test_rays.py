"""Workers as Ray actors: placed, named, killed with their node; and bad addresses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fleet_kills import RAY as RAY_TOKEN
from fleet_kills import Fleet, Stage, until
from terminal_fixture import environment, fault_server

pytest.importorskip("ray", reason="needs `pip install -e '.[fleet]'`")
pytest.importorskip("psycopg", reason="needs `pip install -e '.[fleet]'`")
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    log = tmp_path / "sent.jsonl"
    slow = ("--rate", "slow:0.02=0.5", "--rate", "slow:0.2=0.5")
    with fault_server("--log", str(log), "--window", "100000", *slow) as url:
        yield url, log


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def node(*options: str, cpus: int = 2, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray node, whose processes are a group that can be killed."""
    words = [RAY, "start", "--block", "--disable-usage-stats", "--num-cpus", str(cpus), *options]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        words,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        env=environment(**RAY_TOKEN, **more),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def answers(address: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", address), timeout=1).close()
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_batch_by_actors(postgres: Any, served: tuple[str, Path], tmp_path: Path) -> None:
    expected = Fleet(postgres, *served, tmp_path / "batch", "chain", 12).whole("")
    fleet = Fleet(postgres, *served, tmp_path / "batch", "chain", 12)
    assert fleet.whole("local") == expected
    fleet.judge()
    names = {name for (name,) in fleet.do("SELECT name FROM nlpu.worker WHERE commits > 0")}
    assert names <= {"1", "2"} and names


TRIES = 5
NODES = {"chain": 3, "fan": 3, "loop": 2, "acts": 2}  # ten, of which the first is of the slow lane
CASES = [(shape, seed) for shape, nodes in NODES.items() for seed in range(nodes)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("shape", "seed"),
    [
        pytest.param(*case, marks=pytest.mark.fleet if at else pytest.mark.slow)
        for at, case in enumerate(CASES)
    ],
)
def test_a_node_is_killed(
    postgres: Any, served: tuple[str, Path], tmp_path: Path, shape: str, seed: int, capsys: Any
) -> None:
    """With a worker on it: each node has room for one."""
    stage = Stage(postgres, *served, tmp_path, 160 if shape == "acts" else 120)
    expected = stage.undisturbed(shape, "")
    acts = str(stage.fleet(shape).acts)
    head, known = port(), {"NLPU_TEST_ACTS": acts}  # actors have a node's environment
    with node("--head", "--port", str(head), "--include-dashboard=false", cpus=1, **known):
        until("the head of the cluster", lambda: answers(head))
        with node("--address", f"127.0.0.1:{head}", cpus=1, **known) as second:
            fleet, process = begun_on(second, stage, shape, f"127.0.0.1:{head}")
            left = fleet.calls - len(fleet.sent())  # it may have come when much was done
            wanted = fleet.calls - left + Random(f"{shape} {seed}").randrange(max(1, left // 3))
            until("more requests", lambda: len(fleet.sent()) >= wanted)
            fleet.kills["hit"] += kill(fleet, second)
        _, told = process.communicate(timeout=300)
        assert process.returncode in (0, 4), told
        ((died_with_it,),) = fleet.do("SELECT count(*) FROM nlpu.work WHERE deaths <> '{}'")
        assert fleet.finished(f"127.0.0.1:{head}") == expected
    again = fleet.judge()
    assert fleet.kills["hit"] == 1 <= died_with_it, "its worker was at work when it was killed"
    with capsys.disabled():
        print(f"\nnode {shape} {seed}: {dict(fleet.kills)}; {again} open calls sent again")


def begun_on(
    place: subprocess.Popen[bytes], stage: Stage, shape: str, ray: str
) -> tuple[Fleet, subprocess.Popen[str]]:
    """A fleet with a worker on a node; one that was done before it was there is begun anew."""
    for _ in range(TRIES):
        fleet = stage.fleet(shape)
        process = fleet.begin(ray)
        until("the first requests", fleet.sent)
        if is_on(place, fleet, process):
            return fleet, process
        process.communicate()
    raise AssertionError(f"{TRIES} fleets were done before a worker of the node had begun")


def is_on(place: subprocess.Popen[bytes], fleet: Fleet, process: subprocess.Popen[str]) -> bool:
    """Wait for a worker on the node, or for the end of the fleet: false then."""
    until("a worker on the node", lambda: workers_of(fleet, place) or process.poll() is not None)
    return process.poll() is None


def workers_of(fleet: Fleet, place: subprocess.Popen[bytes]) -> list[int]:
    """The workers that have runs under way on a node."""
    mine = "SELECT FROM nlpu.work WHERE worker = w.id AND state = 'open'"
    rows = fleet.do(f"SELECT owner FROM nlpu.worker w WHERE fence = 1 AND EXISTS ({mine})")
    having = [int(owner.split(" ")[1]) for (owner,) in rows]
    return [each for each in having if place.pid in ancestors(each)]


def kill(fleet: Fleet, place: subprocess.Popen[bytes]) -> int:
    """Kill a node with all that is on it; gives how many workers that were."""
    there = workers_of(fleet, place)
    for each in there:
        os.kill(each, signal.SIGKILL)
    os.killpg(place.pid, signal.SIGKILL)
    return len(there)


def ancestors(process: int) -> list[int]:
    """The processes that began it: Ray's workers have groups of their own."""
    found = [process]
    with suppress(OSError):  # it has ended
        while found[-1] > 1:
            status = Path(f"/proc/{found[-1]}/status").read_text()
            found.append(int(status.partition("PPid:")[2].split()[0]))
    return found


@pytest.mark.fleet
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(1))
def test_a_node_is_killed_and_then_the_driver(
    postgres: Any, served: tuple[str, Path], tmp_path: Path, seed: int
) -> None:
    """Its actors are placed elsewhere; the driver dies, too, and the actors go on without it."""
    expected = Fleet(postgres, *served, tmp_path / "batch", "chain", 40).whole("")
    fleet = Fleet(postgres, *served, tmp_path / "batch", "chain", 40)
    head, dashboard = port(), "--include-dashboard=false"
    with node("--head", "--port", str(head), dashboard):
        until("the head of the cluster", lambda: answers(head))
        with node("--address", f"127.0.0.1:{head}") as second:
            process = fleet.begin(f"127.0.0.1:{head}")
            until("requests", lambda: len(fleet.sent()) > 40 + 20 * seed)
            fleet.kills["hit"] += kill(fleet, second)
            more = len(fleet.sent()) + 40
            until("what comes after it", lambda: len(fleet.sent()) > more)
            process.kill()
            process.communicate()
            again = len(fleet.sent()) + 40
            until("actors that go on alone", lambda: len(fleet.sent()) > again)
            assert fleet.whole(f"127.0.0.1:{head}") == expected
    fleet.judge()
