"""Batches where things lie elsewhere: links, folders of runs, runs of one input, reliability."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from kit import count
from terminal_fixture import COMMAND, Terminal, environment, nlpu
from test_asked_terminal import sheet

from nlpu import FakeClock
from nlpu.runtime.computer import Computer
from nlpu.runtime.terminal.show.pruning import prune
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu", "sheet"]  # fixtures
PROGRAM = """
def go(text: str):
    if text == "bad":
        raise ValueError("it is bad")
    return text
"""
EACH = ("run", "mine.py:go", "--engine", "scripted", "--each")


@pytest.fixture
def folder(nlpu: Terminal, tmp_path: Path) -> Path:
    """The working directory, with the program."""
    (tmp_path / "mine.py").write_text(PROGRAM)
    return tmp_path


def test_results_are_written_where_a_link_leads(nlpu: Terminal, folder: Path) -> None:
    """The first time, when nothing is there, and again."""
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "far").mkdir()
    (folder / "out.jsonl").symlink_to("far/results.jsonl")
    for _ in range(2):
        ended = nlpu(*EACH, "in.jsonl", "--out", "out.jsonl")
        assert ended.code == 0 and (folder / "out.jsonl").is_symlink()
        assert json.loads((folder / "far/results.jsonl").read_text())["result"] == "a"


@pytest.mark.parametrize("gone", ["who reads stdout has gone", "stdout: No space left on device"])
def test_a_stdout_that_takes_no_more_is_told_of(gone: str, nlpu: Terminal, folder: Path) -> None:
    """As after ``| head -1``; the same command has all that was answered."""
    (folder / "in.jsonl").write_text("".join(f'"text {n}"\n' for n in range(40)))
    if "has gone" in gone:
        reader, out = os.pipe()
        os.close(reader)
    else:
        out = os.open("/dev/full", os.O_WRONLY)
    told = subprocess.run(
        [*COMMAND, *EACH, "in.jsonl"],
        stdout=out,
        stderr=subprocess.PIPE,
        check=False,
        cwd=folder,
        env=environment(),
    )
    os.close(out)
    said = told.stderr.decode()
    assert told.returncode == 1 and "Traceback" not in said and "BrokenPipe" not in said
    assert f"results cannot be written any more ({gone})" in said and "of 40: " in said
    ended = nlpu(*EACH, "in.jsonl")
    assert ended.code == 0 and ended.out.count("\n") == 40 and "of them before" in ended.err


def test_a_link_that_leads_to_itself_is_no_place(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "loop").symlink_to("loop")
    ended = nlpu(*EACH, "in.jsonl", "--out", "loop")
    assert ended.code == 2 and "is not a file; name one to be written" in ended.err


def test_a_link_that_leads_out_of_the_folder_is_no_input(nlpu: Terminal, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in/a.txt").write_text("a")
    (folder / "in/b.txt").symlink_to("a.txt")  # within it
    (folder / "in/secret.txt").symlink_to("../mine.py")
    (folder / "in/more").symlink_to(folder)
    ended = nlpu(*EACH, "in")
    assert [json.loads(line)["id"] for line in ended.out.splitlines()] == ["a.txt", "b.txt"]
    assert "2 symbolic links to folders or out of in left out" in ended.err
    for name in ("a.txt", "b.txt"):
        (folder / "in" / name).unlink()
    ended = nlpu(*EACH, "in")
    assert ended.code == 2 and "2 symbolic links" in ended.err and "holds no inputs" in ended.err


def test_commands_that_are_told_find_the_runs(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"bad"\n')
    ended = nlpu(*EACH, "in.jsonl", "--run-dir", "my runs")
    told = next(line for line in ended.err.splitlines() if line.startswith("input 1: "))
    run = json.loads(ended.out)["run"]
    assert told.endswith(f"; nlpu show {run} --run-dir 'my runs'")
    assert nlpu("show", run, "--run-dir", "my runs").code == 0
    assert nlpu(*EACH, "in.jsonl").err.splitlines()[0].endswith(f"; nlpu show {run}")


def test_of_the_runs_of_one_input_the_last_counts(nlpu: Terminal, tmp_path: Path) -> None:
    """Runs that are listed as one, and what is pruned."""

    def numbers(text: str) -> int:
        return int(count(text).value)

    for answers, retry in ((["x", "y"], False), (["1", "2"], True)):
        with Computer(Scripted(answers), run_dir=tmp_path / "runs", clock=FakeClock()) as machine:
            inputs = ["a", "b"]
            items = list(machine.map(numbers, inputs, name="numbers", at_once=1, retry=retry))
    assert [item.result for item in items] == [1, 2]
    (listed,) = nlpu("runs", "--run-dir", "runs", "--json").json
    assert (listed["arguments"], listed["result"], listed["status"]) == (
        "2 inputs",
        "2 done",
        "done",
    )
    assert prune(tmp_path / "runs", -60.0, True, True).removed == ["numbers"]


def test_equal_inputs_of_a_batch_without_a_name_are_several(nlpu: Terminal, tmp_path: Path) -> None:
    with Computer(Scripted("1"), run_dir=tmp_path / "runs", clock=FakeClock()) as machine:
        assert len([*machine.map(str.upper, ["a", "a"]), *machine.map(str.upper, ["a"])]) == 3
    (listed,) = nlpu("runs", "--run-dir", "runs", "--json").json
    assert listed["arguments"] == "3 inputs"


def test_a_reliability_is_each_run_s(nlpu: Terminal, sheet: Path, tmp_path: Path) -> None:
    """It is another batch than without, and a run that fails it fails alone."""
    (tmp_path / "in.jsonl").write_text('"red"\n')
    words = ("run", "paint.py:paint", "--engine", "scripted", "--each", "in.jsonl")
    asked = nlpu(*words, "--reliability", "0.95", "--sheets", str(sheet.parent))
    plain = nlpu(*words)
    one, other = (json.loads(ended.out) for ended in (asked, plain))
    assert one["cost"]["calls"] > other["cost"]["calls"] == 1 and one["run"] != other["run"]
    unknown = nlpu(*words, "--reliability", "0.99")
    assert json.loads(unknown.out)["error"]["type"] == "NotMeasured"
