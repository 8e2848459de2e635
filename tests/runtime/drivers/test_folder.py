"""Folders of runs: whatever lies there, each file is named as what it is, runs are listed."""

from __future__ import annotations

import os
import shutil
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journal_kit import forge
from kit import Doomed, computer, count, echo, execute, finish, resumed, said
from terminal_fixture import Terminal, nlpu

from nlpu.errors import ServerFault
from nlpu.printing import cells
from nlpu.runtime import Budget
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.terminal.show.archive import records
from nlpu.runtime.terminal.show.run_folder import summaries

__all__ = ["nlpu"]  # a fixture
LARGE = 15_000_000


def one(text: str) -> str:
    return str(echo(text))


def large(run_dir: Path) -> str:
    """A journal of 15 MB; its name."""
    texts = [f"{number} " + "much " * 10_000 for number in range(LARGE // 50_000)]
    with computer(lambda seen: "x", run_dir=run_dir) as machine:
        return finish(machine.start(lambda: echo.map(texts).value)).name


def good(run_dir: Path) -> Path:
    run = execute(one, "What is a loom?", run_dir=run_dir)
    return run_dir / f"{run.name}.db"


def copied(path: Path, name: str) -> Path:
    for suffix in (".db", ".db-side"):
        shutil.copy(path.with_suffix(suffix), path.with_name(name + suffix))
    return path.with_name(f"{name}.db")


def flipped(path: Path, content: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(content)] ^= 1
    path.write_bytes(raw)


def bound(path: Path) -> None:
    os.chdir(path.parent)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)


def odd(path: Path) -> None:
    forge(path, lambda rows: [*rows, ["result", 1, 99, 1, [], 0]])


STRANGE: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "pipe": ("no journal", "is a pipe", os.mkfifo),
    "directory": ("no journal", "is a directory", Path.mkdir),
    "socket": ("no journal", "is a socket", bound),
    "device": ("no journal", "is a device", lambda path: path.symlink_to("/dev/zero")),
    "empty": ("no journal", "is an empty file", Path.touch),
    "text": ("no journal", "is a file of something else", lambda path: path.write_text("x" * 99)),
    "unreadable": ("unreadable", "symbolic links", lambda path: path.symlink_to(path)),
}
CHANGED: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "odd": ("damaged", "row 7 ('result') is none that a run writes", odd),
    "damaged": ("damaged", "does not match its hash", lambda path: flipped(path, b"loom?")),
    "cut": ("damaged", "is damaged", lambda path: os.truncate(path, 4096)),
    "unlogged": (
        "unreadable",
        "unlogged.db-wal is a pipe",
        lambda path: os.mkfifo(f"{path}-wal"),
    ),
    "unwitnessed": (
        "unreadable",
        "unwitnessed.db-side is a pipe",
        lambda path: (Path(f"{path}-side").unlink(), os.mkfifo(f"{path}-side")),
    ),
}


def test_a_folder_of_everything(nlpu: Terminal, tmp_path: Path) -> None:
    run_dir = tmp_path / "runs"
    path, big = good(run_dir), large(run_dir)
    os.mkfifo(run_dir / "alone.db-side")
    os.mkfifo(path.with_suffix(".lock-pipe"))
    for name, (_, _, make) in STRANGE.items():
        make(run_dir / f"{name}.db")
    for name, (_, _, make) in CHANGED.items():
        make(copied(path, name))
    listed: Any = {
        each["id"]: each for each in nlpu("runs", "--run-dir", str(run_dir), "--json").json
    }
    for name, (status, why, _) in {**STRANGE, **CHANGED}.items():
        assert listed[name]["status"] == status and why in listed[name]["error"], listed[name]
    assert listed[path.stem]["status"] == listed[big]["status"] == "done"
    assert listed.keys() == {path.stem, big, *STRANGE, *CHANGED}
    ended = nlpu("runs", "--run-dir", str(tmp_path / "runs"))
    assert ended.code == 0 and all(each in ended.out for each in listed)
    for name in STRANGE:
        assert (
            nlpu("show", name, "--run-dir", str(tmp_path / "runs")).code != 0
        )  # and none of them waits


