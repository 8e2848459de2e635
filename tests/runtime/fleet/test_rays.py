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
from typing import Any

import pytest
from fleet_kills import RAY as RAY_TOKEN
from fleet_kills import Fleet, until
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
def node(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray node, whose processes are a group that can be killed."""
    words = [RAY, "start", "--block", "--disable-usage-stats", "--num-cpus", "2", *options]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        words, stdout=quiet, stderr=quiet, start_new_session=True, env=environment(**RAY_TOKEN)
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


@pytest.mark.fleet
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(3))
def test_a_node_is_killed(
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
            hit = len(fleet.workers())
            os.killpg(second.pid, signal.SIGKILL)
            fleet.kills["hit"] += hit
            more = len(fleet.sent()) + 40
            until("what comes after it", lambda: len(fleet.sent()) > more)
            process.kill()
            process.communicate()
            again = len(fleet.sent()) + 40
            until("actors that go on alone", lambda: len(fleet.sent()) > again)
            assert fleet.whole(f"127.0.0.1:{head}") == expected
    fleet.judge()
