"""Ctrl-C again, and deadlines: a process busy in C, or that hears no signal, is ended as well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from interrupt_kit import BUSY, only, started, until
from terminal_fixture import COMMAND, Terminal, environment, nlpu

from nlpu.runtime.terminal.show.archive import records

__all__ = ["nlpu"]


def test_a_second_ctrl_c_ends_the_process_immediately(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(BUSY)
    with started(tmp_path, "run", "p.py:go", "--engine", "scripted") as process:
        until((tmp_path / "busy").exists)
        _, err = pressed(process)
    assert process.returncode == -signal.SIGINT  # of which a shell makes 130
    assert "busy in Python" not in err  # the first one's wait for the program was not waited for
    assert "error: interrupted\n" in err and "nlpu resume" in err


def pressed(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process says at Ctrl-C, pressed until it ends: too close together they are one."""
    for _ in range(1_000):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.05)
    process.kill()  # or its caller waits for it for ever
    raise AssertionError("it hears no Ctrl-C")


STUCK_IN_C = """
import re, sys
def go():
    print("begun", file=sys.stderr, flush=True)
    return bool(re.fullmatch("(a+)+b", "a" * 60))
"""


@contextmanager
def stuck(place: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose program is inside of a regular expression for ever, and lets no Python run."""
    (place / "p.py").write_text(STUCK_IN_C)
    with started(place, "run", "p.py:go", "--engine", "scripted", *words) as process:
        assert process.stderr is not None
        while "begun" not in process.stderr.readline():
            pass
        yield process


def test_a_second_ctrl_c_ends_a_process_that_is_busy_in_c(tmp_path: Path) -> None:
    with stuck(tmp_path) as process:
        out, err = pressed(process)
    record = only(tmp_path)
    assert record is not None and record.status == "stopped"
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert err.endswith(f"error: interrupted\nto resume it: nlpu resume {record.name}\n")


def test_json_tells_of_a_process_that_was_busy_in_c(tmp_path: Path) -> None:
    with stuck(tmp_path, "--json") as process:
        told = json.loads(pressed(process)[0])
    record = only(tmp_path)
    assert record is not None and told["run_id"] == record.name
    assert (told["status"], told["error"]["type"]) == ("stopped", "Interrupted")


def test_a_deadline_ends_a_process_that_is_busy_in_c(tmp_path: Path) -> None:
    with stuck(tmp_path, "--seconds", "0.1", "--json") as process:
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 10
    assert process.returncode == 3 and "nlpu resume" in err
    told = json.loads(out)
    assert (told["status"], told["error"]["type"]) == ("stopped", "DeadlineExceeded")
    assert "0.1 seconds ran out" in told["error"]["message"]


OWN = """
import faulthandler, signal, sys
from p import go
from nlpu import Budget, Computer
if sys.argv[1:]:
    faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
signal.signal(signal.SIGINT, signal.SIG_DFL)
with Computer("scripted", run_dir="runs") as computer:
    computer.run(go, budget=Budget(seconds=0.1))
"""


@pytest.mark.parametrize(("words", "code"), [(["1"], 1), ([], -signal.SIGINT)])
def test_a_script_of_ones_own_is_ended_as_the_docs_say(
    words: list[str], code: int, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(STUCK_IN_C)
    (tmp_path / "own.py").write_text(OWN)
    with subprocess.Popen(
        [sys.executable, "own.py", *words],
        cwd=tmp_path,
        env=environment(),
        text=True,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert "begun" in process.stderr.readline()
        if not words:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code and ('p.py", line 5 in go' in err) == bool(words)
    assert [each.status for each in records(tmp_path / "runs")] == ["stopped"]


def test_a_second_ctrl_c_ends_a_session_that_is_busy_in_c(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(STUCK_IN_C)
    with subprocess.Popen(
        [*COMMAND, "repl", "--engine", "scripted"],
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write("run p.py:go\n")
        process.stdin.flush()
        while "begun" not in process.stderr.readline():
            pass
        pressed(process)
    assert process.returncode == -signal.SIGINT


DEAF = """
import os, signal
from nlpu.runtime.terminal.run.watchdog import Watchdog
signal.signal(signal.SIGINT, lambda number, frame: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT, signal.SIGUSR1})
with Watchdog(True) as watchdog:
    watchdog.begins(OVERDUE_S, {"overdue": ("late\\n", ""), "interrupted": ("pressed\\n", "")})
    os.write(2, b"deaf\\n")
    signal.sigwait({signal.SIGUSR1})
"""


@pytest.mark.parametrize(("overdue_s", "told"), [("0.1", "late\n"), ("None", "pressed\n")])
def test_a_process_that_hears_no_signal_is_killed(overdue_s: str, told: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DEAF.replace("OVERDUE_S", overdue_s)],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "deaf\n"
        out, _ = pressed(process) if overdue_s == "None" else process.communicate(timeout=20)
    assert (process.returncode, out) == (-signal.SIGKILL, told)


def test_a_process_that_is_stopped_has_its_time_when_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(BUSY)
    with started(tmp_path, "run", "p.py:go", "--engine", "scripted", "--seconds", "1") as process:
        until((tmp_path / "busy").exists)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(6)  # beyond its deadline, and the time that it has to tell of it
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert err.count("seconds ran out") == 1 and "0 calls" in err  # its own words, with a receipt


def test_who_is_asked_has_the_time_to_answer() -> None:
    code = (
        "import os, signal\n"
        "from nlpu.runtime.terminal.run.watchdog import Watchdog\n"
        "with Watchdog(True) as watchdog:\n"
        "    watchdog.begins(0.5, {})\n"
        "    watchdog.begins(None, {})\n"  # its run has ended
        "    os.read(0, 1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdin=subprocess.PIPE
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_nothing_is_left_of_the_process_beside(tmp_path: Path) -> None:
    code = (
        "import signal, sys, os\n"
        "from nlpu.runtime.terminal.app import main\n"
        "sys.argv = ['nlpu', 'run', 'ask', 'Hi', '--engine', 'scripted', '--seconds', '60']\n"
        "before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGQUIT)]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGQUIT)]\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
        "try:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('none')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        text=True,
        check=True,
        capture_output=True,
    )
    assert done.stdout.endswith("none\n")


HEARS = """
import signal
def go():
    return signal.getsignal(signal.SIGINT).__qualname__
"""


def test_a_line_of_a_session_begins_when_ctrl_c_is_heard(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(HEARS)
    ended = nlpu("repl", "--engine", "scripted", stdin="run p.py:go\nrun p.py:go\n")
    assert ended.out.split() == ["Told._hear"] * 2
