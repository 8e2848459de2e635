"""What a run, a memory, a report or a session writes is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_kit import Opened
from kit import computer, finish, said
from recorded_fixture import begun, program
from terminal_fixture import Terminal, nlpu

from nlpu.owner_only import make_dir, make_file, narrow, open_to_others
from nlpu.runtime.terminal.files import write_file
from nlpu.runtime.terminal.repl.prompt import HISTORY

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
ECHO = (
    "from nlpu import nlop\n\n\n@nlop\ndef echo(text: str) -> str:\n    '''Echo.'''\n\n\n"
    "def go(text: str):\n    return echo(echo(text))\n"
)


@pytest.fixture(params=[0o000, 0o022], ids=["umask 000", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Files are made with this umask."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(place: Path) -> dict[str, int]:
    """The mode of everything below a directory, by name."""
    return {
        str(path.relative_to(place)): stat.S_IMODE(path.lstat().st_mode)
        for path in place.rglob("*")
    }


def assert_private(place: Path, *but: str) -> None:
    """Everything is 0600, directories are 0700; ``but``: what the test itself has made."""
    found = {name: mode for name, mode in modes(place).items() if name not in but}
    wrong = {
        name: oct(mode)
        for name, mode in found.items()
        if mode != (0o700 if (place / name).is_dir() else 0o600)
    }
    assert found and not wrong


def test_a_journal_with_all_its_files(tmp_path: Path, umask: int) -> None:
    with computer(said, run_dir=tmp_path / "new" / "runs") as machine:
        (tmp_path / "apart").mkdir()
        run = finish(begun(machine, program(tmp_path / "apart"), "tides"))
        names = modes(tmp_path / "new")
        ends = ("db", "db-wal", "db-shm", "db-side", "lock")
        assert {f"runs/{run.name}.{end}" for end in ends} < set(names)
        assert_private(tmp_path / "new")
    assert_private(tmp_path / "new")


def test_runs_reports_forecasts_and_edits(nlpu: Terminal, tmp_path: Path, umask: int) -> None:
    (tmp_path / "p.py").write_text(ECHO)
    (tmp_path / "op.txt").write_text("Say it twice.")
    assert nlpu("run", "p.py:go", "Hi", "--dry", *SCRIPTED).code == 0
    name = nlpu("run", "p.py:go", "Hi", *SCRIPTED, "--json").json["run_id"]
    assert nlpu("run", "--from", name, "--set", "echo=op.txt").code == 0
    assert nlpu("replay", f"{name}.2").code == 0
    for kind in ("html", "trace", "otel"):
        assert nlpu("show", name, f"--{kind}", f"out.{kind}").code == 0
    lines = "a = run p.py:go q\nHi {a}\nedit _2 Ho\nsave s.py\nedit _2 Hu\n"
    assert nlpu("repl", *SCRIPTED, stdin=lines).code == 0
    there = modes(tmp_path)
    assert {"out.html", "out.trace", "out.otel", "s.py", ".nlpu/runs/forecasts"} < there.keys()
    assert not [name for name in there if "__pycache__" in name]
    assert_private(tmp_path, "p.py", "op.txt")


def test_the_doctor_names_what_others_can_read(nlpu: Terminal, tmp_path: Path) -> None:
    nlpu("run", "ask", "Hi", *SCRIPTED)
    runs = tmp_path / ".nlpu" / "runs"
    assert "others" not in nlpu("doctor", "--offline", *SCRIPTED).out
    for path in (runs, *runs.glob("*.db")):
        path.chmod(0o755)
    assert "1 files can be read by others: chmod -R go= .nlpu/runs" in (
        nlpu("doctor", "--offline", *SCRIPTED).out
    )
    runs.chmod(0o700)
    assert "others" not in nlpu("doctor", "--offline", *SCRIPTED).out


def test_what_is_there_keeps_its_mode(nlpu: Terminal, tmp_path: Path, umask: int) -> None:
    for mode in (0o600, 0o640):
        report = tmp_path / f"{mode}.html"
        report.touch()
        report.chmod(mode)
        write_file(report, "text")
        assert stat.S_IMODE(report.stat().st_mode) == mode
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o750)
    Opened(place / "a.db").close()
    assert stat.S_IMODE(place.stat().st_mode) == 0o750
    (place / "a.db").chmod(0o640)
    Opened(place / "a.db").close()
    assert stat.S_IMODE((place / "a.db").stat().st_mode) == 0o640


def test_a_memory_with_its_vectors(tmp_path: Path, umask: int) -> None:
    kit = pytest.importorskip("memory_kit")
    for text in ("The mill grinds corn.", "The mill is old."):
        with kit.memory(tmp_path / "deep" / "store") as store:
            store.write(text, source="talk")
            assert store.levels.by_meaning("mill", 3)
            top = [path for path in (tmp_path / "deep" / "store").iterdir()]
            assert {path.name for path in top} >= {"memory.db", "memory.lock", "vectors"}
            assert not any(path.stat().st_mode & 0o077 for path in top)
        assert_private(tmp_path / "deep")


def test_a_history_of_lines(tmp_path: Path, umask: int) -> None:
    make_dir(tmp_path / "runs")
    make_file(tmp_path / "runs" / HISTORY)
    with (tmp_path / "runs" / HISTORY).open("ab") as file:  # as prompt_toolkit does
        file.write(b"+Hi\n")
    assert_private(tmp_path)


def test_making_is_exact_and_leaves_what_is_there(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        make_dir(tmp_path / "a" / "b")
        make_file(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert_private(tmp_path)
    (tmp_path / "a" / "b" / "c").write_text("kept")
    (tmp_path / "a").chmod(0o755)
    make_dir(tmp_path / "a" / "b")
    make_file(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").read_text() == "kept"
    assert list(open_to_others(tmp_path / "a")) == [tmp_path / "a"]
    with pytest.raises(FileExistsError):
        make_dir(tmp_path / "a" / "b" / "c" / "d")


def test_only_what_is_private_is_narrowed(tmp_path: Path) -> None:
    for name, mode in (("mine", 0o700), ("shared", 0o750)):
        (tmp_path / name).mkdir(mode=mode)
        (tmp_path / name).chmod(mode)
        (tmp_path / name / "file").touch()
        (tmp_path / name / "file").chmod(0o644)
        narrow(tmp_path / name)
    narrow(tmp_path / "nowhere")
    assert modes(tmp_path)["mine/file"] == 0o600 and modes(tmp_path)["shared/file"] == 0o644
