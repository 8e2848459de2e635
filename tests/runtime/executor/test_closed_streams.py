"""Standard streams that are closed are as /dev/null, and the exit code says what happened."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, environment

ASK = ("run", "ask", "Hi", "--engine", "scripted")


def ended(place: Path, words: tuple[str, ...], closed: str) -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it with these streams closed."""
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *words]
    return subprocess.run(
        shell, capture_output=True, text=True, env=environment(), cwd=place, check=False
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/null 2>&1 <&-"])
def test_a_run_is_done_without_its_streams(tmp_path: Path, closed: str) -> None:
    done = ended(tmp_path, ASK, closed)
    assert done.returncode == 0, done.stderr
    assert ("1 call" in done.stderr) == ("2>" not in closed)
    assert bool(done.stdout) == (">&-" not in closed.replace("2>&-", "") and ">/" not in closed)
    listed = ended(tmp_path, ("runs", "--json"), "")
    assert [line["status"] for line in json.loads(listed.stdout)] == ["done"]


def test_an_error_has_its_exit_code_though_nobody_hears_of_it(tmp_path: Path) -> None:
    assert ended(tmp_path, ("run", "nothing_of_this_name"), "2>&-").returncode == 2
    assert ended(tmp_path, ("run", "nothing_of_this_name"), ">&- 2>&-").returncode == 2
    assert ended(tmp_path, (*ASK, "--calls", "0"), "2>&-").returncode == 2


def test_a_closed_stdin_is_an_empty_one(tmp_path: Path) -> None:
    done = ended(tmp_path, ("run", "ask", "-", "--engine", "scripted"), "<&-")
    assert done.returncode == 2 and "stdin is empty" in done.stderr
    done = ended(tmp_path, ("repl", "--engine", "scripted"), "<&-")
    assert done.returncode == 0, done.stderr


def test_a_script_that_the_shell_left_in_the_place_of_stderr_is_not_written_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "script").write_text("# nothing\n")
    done = ended(tmp_path, ASK, "2<script")
    assert done.returncode == 0 and done.stdout
    assert (tmp_path / "script").read_text() == "# nothing\n"


def test_a_child_of_a_program_has_all_three(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import subprocess\n"
        "def own() -> int:\n"
        "    look = 'test -e /dev/fd/0 && test -e /dev/fd/1 && test -e /dev/fd/2'\n"
        "    return subprocess.run(['sh', '-c', look]).returncode\n"
    )
    words = ("run", "own.py:own", "--engine", "scripted", "--json")
    done = ended(tmp_path, words, "<&- 2>&-")
    assert json.loads(done.stdout)["result"] == 0
