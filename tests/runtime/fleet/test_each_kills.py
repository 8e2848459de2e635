"""Killed at a point that was chosen, a batch goes on: its results are those of the undisturbed one.

The points are the functions that make something last (rows, items, lines of results); a process
dies as it enters or leaves one. The model is a server in a process of its own, which logs what it
is sent before it answers: what had an outcome in the journal is not sent again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from terminal_fixture import ROOT, environment, fault_server

PROGRAM = '''
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def sort(note: str) -> str:
    """Say which office the note is for."""

@nlop
def is_urgent(note: str, office: str) -> bool:
    """Is the note urgent for that office?"""

def office(note: str) -> str:
    if note == "odd":
        raise ValueError("an odd note")
    where = sort(note)
    return f"{where}{'!' if is_urgent(note, where) else '.'}"
'''
INPUTS = [*(f"note {number}" for number in range(10)), "odd", "note 3"]
IN_FLIGHT = 4


class Worker:
    """The process that forks, and the server that its children ask."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self._process, self._url, self._log = process, url, log

    def live(self, folder: Path, kill_at: int = 0) -> dict[str, int]:
        """One life of the batch in a folder; what came of it."""
        args = ["run", "notes.py:office", "--each", "notes.jsonl", "--out", "offices.jsonl"]
        args += ["--engine", self._url, "--at-once", str(IN_FLIGHT)]
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), args, kill_at]) + "\n")
        self._process.stdin.flush()
        found: dict[str, int] = json.loads(self._process.stdout.readline())
        return found

    def sent(self) -> Counter[str]:
        """What the server was sent so far, by prompt."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return Counter(json.loads(line)["prompt_hash"] for line in lines)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with TemporaryDirectory() as place:
        log = Path(place, "sent")
        with (
            fault_server("--log", str(log), "--rate", "slow:0.002=0.5") as url,
            subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "each_worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
            ) as process,
        ):
            yield Worker(process, url, log)


def prepared(place: str) -> Path:
    """A folder with the program and its inputs."""
    folder = Path(place)
    folder.joinpath("notes.py").write_text(PROGRAM)
    lines = (json.dumps({"note": note}) for note in INPUTS)
    folder.joinpath("notes.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def results(folder: Path) -> list[dict[str, object]]:
    """Its results, but for the batch's name, which is of its place."""
    lines = map(json.loads, folder.joinpath("offices.jsonl").read_text().splitlines())
    return [{**line, "run": line["run"].partition(".")[2]} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(worker: Worker) -> Iterator[tuple[list[dict[str, object]], int]]:
    """Its results, and the number of points that it passes."""
    with TemporaryDirectory() as place:
        folder = prepared(place)
        ended = worker.live(folder)
        assert ended["code"] == 1, folder.joinpath("err").read_text()  # one input is odd
        yield results(folder), ended["points"]


def check_killed(
    worker: Worker, undisturbed: tuple[list[dict[str, object]], int], points: list[int]
) -> None:
    """Kill one life at each of the points, then let one come to its end."""
    whole, most = undisturbed
    with TemporaryDirectory() as place:
        folder, before, kills = prepared(place), worker.sent(), 0
        for point in points:
            if folder.joinpath("offices.jsonl").exists():  # killed behind its last step
                assert results(folder) == whole
            ended = worker.live(folder, 1 + point % most)
            kills += ended["signal"] == 9
            if ended["signal"] == 0:  # it passed fewer points: it was near its end
                break
        ended = worker.live(folder)
        assert ended["code"] == 1, folder.joinpath("err").read_text()
        assert results(folder) == whole
        again = worker.live(folder)
        assert again["code"] == 1 and results(folder) == whole
    sent = worker.sent()
    sent.subtract(before)
    calls = sum(line["cost"]["calls"] for line in whole)  # type: ignore[index]
    assert calls <= sum(sent.values()) <= calls + kills * IN_FLIGHT


@pytest.mark.timeout(600)  # up to twenty lives: ten seconds, and ninety on a busy machine
@settings(max_examples=4)
@given(points=st.lists(st.integers(0, 10**4), min_size=1, max_size=3))
def test_wherever_it_is_killed_its_results_are_those_of_the_undisturbed(
    worker: Worker, undisturbed: tuple[list[dict[str, object]], int], points: list[int]
) -> None:
    check_killed(worker, undisturbed, points)


@pytest.mark.parametrize("before", [0, 3, 6])
def test_killed_as_its_results_take_their_place(
    worker: Worker, undisturbed: tuple[list[dict[str, object]], int], before: int
) -> None:
    check_killed(worker, undisturbed, [undisturbed[1] - 1 - before])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_killed_at_every_point(
    worker: Worker, undisturbed: tuple[list[dict[str, object]], int], part: int
) -> None:
    """Each point once; and lives that are killed one after the other."""
    random = Random(part)
    for point in range(part, undisturbed[1], 8):
        check_killed(worker, undisturbed, [point])
    for _ in range(5):
        check_killed(worker, undisturbed, [random.randrange(10**4) for _ in range(4)])
