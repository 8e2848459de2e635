"""What a journal names as its program's file is read before anybody is asked: plain files only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_kit import PROGRAM, RUNS, Rows, forge, headers
from terminal_fixture import Terminal, nlpu

from nlpu.errors import Usage
from nlpu.runtime.loader import digest_of, load

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")


def big(path: Path) -> None:
    path.touch()
    os.truncate(path, 10_000_001)


ODD: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a directory": Path.mkdir,
    "a big file": big,
}
NAMES = ("nul\0.py", "surrogate\ud800.py")


def named(path: Path) -> Callable[[Rows], None]:
    """Have a journal name this file as its program's."""

    def change(rows: Rows) -> None:
        for header in headers(rows):
            header["program"] = f"{path}:go"

    return change


@pytest.mark.parametrize("odd", [*ODD, *NAMES])
def test_what_is_no_plain_file_is_not_read(nlpu: Terminal, tmp_path: Path, odd: str) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    run = nlpu("run", "p.py:go", "What?", *SCRIPTED, "--json").json["run_id"]
    path = tmp_path / (odd if odd in NAMES else "odd.py")
    if odd in ODD:
        ODD[odd](path)
    forge(tmp_path / RUNS / f"{run}.db", named(path))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for command in (("resume",), ("replay",), ("run", "--from")):
        for more in ((), ("--trust",)):
            ended = nlpu(*command, run, *more, *SCRIPTED)
            assert ended.code == 2 and "is not a plain file of at most 10 MB" in ended.err, ended
            assert "fault of nlpu" not in ended.err
    ended = nlpu("show", run, "--html", "a.html")
    assert ended.code == 0 and "is not a plain file of at most 10 MB" in ended.err
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("odd", ODD)
def test_nor_is_it_run(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "odd.py"
    ODD[odd](path)
    with pytest.raises(Usage, match="not a plain file"):
        digest_of(path)
    with pytest.raises(Exception, match=r"no file|not a plain file"):
        load(f"{path}:go")


def test_a_file_that_is_gone_has_no_digest(tmp_path: Path) -> None:
    assert digest_of(tmp_path / "gone.py") == ""


def test_a_line_of_a_session_that_names_none_is_told_so(nlpu: Terminal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "odd.py")
    ended = nlpu("repl", *SCRIPTED, stdin="a = run odd.py:go q\nb = Hi\nb\n")
    assert "there is no file" in ended.err + ended.out and "fault of nlpu" not in ended.err
    session = nlpu("runs", "--json").json[0]["id"]
    resumed = nlpu("repl", "--resume", session, stdin="b\n")
    assert resumed.code == 2 and "is not a plain file of at most 10 MB" in resumed.err
