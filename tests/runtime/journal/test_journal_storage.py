"""A disk that is full, or that cannot be written, loses nothing that is finished."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from damage_kit import CALLS, shelf, whole
from journal_kit import Opened
from kill_programs import chain
from kill_worker import Order
from pydantic_core import to_json

from nlpu.errors import ProgramError, StorageFailed
from nlpu.runtime import Computer
from nlpu.runtime.journal import sqlite as journal_module
from nlpu.runtime.journal.records import past_of
from nlpu.testing.scripted import Scripted

__all__ = ["shelf"]  # a fixture


ROOT = Path(__file__).parents[3]


class Worker:
    """A process in which the disk may be full."""

    def __enter__(self) -> Worker:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "kill_worker.py")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=pipe,
            stdout=pipe,
            bufsize=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def ask(self, run_dir: Path, **rest: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        order = Order("scripted", str(run_dir), "chain", CALLS, **rest)
        self.process.stdin.write(order.line())
        answered: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answered


def _full(shelf: Path, limits: list[int]) -> None:
    """Runs on disks of these sizes stop with a clear error, and go on where there is space."""
    expected = whole().decode()
    with Worker() as worker:
        for limit in limits:
            run_dir = shelf / f"full-{limit}"
            first = worker.ask(run_dir, file_bytes=limit)
            assert first["error"].startswith("StorageFailed: cannot use the journal"), first
            assert "Free space" in first["error"] and "--run-dir" in first["error"]
            path = next(run_dir.glob("*.db"), run_dir / "none.db")
            if not path.exists():
                continue  # there was not even space for the lock
            with closing(Opened(path, read_only=True)) as journal:
                past = past_of(journal.rows)
            if not past.header:
                refused = worker.ask(run_dir, name=path.stem)
                assert "has no run" in refused["error"], refused
                continue
            again = worker.ask(run_dir, name=path.stem, file_bytes=limit)  # its WAL is a new one
            assert again["status"] == "done" or "StorageFailed" in again["error"], again
            last = worker.ask(run_dir, name=path.stem)
            assert (last["status"], last["result"]) == ("done", expected), last
            assert last["reused"] >= len(past.outcomes)
            assert last["calls"] == CALLS - last["reused"]


def test_a_full_disk(shelf: Path) -> None:
    _full(shelf, [0, 3, 30_000, 90_000, 150_000])


@pytest.mark.slow
def test_a_disk_that_is_full_anywhere(shelf: Path) -> None:
    random = Random(2)
    _full(shelf, sorted(random.sample(range(260_000), 100)))


@pytest.mark.parametrize("pages", [3, 4, 5, 6])
def test_no_more_pages(shelf: Path, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """SQLite's own "database or disk is full", in the middle of a run."""
    connect = journal_module.connect

    def small(*args: Any, **rest: Any) -> sqlite3.Connection:
        db = connect(*args, **rest)
        db.execute(f"PRAGMA max_page_count = {pages}")
        return db

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "connect", small)
        with Computer(Scripted(), run_dir=shelf) as computer:
            run = computer.run(chain, CALLS)
            assert isinstance(run.error, StorageFailed)
    with closing(Opened(shelf / f"{run.name}.db", read_only=True)) as journal:
        past = past_of(journal.rows)
    with Computer(Scripted(), run_dir=shelf) as computer:
        if not past.header:
            with pytest.raises(ProgramError, match="has no run"):
                computer.resume(run.name, chain, CALLS).wait()
            return
        again = computer.resume(run.name, chain, CALLS).wait()
        assert to_json(again.result) == whole()
        assert again.receipt.reused == len(past.outcomes)


def test_a_run_directory_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name, Worker() as worker:
        run_dir = Path(name)
        finished = worker.ask(run_dir)
        (path,) = run_dir.glob("*.db")
        run_dir.chmod(0o555)
        path.with_suffix(".lock").chmod(0o444)
        path.chmod(0o444)
        for rest in ({}, {"name": path.stem}, {"name": path.stem, "replay": True}):
            refused = worker.ask(run_dir, nobody=True, **rest)
            assert refused["error"].startswith("StorageFailed: cannot use the journal"), refused
            assert "make it writable" in refused["error"]
        run_dir.chmod(0o755)
        replayed = worker.ask(run_dir, name=path.stem, replay=True)
        assert (replayed["calls"], replayed["result"]) == (0, finished["result"])


def test_a_run_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no directory")
    for run_dir in (tmp_path / "runs", tmp_path / "runs" / "below"):
        with pytest.raises(StorageFailed, match="--run-dir"):
            Computer(Scripted(), run_dir=run_dir).run(chain, 3)
