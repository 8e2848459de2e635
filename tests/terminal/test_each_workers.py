"""``nlpu run --each`` with ``--workers``, and ``nlpu worker``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fleet_kills import until
from fleet_kit import PROGRAM
from terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import PATIENCE_S

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
__all__ = ["nlpu"]  # a fixture
EACH = ("run", "mine.py:chain", "--each", "in.jsonl", "--engine", "scripted")


@pytest.fixture
def url(postgres: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    found = str(postgres.fresh())
    (tmp_path / "mine.py").write_text(PROGRAM)
    (tmp_path / "in.jsonl").write_text("".join(f'"text {n}"\n' for n in range(12)))
    monkeypatch.setenv("NLPU_RUN_DIR", found)
    return found


@pytest.mark.slow
def test_workers_are_processes(nlpu: Terminal, url: str, tmp_path: Path) -> None:
    """Begun, given the work, gone; and what they did is found by every command about runs."""
    made = nlpu(*EACH, "--workers", "2", "--out", "out.jsonl", "--json").json
    assert (made["status"], made["done"], made["cost"]["calls"]) == ("done", 12, 36)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(12))
    name = made["batch"]
    assert [line["run"] for line in lines[:2]] == [name, f"{name}.2"]
    assert f"{name}.*" in nlpu("runs").out
    assert nlpu("show", f"{name}.3", "--json").json["calls"] == 3
    again = nlpu("resume", f"{name}.3", "--json").json
    assert (again["receipt"]["calls"], again["result"]) == (0, lines[2]["result"])
    for log in (tmp_path / ".nlpu" / "workers").iterdir():
        assert "s3cret" not in log.read_text() and log.stat().st_mode & 0o077 == 0
    assert nlpu(*EACH, "--workers", "2", "--out", "out.jsonl", "--json").json["cost"]["calls"] == 36
    late = nlpu("worker", name)
    assert late.code == 0 and "0 outcomes told by this worker" in late.err
    assert nlpu("runs", "prune", "--older", "0d").code == 0
    assert nlpu("runs", "--json").json == []


@pytest.mark.slow
def test_inputs_may_come_on_stdin(nlpu: Terminal, url: str, tmp_path: Path) -> None:
    """All of it is looked at before anything is begun; the same lines give the same results."""
    words = (*EACH[:3], "-", *EACH[4:], "--workers", "1", "--out", "out.jsonl", "--json")
    given = (tmp_path / "in.jsonl").read_text()
    wrong = nlpu(*words, stdin=given + "5\n")
    assert wrong.code == 2 and "stdin:13" in wrong.err
    assert nlpu("runs", "--json").json == [], "nothing was begun"
    made = nlpu(*words, stdin=given).json
    assert (made["status"], made["done"], made["cost"]["calls"]) == ("done", 12, 36)
    other = nlpu(*words, stdin='"new"\n' + given)
    assert other.code == 2 and other.err.startswith(
        "error: stdin has changed since this batch began"
    )
    assert "(it had 12 inputs, and has 13): with --changed it goes on" in other.err
    more = nlpu(*words, "--changed", stdin='"new"\n' + given).json
    assert (more["status"], more["done"], more["cost"]["calls"]) == ("done", 13, 39)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["run"].partition(".")[2] for line in lines[:3]] == ["13", "", "2"]


@pytest.mark.slow
def test_ctrl_c_ends_all_workers_and_says_so_and_a_kill_ends_none(
    url: str, tmp_path: Path, postgres: Any
) -> None:
    """Who joined is told whose doing it was; without the command, all go on to the end."""
    from nlpu.runtime.journal.postgres.database import connect, prepare

    def count(what: str) -> int:
        return int(postgres.do(f"SELECT count(*) FROM {what}", url.rpartition("/")[2])[0][0])

    def begun(*words: str) -> subprocess.Popen[str]:
        env = environment(NLPU_RUN_DIR=url)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*COMMAND, *words], cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True
        )

    def joined(server: str) -> tuple[Any, Any, str]:
        """A command whose workers are at work, and a worker that joined them."""
        words = (*EACH[:4], "--engine", server, "--workers", "1", "--at-once", "2")
        driver = begun(*words, "--out", "out.jsonl")
        at_work = f"nlpu.worker w JOIN nlpu.work k ON k.worker = w.id AND w.id > {last}"
        until("a worker at work", lambda: count(at_work) or driver.poll() is not None)
        (name,) = postgres.do("SELECT stem FROM nlpu.journal", url.rpartition("/")[2])[0]
        worker = begun("worker", name)
        helps = f"{at_work} AND w.name LIKE '%-{worker.pid}'"
        until("one that joined", lambda: count(helps) or worker.poll() is not None)
        return driver, worker, name

    with closing(connect(place_of(url))) as db:  # type: ignore[arg-type]
        prepare(db, place_of(url))  # type: ignore[arg-type]  # its tables are asked at once
    last = 0
    with fault_server("--rate", "slow:0.3=1") as server:
        driver, worker, name = joined(server)
        driver.send_signal(signal.SIGINT)
        told, said = driver.communicate(timeout=60)[1], worker.communicate(timeout=60)[1]
        assert driver.returncode == worker.returncode == 130, told + said
        assert f"1 worker that joined it will end, too; when it goes on: nlpu worker {name}" in told
        assert f"whoever drives the batch {name} stopped it (interrupted)" in said
        last = count("nlpu.worker")
        driver, worker, _ = joined(server)
        driver.terminate()
        driver.communicate(timeout=60)
        said = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0 and "told by this worker" in said
    assert count("nlpu.work WHERE state = 'done'") == 12


def test_what_cannot_be_is_said(nlpu: Terminal, url: str, tmp_path: Path) -> None:
    folder = ("--run-dir", "here")
    cases = {
        (*EACH, "--workers", "2", *folder): "--workers: they share a batch in a database",
        (*EACH, "--ray", "local", *folder): "--ray places --workers N",
        (*EACH, "--workers", "0"): "--workers",
        (*EACH, "--workers", "1", "--ray", "127.0.0.1:1"): "no Ray can be used at 127.0.0.1:1",
        (*EACH, "--workers", "1", "--ray", "ray://h:1"): "--ray takes local, auto, or HOST:PORT",
        (*EACH, "--workers", "1", "--ray", "nonsense"): "--ray takes local, auto, or HOST:PORT",
        (*EACH, "--workers", "1", "--ray", "h:65536"): "--ray takes local, auto, or HOST:PORT",
        ("run", "mine.py:chain", "a", "--workers", "2"): "--workers goes with --each",
        ("worker", "nosuch"): "there is no batch nosuch",
        ("worker", "nosuch", *folder): "a worker's batch is in a database",
    }
    for words, said in cases.items():
        ended = nlpu(*words)
        assert ended.code in (1, 2) and said in ended.err, (words, ended.err)
        assert "s3cret" not in ended.err and "Traceback" not in ended.err
        assert "Ray listens" not in ended.err, "where none is begun, nor met, none does"


def test_a_database_that_is_not_there_is_not_waited_for(
    nlpu: Terminal, url: str, tmp_path: Path
) -> None:
    """Nothing is begun yet, so it is told at the first try, and not after ``patience_s``."""
    with socket.socket() as silent:  # has a port, on which nobody listens
        silent.bind(("127.0.0.1", 0))
        there = f"postgresql://ann:s3cret@127.0.0.1:{silent.getsockname()[1]}/runs"
        begun_s = time.monotonic()
        for words in (EACH, ("worker", "nosuch")):
            ended = nlpu(*words, "--store", there)
            assert ended.code == 1 and "See that it is up" in ended.err and not ended.out
            assert "s3cret" not in ended.err
        assert time.monotonic() - begun_s < PATIENCE_S
    for port in ("notaport", "s3cret", "0", "65536", "5432x"):
        for words in (EACH, ("worker", "nosuch"), ("runs",)):
            ended = nlpu(*words, "--store", f"postgresql://ann@h:{port}/runs")
            assert ended.code == 2 and "a port that is no number" in ended.err
            assert "s3cret" not in ended.err


def test_a_batch_of_somebody_else_is_asked_about(
    nlpu: Terminal, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = nlpu(*EACH, "--workers", "1", "--out", "out.jsonl", "--json").json["batch"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    asked = nlpu("worker", name)
    assert asked.code == 4 and "not known to be yours" in asked.err and "mine.py" in asked.err
    assert nlpu("worker", name, "--trust").code == 0


def test_two_drivers(nlpu: Terminal, url: str, tmp_path: Path, postgres: Any) -> None:
    """The second is told who has it, and how to help."""
    name = nlpu(*EACH, "--workers", "1", "--json", "--out", "out.jsonl").json["batch"]
    owner = f"elsewhere {os.getpid()} other/0 1"
    postgres.do(
        f"UPDATE nlpu.batch SET owner = '{owner}', until_s = extract(epoch FROM now()) + 9",
        url.rpartition("/")[2],
    )
    (tmp_path / "in.jsonl").write_text('"new"\n')
    refused = nlpu(*EACH, "--workers", "1", "--out", "out.jsonl", "--changed")
    assert refused.code == 1 and "is driven by process" in refused.err
    assert f"nlpu worker {name}" in refused.err
