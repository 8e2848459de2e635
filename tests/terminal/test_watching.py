"""A run watched from outside through its journal: what is counted, and how watching ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import PATIENCE_S, Doomed, computer, slow
from recorded_fixture import begun, program, recorded
from terminal_fixture import Terminal, nlpu

from nlpu import Limits
from nlpu.runtime import Budget
from nlpu.runtime.executor.clock import SystemClock
from nlpu.runtime.journal.sqlite import owned
from nlpu.runtime.terminal.show.archive import find, followed
from nlpu.runtime.terminal.show.watch import lines_of, picture_of
from nlpu.testing.answers import pieces
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.wire import Reply, Request

__all__ = ["nlpu"]  # a fixture
START_S = 1_000_000_000.0  # of the fake clock


def answer(seen: Seen) -> Say:
    return Say("yes" if "good" in seen.instruction else "a text", cached_tokens=10)


def test_a_run_under_way(tmp_path: Path) -> None:
    """As another process sees it when its fourth of five calls is sent, six seconds in."""
    grave = tmp_path / "grave"
    engine = Doomed(slow(2.0), tmp_path / "runs", grave, at=4)
    with computer(engine, run_dir=tmp_path / "runs", limits=Limits(max_in_flight=1)) as machine:
        budget = Budget(calls=20, nlops=30)
        run = begun(machine, program(tmp_path), "tides", 5, budget=budget)
        run.wait(PATIENCE_S)
    lock = owned(grave / f"{run.name}.db")
    try:
        picture = picture_of(find(grave, run.name), START_S + 6)
    finally:
        lock.release()
    assert picture.status == "running" and picture.seconds == 6
    assert (picture.in_flight, picture.waiting) == (1, 1)
    assert picture.calls_per_s == 0.5
    assert picture.tokens_out_per_s == pytest.approx(3 * len(pieces("tides 0")) / 6)
    assert picture.nlops_per_s == pytest.approx(picture.tokens_out_per_s / 100)
    assert picture.budget_left["calls"] == 16
    assert picture.budget_left["nlops"] == pytest.approx(30 - 3 * 0.03 - 2.56)
    assert picture.path_tokens == 0 and picture.path_expected_tokens
    assert [line["calls"] for line in picture.by_op] == [3, 3]
    assert [line["open"] for line in picture.by_op] == [1, 1]
    words = "\n".join(lines_of(picture))
    assert "1 calls in flight, 1 waiting" in words and "budget left: 16 calls" in words


def test_a_run_that_was_stopped_beats_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def two_lengths(text: str) -> float:
        return 5.0 if text == "tides 0" else 1.0

    with computer(slow(two_lengths), run_dir=tmp_path, limits=Limits(max_in_flight=2)) as machine:
        budget = Budget(seconds=2.5)
        run = begun(machine, program(tmp_path), "tides", 9, budget=budget).wait(PATIENCE_S)
    assert run.status == "stopped"
    record = find(tmp_path, run.name)
    pulses = [row[2:] for row in record.rows if row[0] == "pulse"]
    expected = 3 * 256 + 8  # a text, twice folded, and a yes or no
    assert pulses == [[6, 0, expected, 1000], [5, 0, expected, 2000]]
    assert caplog.text == ""


def test_a_finished_run(tmp_path: Path) -> None:
    picture = picture_of(recorded(tmp_path, answer), START_S + 1e6)
    assert picture.status == "done" and picture.in_flight == 0 and picture.waiting is None
    assert picture.by_op[-1]["calls"] == 6
    assert 0 < picture.cached_share < 1


class Steps(Scripted):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(answer)
        self.arrived, self.permits = threading.Semaphore(0), threading.Semaphore(0)

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.arrived.release()
        await asyncio.to_thread(self.permits.acquire)
        return await super().send(request, on_text)


def test_watching_follows_a_run_to_its_end(tmp_path: Path) -> None:
    engine, runs = Steps(), tmp_path / "runs"
    limits = Limits(max_in_flight=1)
    with computer(engine, run_dir=runs, limits=limits, clock=SystemClock()) as machine:
        run = begun(machine, program(tmp_path), "tides")
        assert engine.arrived.acquire(timeout=PATIENCE_S)
        calls = 6

        def pause() -> None:  # one call ends, and the next is sent or the run ends
            nonlocal calls
            calls -= 1
            engine.permits.release()
            if calls:
                assert engine.arrived.acquire(timeout=PATIENCE_S)
            else:
                run.wait(PATIENCE_S)

        seen = [
            (now.status, len(now.past.outcomes), len(now.past.under_way))
            for now in followed(find(runs, run.name), pause)
        ]
    assert seen == [*(("running", done, 1) for done in range(6)), ("done", 6, 0)]


def test_watching_ends_with_its_process(tmp_path: Path) -> None:
    grave = tmp_path / "grave"
    engine = Doomed(slow(1.0), tmp_path / "runs", grave, at=3)
    with computer(engine, run_dir=tmp_path / "runs", limits=Limits(max_in_flight=1)) as machine:
        run = begun(machine, program(tmp_path), "tides")
        run.wait(PATIENCE_S)
    lock = owned(grave / f"{run.name}.db")
    seen = [now.status for now in followed(find(grave, run.name), lock.release)]
    assert seen == ["running", "stopped"]


def test_live_of_a_finished_run_is_printed_once(nlpu: Terminal, tmp_path: Path) -> None:
    run = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json["run_id"]
    shown = nlpu("show", run, "--live")
    assert shown.code == 0 and shown.out.count("nlops/s") == 1 and "shorten" in shown.out
    told = nlpu("show", run, "--live", "--json").json
    assert told["status"] == "done" and told["by_op"][-1]["calls"] == 6
    both = nlpu("show", run, "--live", "--html", "a.html")
    assert both.code == 2 and "one of them" in both.err and not Path("a.html").exists()
