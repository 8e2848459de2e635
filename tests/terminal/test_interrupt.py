"""Ctrl-C on real processes, and two processes at one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupt_kit import BUSY, only, started, until
from terminal_fixture import COMMAND, ESSAY, environment, fault_server

from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart

BOOK = ("run", "summarize_book", "--input", str(ESSAY))
STUCK = ("--rate", "no_answer=0.2")  # every fifth prompt is never answered


LATE = """
import os, signal
from pydantic import BaseModel

class Late(BaseModel):
    late: bool = True
    def trace(self) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "never told"

def go():
    return Late()
"""
CLOSING = """
from pathlib import Path
from nlpu.runtime import Computer
from nlpu.runtime.loader import Program
from nlpu.runtime.terminal.run.execute import carry_out
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.machine import Machine

class Closing(Computer):
    def close(self):
        raise KeyboardInterrupt

class Here(Machine):
    def computer(self, person=None):
        return Closing("scripted")

program = Program("late", lambda: "late", streams=False)
begin = lambda computer, _: computer.start(program.function)
carry_out(Job(program, begin, Here("scripted", None, Path())))
"""


def has_calls(cwd: Path, least: int = 20) -> bool:
    """Whether the run has results in its journal, as another process sees it."""
    record = only(cwd)
    return record is not None and record.calls >= least


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    with fault_server(*STUCK) as url:
        with started(tmp_path, *BOOK, "--engine", url) as process:
            until(lambda: has_calls(tmp_path))
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert time.monotonic() - began < 5
        record = only(tmp_path)
        assert record is not None and process.returncode == 130 and out == ""
        assert f"to resume it: nlpu resume {record.name}\n" in err and "Traceback" not in err
        assert record.status == "stopped" and record.past.end is not None
    with fault_server() as url:  # the same model, where every prompt is answered
        words = ("resume", record.name, "--engine", url, "--json")
        done = subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, env=environment(), capture_output=True, check=True
        )
        whole = subprocess.run(
            [*COMMAND, *BOOK, "--engine", url, "--json"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=True,
        )
    told, anew = json.loads(done.stdout), json.loads(whole.stdout)
    assert told["receipt"]["reused"] == record.calls
    assert told["receipt"]["calls"] + record.calls == anew["receipt"]["calls"]
    assert told["result"] == anew["result"]


def test_json_tells_of_an_interrupt_too(tmp_path: Path) -> None:
    with (
        fault_server(*STUCK) as url,
        started(tmp_path, *BOOK, "--engine", url, "--json") as process,
    ):
        until(lambda: has_calls(tmp_path))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    told = json.loads(out)
    assert process.returncode == 130 and told["status"] == "stopped"
    assert told["error"]["type"] == "Interrupted" and told["receipt"]["calls"] >= 20


def test_ctrl_c_while_the_outcome_is_told(tmp_path: Path) -> None:
    """The run is over by then, and nothing says that it only began."""
    (tmp_path / "p.py").write_text(LATE)
    with started(tmp_path, "run", "p.py:go", "--trace", "--engine", "scripted") as process:
        _, err = process.communicate(timeout=20)
    record = only(tmp_path)
    assert record is not None and record.status == "done" and process.returncode == 130
    assert f"as the outcome of the run {record.name} was told (done)" in err
    assert "began" not in err and "Traceback" not in err


def test_ctrl_c_after_the_outcome_takes_nothing_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSING],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "late\n" and "interrupted" not in done.stderr


def test_a_program_that_is_busy_in_python_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(BUSY)
    with started(tmp_path, "run", "p.py:go", "--engine", "scripted") as process:
        until((tmp_path / "busy").exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "nlpu resume" in err and "busy in Python" in err


def test_a_killed_run_is_listed_as_stopped_and_resumes(tmp_path: Path) -> None:
    with fault_server(*STUCK) as url:
        with started(tmp_path, *BOOK, "--engine", url) as process:
            until(lambda: has_calls(tmp_path))
            record = only(tmp_path)
            assert record is not None and record.status == "running"
            process.kill()
            process.communicate()
        record = only(tmp_path)
        assert record is not None and record.status == "stopped" and record.past.end is None
    with fault_server() as url:
        done = subprocess.run(
            [*COMMAND, "resume", record.name, "--engine", url, "--json"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=True,
        )
    assert json.loads(done.stdout)["receipt"]["reused"] == record.calls


def test_a_second_process_is_told_that_the_run_is_live(tmp_path: Path) -> None:
    with fault_server(*STUCK) as url, started(tmp_path, *BOOK, "--engine", url) as process:
        until(lambda: has_calls(tmp_path))
        record = only(tmp_path)
        assert record is not None
        second = subprocess.run(
            [*COMMAND, "resume", record.name[:5], "--json"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert f"being executed by process {process.pid}" in second.stderr
        told = json.loads(second.stdout)
        assert (told["run_id"], told["error"]["type"]) == (record.name, "RunBusy")
        assert process.poll() is None  # the first is not disturbed


def test_ctrl_c_while_the_embedded_model_loads(tmp_path: Path) -> None:
    try:
        installed_model(None)
    except MissingPart:
        pytest.skip("the embedded model is not installed")
    with started(tmp_path, "run", "ask", "Hi") as process:
        until(lambda: any((tmp_path / ".nlpu" / "runs").glob("*.lock")))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err


@pytest.mark.parametrize("module", ["typer", "pydantic_core", "nlpu.runtime.terminal.run.execute"])
def test_ctrl_c_while_modules_load_is_one_line_and_one_object(tmp_path: Path, module: str) -> None:
    """The module's place is taken by one that waits in a class body, as pydantic's own do."""
    waits = (
        "import sys\nclass Field:\n    def __set_name__(self, owner, name):\n"
        "        print('loading', file=sys.stderr, flush=True)\n"
        "        while True: pass\nclass Model:\n    field = Field()\n"
    )
    path = tmp_path / "slow.py"
    path.write_text(waits)
    start = (
        "import importlib.abc, importlib.util, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            return importlib.util.spec_from_file_location(name, {str(path)!r})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['nlpu', 'run', 'ask', 'Hi', '--engine', 'scripted', '--json']\n"
        "from nlpu.runtime.terminal.__main__ import main\nmain()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "interrupted\n")
    told = json.loads(out)
    assert (told["status"], told["error"]["type"]) == ("stopped", "Interrupted")


@pytest.mark.local
def test_ctrl_c_in_a_step_of_the_embedded_model(tmp_path: Path) -> None:
    try:
        installed_model(None)
    except MissingPart:
        pytest.skip("the embedded model is not installed")
    with started(tmp_path, *BOOK) as process:
        until(lambda: only(tmp_path) is not None and _in_flight(tmp_path), 60)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does it: the whole group
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 5
    assert process.returncode == 130 and "nlpu resume" in err


def _in_flight(cwd: Path) -> bool:
    record = only(cwd)
    return record is not None and len(record.past.under_way) > 0