def test_a_file_s_name_makes_no_lines_of_its_own(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x\nabc: all is well\x1b[2J.db").write_text("x")
    ended = nlpu("runs", "--run-dir", str(tmp_path))
    assert ended.code == 0 and len(ended.out.splitlines()) == 2
    assert len(ended.err.splitlines()) == 1 and "\x1b" not in ended.out + ended.err


def test_a_file_s_name_that_is_no_text_is_listed(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.db")).write_text("x")
    (listed,) = nlpu("runs", "--run-dir", str(tmp_path), "--json").json
    assert listed["id"] == "caf<U+DCE9>" and "caf<U+DCE9>.db is a file" in listed["error"]


def test_a_lock_that_is_a_pipe_is_no_owner(tmp_path: Path) -> None:
    path = good(tmp_path)
    path.with_suffix(".lock").unlink(missing_ok=True)
    os.mkfifo(path.with_suffix(".lock"))
    ((found,), _) = summaries(tmp_path)
    assert found.record.status == "done"


def peak(run_dir: Path) -> int:
    """The most memory that a listing takes, in bytes."""
    tracemalloc.start()
    try:
        summaries(run_dir)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_texts_or_calls(tmp_path: Path) -> None:
    good(tmp_path / "small")
    small = peak(tmp_path / "small")
    large(tmp_path / "large")
    assert peak(tmp_path / "large") < small + 500_000
    words = [str(number) for number in range(3000)]
    execute(lambda: [str(echo(word)) for word in words], run_dir=tmp_path / "many")
    assert peak(tmp_path / "many") < small + 100_000


def facts(run_dir: Path) -> list[tuple[Any, ...]]:
    """What is listed, once as the runs themselves say it and once as it is summed up."""
    whole = [(r.name, r.status, r.calls, r.nlops, r.seconds, r.title) for r in records(run_dir)]
    found = [
        (s.record.name, s.record.status, s.calls, s.nlops, s.record.seconds, s.record.title)
        for s in summaries(run_dir)[0]
    ]
    assert whole == found
    return found


def several() -> list[str]:
    return [str(echo(text)) for text in ("a", "b", "a", "c")]


def test_sums_are_those_of_the_runs(tmp_path: Path) -> None:
    execute(several, run_dir=tmp_path)
    execute(several, run_dir=tmp_path, budget=Budget(calls=2))
    execute(lambda: count("x"), run_dir=tmp_path, engine={"many": "several"})
    execute(several, engine=Doomed(said, tmp_path, tmp_path / "grave", at=3), run_dir=tmp_path)
    failed = execute(several, run_dir=tmp_path, engine=["a", ServerFault("down")] * 9)
    assert [fact[1] for fact in facts(tmp_path)].count("done") == 3
    facts(tmp_path / "grave")
    resumed(tmp_path, failed, several)
    with computer(run_dir=tmp_path) as machine:
        finish(machine.rerun(failed.name, several, edits=Edits({"main/1": "B"})))
    calls = {fact[0]: fact[2] for fact in facts(tmp_path)}
    assert calls[failed.name] == 3 and calls[f"{failed.name}.2"] == 0


def test_a_limit_reads_the_newest_alone(nlpu: Terminal, tmp_path: Path) -> None:
    paths = [good(tmp_path / "runs") for _ in range(5)]
    for date, path in enumerate(paths, 10):
        forge(path, lambda rows, date=date: rows[0][2].update(started_s=date * 1e8))
        os.utime(path, (date * 1e8 + 9, date * 1e8 + 9))
    paths[0].write_text("not looked at")
    os.utime(paths[0], (1, 1))
    ended = nlpu("runs", "--run-dir", str(tmp_path / "runs"), "--limit", "2")
    names = [line.split()[0] for line in ended.out.splitlines()[1::2]]
    assert names == [paths[4].stem, paths[3].stem]
    assert "3 more journals were not read (--limit 2)" in ended.err
    listed: Any = nlpu("runs", "--run-dir", str(tmp_path / "runs"), "--json", "--limit", "9").json
    assert [each["id"] for each in listed][:4] == [path.stem for path in paths[:0:-1]]


def test_arguments_and_results_are_listed(nlpu: Terminal, tmp_path: Path) -> None:
    execute(one, "What is 森林?" + "\u200b\x1b[2J" * 9, run_dir=tmp_path / "runs")
    ended = nlpu("runs", "--run-dir", str(tmp_path / "runs"))
    _, first, second = ended.out.splitlines()
    assert (
        first.split()[1] == "test_folder.py:one"
        and "\x1b" not in ended.out
        and "\u200b" not in ended.out
    )
    assert second.startswith('    ("What is 森林?') and ' = "What is 森林?' in second
    assert max(map(cells, ended.out.splitlines())) <= 80
    execute(lambda: count("x"), run_dir=tmp_path / "no", engine={"many": "several"})
    ended = nlpu("runs", "--run-dir", str(tmp_path / "no"))
    assert "Malformed: the reply 'several' is not a whole number" in ended.out
    (listed,) = nlpu("runs", "--run-dir", str(tmp_path / "runs"), "--json").json
    assert listed["arguments"].startswith('"What is') and listed["result"].startswith('"What is')


@pytest.mark.parametrize("text", ["森" * 40, "\U0001f469\u200d\U0001f467" * 20, "e\u0301" * 90])
def test_the_list_holds_at_eighty_columns(nlpu: Terminal, tmp_path: Path, text: str) -> None:
    path = good(tmp_path / "runs")
    forge(path, lambda rows: rows[0][2].update(program=f"/x/{text}.py:{text}"))
    out = nlpu("runs", "--run-dir", str(tmp_path / "runs")).out
    assert max(map(cells, out.splitlines())) <= 80 and text[:3] in out
