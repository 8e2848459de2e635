"""The embedded model's process is stopped: the terminal says so, once, and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, environment

from nlpu.engines.embedded import llama_server
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart
from nlpu.runtime.terminal.stopped import PATIENCE_S, Watch, stopped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc")


@pytest.fixture
def llama() -> Iterator[int]:
    """llama.cpp's process, before it has been told what to load."""
    line = [sys.executable, "-P", llama_server.__file__]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])  # from here on


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
    assert os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1])


def test_what_is_stopped_is_found_and_nothing_else(llama: int) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other:
        stop(other.pid)
        assert stopped() == set()
        stop(llama)
        assert stopped() == {llama}
        go_on(llama)
        assert stopped() == set()
        other.kill()


def test_it_is_told_after_some_seconds_and_once_for_each_time_it_was_stopped(llama: int) -> None:
    told: list[str] = []
    times = iter(
        [
            *(0.0, PATIENCE_S - 1, PATIENCE_S, 2 * PATIENCE_S),
            2 * PATIENCE_S + 1,  # it goes on
            *(20 * PATIENCE_S, 21 * PATIENCE_S - 1),
        ]
    )
    watch = Watch(told.append, now=lambda: next(times))
    stop(llama)
    for count in (0, 0, 1, 1):
        watch.look()
        assert len(told) == count
    go_on(llama)
    watch.look()
    stop(llama)
    watch.look()
    watch.look()  # it was stopped anew, and not as long as before
    assert told == [
        f"llama.cpp's process ({llama}) is stopped, so the embedded model does not answer: "
        f"kill -CONT {llama} lets it go on"
    ]


def test_somebody_looks_while_it_is_entered_and_nobody_afterwards() -> None:
    looked, before = threading.Event(), threading.active_count()

    def look() -> set[int]:
        looked.set()
        return set()

    with Watch(look=look, every_s=0.001):
        assert looked.wait(30)
        (thread,) = [each for each in threading.enumerate() if each.name.endswith("(_go_on)")]
    thread.join(30)
    assert threading.active_count() == before


@pytest.mark.local
@pytest.mark.slow
def test_a_run_in_the_terminal_says_it_and_ends_well_when_it_goes_on(tmp_path: Path) -> None:
    try:
        installed_model(None)
    except MissingPart as missing:
        pytest.skip(str(missing))
    (tmp_path / "p.py").write_text(
        "from nlpu import nlop\n\n\n"
        "@nlop(max_tokens=200, at_limit='trim')\ndef tell(about: str) -> str:\n"
        '    """Tell a long story."""\n\n\ndef main():\n    return tell("a hen")\n'
    )
    line = [*COMMAND, "run", "p.py:main", "--engine", "local"]
    run = subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    with run:
        assert run.stderr is not None
        llama = 0
        while not llama:
            llama = next(iter(children_of(run.pid)), 0)
        os.kill(llama, signal.SIGSTOP)
        said = next(line for line in run.stderr if "is stopped" in line)
        assert f"kill -CONT {llama} " in said
        os.kill(llama, signal.SIGCONT)
        run.stderr.read()
    assert run.returncode == 0


def children_of(pid: int) -> list[int]:
    """Those that run llama.cpp."""
    found = list[int]()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # of a thread or a process that has ended
            for each in task.read_text().split():
                if b"llama_server.py" in Path(f"/proc/{each}/cmdline").read_bytes():
                    found.append(int(each))
    return found
