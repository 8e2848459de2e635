"""Kills with the journal in a database: of the program's process, of the server, and a stop.

As ``test_kills``, by its server and its judge: what was sent is held against what was journaled. A
program with effects writes what it did to a file outside: what is done twice is seen.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from kill_programs import ACTS, SHAPES
from kill_worker import Order, live
from test_kills import DEADLINE_S, Book, Server, Story, Workers, bench, book_of, sweep, until

from nlpu.runtime.journal.places import again, journals, place_of
from nlpu.runtime.journal.where import Seat

LEASE_S = 1.0
KILLED = ("chain", "fan", "loop", "acts")
LITTLE, MUCH = pytest.mark.slow, pytest.mark.fleet
assert {*KILLED} <= {*SHAPES, "acts"}


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv(ACTS, f"{name}/acts")
        yield Path(name)


def told(postgres: Any, kind: type[Seated]) -> Any:
    """Make stories of a kind, each with a database of its own."""
    return lambda server, folder, shape, size: kind(postgres, server, folder, shape, size)


class Seated(Story):
    """One run and its lives, in a database."""

    def __init__(self, postgres: Any, server: Server, folder: Path, shape: str, size: int) -> None:
        super().__init__(server, folder, shape, size)
        self.postgres, self.url = postgres, postgres.fresh()
        self.acts = Path(os.environ[ACTS])
        self.acts.write_bytes(b"")  # each story acts anew

    @property
    def place(self) -> str:
        return str(self.url)

    def read(self) -> tuple[str | None, Book]:
        from nlpu.runtime.journal.postgres.store import PostgresStore

        self.postgres.settle()
        found = [where for where in journals(place_of(self.url)) if isinstance(where, Seat)]
        if not found:
            return None, Book()
        (seat,) = found
        with closing(PostgresStore(seat, read_only=True)) as reader:
            return seat.stem, book_of(*reader.read(1))

    def clear(self) -> None:
        if journals(place_of(self.url)):
            self.postgres.do("DELETE FROM nlpu.journal", urlsplit(self.url).path[1:])

    def judge(self, start: int) -> None:
        super().judge(start)
        done = Counter(self.acts.read_text().split())
        assert not [number for number, times in done.items() if times > 1], "an effect was repeated"

    def last_life(self) -> dict[str, Any]:
        outcome = super().last_life()
        done = self.acts.read_text().split()
        assert len(done) == (self.size // 2 if self.shape == "acts" else 0)
        return outcome


class Crashing(Seated):
    """Its lives are cut by the end of the database's server, which comes back; they go on."""

    crashes = 0

    def life(self, workers: Workers, random: Random, left: int) -> bool:
        start = self.server.size()
        process = workers.put(self.order())
        try:
            until(
                "the run to begin", lambda: self.server.count(start)
            )  # to open is not tried again
            for _ in range(2):
                self._wait_for_its_moment(process, start, random, left)
                self.postgres.crash(0.1)
                self.crashes += 1
                self.postgres.settle()
            said, _ = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
            process.wait()
        self.judge(start)
        assert json.loads(said)["status"] == "done", said
        return False


@LITTLE
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", KILLED)
def test_some_kills(shelf: Path, postgres: Any, shape: str, capsys: Any) -> None:
    kill(shelf, postgres, shape, 5, capsys)


@MUCH
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", KILLED)
def test_all_kills(shelf: Path, postgres: Any, shape: str, capsys: Any) -> None:
    kill(shelf, postgres, shape, 50, capsys)


def kill(shelf: Path, postgres: Any, shape: str, kills: int, capsys: Any) -> None:
    size = 60 if shape == "acts" else 200
    with bench(shelf, kills) as (server, workers):
        said = sweep(server, workers, shelf, shape, size, kills, 1, told(postgres, Seated))
    with capsys.disabled():
        print(f"\non a database, {said}")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("shape", "runs"),
    [pytest.param(shape, n, marks=m) for m, n in ((LITTLE, 1), (MUCH, 5)) for shape in KILLED[1:]],
)
def test_ends_of_the_server(shelf: Path, postgres: Any, shape: str, runs: int) -> None:
    """Killed twice in each run: the run does not notice, but for the time."""
    size, random = 60 if shape == "acts" else 200, Random(shape)
    with bench(shelf, runs) as (server, workers):
        whole = Seated(postgres, server, shelf, shape, size)
        expected = whole.last_life()
        for _ in range(runs):
            story = Crashing(postgres, server, shelf, shape, size)
            story.life(workers, random, len(whole.book.texts) // 3)
            assert story.crashes == 2
            assert story.book.end == expected["result"]
            assert sum(story.sent.values()) == len(story.book.keys) or shape == "loop"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("shape", "seed"),
    [
        pytest.param(shape, seed, marks=MUCH if seed else LITTLE)
        for shape in ("chain", "acts")
        for seed in range(5)
    ],
)
def test_who_was_stopped_past_the_lease_writes_nothing(
    shelf: Path, postgres: Any, shape: str, seed: int
) -> None:
    """Stopped anywhere, followed by another, and woken up when that one is done, or on its way."""
    size, random = 40, Random(seed)
    with bench(shelf, 1) as (server, workers):
        whole = Seated(postgres, server, shelf, shape, size)
        expected = whole.last_life()
        story = Seated(postgres, server, shelf, shape, size)
        first = workers.put(Order(server.url, story.place, shape, size, lease_s=LEASE_S))
        try:
            story._wait_for_its_moment(first, server.size(), random, len(whole.book.texts) // 2)
            until("a journal", lambda: story.read()[1].started)
            first.send_signal(signal.SIGSTOP)
            name, _ = story.read()
            seat = Seat(place_of(story.url), str(name))  # type: ignore[arg-type]
            until("the end of its lease", lambda: not getattr(again(seat), "owned", True))
            server.settle()
            outcome = live(story.order())
            assert outcome["status"] == "done" and outcome["result"] == expected["result"]
            rows, sent = story.read()[1].rows, server.size()
            first.send_signal(signal.SIGCONT)
            said, _ = first.communicate(timeout=DEADLINE_S)
        finally:
            first.kill()
            first.wait()
        late = json.loads(said)
        assert late["status"] == "failed" and "is not this process's any more" in late["error"], (
            late
        )
        assert story.read()[1].rows == rows, "it wrote"
        assert server.count(sent) <= 1, "more than what it was about to send left"
        if shape == "acts":
            done = story.acts.read_text().split()
            assert sorted({*done}, key=int) == [str(n) for n in range(size // 2)]
            # It may have stopped just before an act: a person who looks sees none, and has it
            # made; the first makes it, too, when it wakes. One act, which a person asked for.
            assert len(done) - len({*done}) <= 1
