"""Kills: a process dies by SIGKILL at any moment, and no journaled call is ever sent again.

The model is a scripted server in a process of its own. It logs what it is sent before it answers,
so what a dead process had sent can be counted. After each death the journal is read (read-only, as
any tool may) and held against the log:

    what was sent had been noted      requests of this life <= attempts this life journaled
    what was answered stays answered  requests for one prompt <= its calls without a result then

The second is both promises at once: a call with a result is not sent again, a call without one is
sent at most once a life, so that a kill costs it at most one more attempt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from signal import SIGABRT, SIGKILL
from typing import Any
from urllib.request import Request, urlopen

import pytest
from journal_kit import Opened
from kill_programs import OPS, SHAPES
from kill_worker import Order, live

from benchmarks.fake_vllm.answers import prompt_hash
from nlpu.prompt.messages import messages_of
from nlpu.runtime.journal.records import past_of

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60.0
LATENCIES = ("slow:0.001=0.3", "slow:0.004=0.4", "slow:0.01=0.3")  # by prompt: replies overtake
KILLS = 52  # of each of the four shapes
LIVES = 13  # kills of one run


def until(what: str, condition: Any) -> None:
    """Poll another process; there is nothing to wait on but its files."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.0005)


class Server:
    """The scripted server's process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    def size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def count(self, start: int) -> int:
        """Requests logged since the log had that size."""
        return len(self.sent(start))

    def sent(self, start: int) -> list[str]:
        """Hashes of the prompts logged since then."""
        if self.size() <= start:
            return []
        with self.log.open("rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
        return [json.loads(line)["prompt_hash"] for line in lines]

    def settle(self) -> None:
        """Return when all that dead processes had sent is logged, and nothing of it is served."""
        answers: list[Any] = []

        def quiet() -> bool:
            with urlopen(Request(f"{self.url}/_fault", data=b"{}", method="POST")) as reply:
                answers.append(json.loads(reply.read()))
            return (
                len(answers) > 2
                and answers[-3:] == [answers[-1]] * 3
                and not (answers[-1]["in_flight"])
            )

        until("the server to notice a death", quiet)


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    log = directory / "sent.jsonl"
    command = [sys.executable, "-m", "benchmarks.fake_vllm.server", "--with-parent"]
    command += ["--window", "100000", "--log", str(log)]
    for latency in LATENCIES:
        command += ["--rate", latency]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        yield Server(process, process.stdout.readline().decode().strip(), log)
        process.stdin.close()
        process.wait(DEADLINE_S)


class Workers:
    """Processes to be killed, one for each life. The next ones import while this one works."""

    def __init__(self, lives: int) -> None:
        self._to_start = lives
        self._ready = [self._start() for _ in range(min(2, lives))]

    def _start(self) -> subprocess.Popen[bytes]:
        self._to_start -= 1
        command = [sys.executable, str(ROOT / "tests" / "kill_worker.py")]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, bufsize=0)

    def put(self, order: Order) -> subprocess.Popen[bytes]:
        """A process that carries out the order."""
        process = self._ready.pop(0) if self._ready else self._start()
        assert process.stdin is not None
        process.stdin.write(order.line())
        process.stdin.close()
        process.stdin = None
        if self._to_start > 0:
            self._ready.append(self._start())
        return process

    def close(self) -> None:
        for process in self._ready:
            process.kill()
            process.communicate()


@dataclass
class Book:
    """What a journal holds, in the words of the server's log: by hash of the prompt."""

    started: bool = False
    keys: dict[str, set[str]] = field(default_factory=dict)  # hash -> keys of the calls
    texts: dict[str, str] = field(default_factory=dict)  # key -> its result
    attempts: int = 0  # noted in all lives
    end: str | None = None  # the run's result
    rows: int = 0


def read_book(run_dir: Path) -> tuple[str | None, Book]:
    """(name, content) of the one journal in a directory."""
    found = list(run_dir.glob("*.db"))
    if not found:
        return None, Book()
    (path,) = found
    journal = Opened(path, read_only=True)
    journal.close()
    return path.stem, book_of(journal.rows, journal.texts)


def book_of(rows: list[Any], texts: dict[int, str]) -> Book:
    past = past_of(rows)
    book = Book(bool(past.header), attempts=past.attempts, rows=len(rows))
    for call in past.calls.values():
        turns = messages_of(OPS[past.ops[call.op].name], [texts[number] for number in call.texts])
        body = {"messages": [{"role": turn.role, "content": turn.content} for turn in turns]}
        book.keys.setdefault(prompt_hash(body), set()).add(call.key)
    for key, outcome in past.outcomes.items():
        assert not outcome.fault, outcome
        book.texts[key] = texts[outcome.text]
    if past.end is not None and past.finished:
        book.end = texts[past.end.text]
    return book


class Story:
    """One run and its lives."""

    def __init__(self, server: Server, run_dir: Path, shape: str, size: int) -> None:
        self.server, self.run_dir, self.shape, self.size = server, run_dir, shape, size
        self.book = Book()
        self.sent = Counter[str]()  # in all lives, by hash
        self.noted = 0  # attempts in the journal

    @property
    def place(self) -> str:
        return str(self.run_dir)

    def read(self) -> tuple[str | None, Book]:
        return read_book(self.run_dir)

    def clear(self) -> None:
        if self.run_dir.exists():
            for path in self.run_dir.iterdir():
                path.unlink()

    def order(self, replay: bool = False) -> Order:
        name, book = self.read()
        name = name if book.started else None
        if name is None:
            self.clear()  # killed before the run began: nothing was sent, nothing is resumed
        return Order(self.server.url, self.place, self.shape, self.size, name, replay)

    def life(self, workers: Workers, random: Random, left: int) -> bool:
        """Start a process and kill it somewhere. Whether it was alive until then."""
        start = self.server.size()
        process = workers.put(self.order())
        try:
            self._wait_for_its_moment(process, start, random, left)
        except AssertionError:
            process.send_signal(SIGABRT)  # it hangs: have it say where, on stderr
            process.wait(DEADLINE_S)
            raise
        finally:
            process.kill()
            said, _ = process.communicate()
        self.judge(start)
        if process.returncode != -SIGKILL:
            assert json.loads(said)["status"] == "done", said
        return process.returncode == -SIGKILL

    def _wait_for_its_moment(
        self, process: subprocess.Popen[bytes], start: int, random: Random, left: int
    ) -> None:
        if random.random() < 0.2:  # while it opens, reads, or asks the server what it is
            moment = time.monotonic() + random.uniform(0, 0.12)
        else:
            wanted = random.randrange(max(1, left))
            until(
                f"{wanted} requests of {self.shape} in {self.run_dir}",
                lambda: self.server.count(start) > wanted or process.poll() is not None,
            )
            moment = time.monotonic() + random.uniform(0, 0.004)
        until("a moment", lambda: time.monotonic() >= moment or process.poll() is not None)

    def last_life(self) -> dict[str, Any]:
        start = self.server.size()
        outcome = live(self.order())
        made = outcome.get("calls")
        before = len(self.book.texts)
        self.judge(start)
        assert outcome["status"] == "done", outcome
        if self.shape != "loop":  # there, calls that lost a race are made and have no result
            assert made == len(self.book.texts) - before
        return outcome

    def judge(self, start: int) -> None:
        """Hold the log of the life that just ended against the journal."""
        self.server.settle()
        sent = Counter(self.server.sent(start))
        before = self.book.texts
        _, self.book = self.read()
        noted, self.noted = self.book.attempts - self.noted, self.book.attempts
        assert sent.total() <= noted, f"{sent.total()} requests sent, {noted} attempts noted"
        for digest, times in sent.items():
            keys = self.book.keys[digest]
            done = len(keys & before.keys())
            assert times <= len(keys) - done, f"sent {times} times: {done} of {len(keys)} were done"
        assert before.items() <= self.book.texts.items(), "results were lost or changed"
        self.sent += sent

    @property
    def repeated(self) -> int:
        """Requests beyond one a call: those for calls that a kill had left open."""
        return sum(n - len(self.book.keys[digest]) for digest, n in self.sent.items() if n > 1)


def sweep(
    server: Server,
    workers: Workers,
    directory: Path,
    shape: str,
    size: int,
    kills: int,
    seed: int,
    told: Callable[[Server, Path, str, int], Story] = Story,
) -> str:
    """Kill runs of a shape until that many kills are done; each run must come out right."""
    random = Random(f"{shape}/{seed}")
    began = time.monotonic()
    done = runs = repeated = 0
    whole = told(server, directory / f"{shape}-whole", shape, size)
    expected = whole.last_life()
    calls = len(whole.book.texts)
    while done < kills:
        runs += 1
        story = told(server, directory / f"{shape}-{runs}", shape, size)
        for _ in range(min(LIVES, kills - done)):
            if not story.life(workers, random, (calls - len(story.book.texts)) // 4):
                break  # it ended before it was killed
            done += 1
        _compare(story, expected, whole.book)
        repeated += story.repeated
    took = time.monotonic() - began
    return (
        f"{shape} of {calls} calls: {done} kills in {runs} runs, {took:.0f} s; "
        f"0 journaled calls sent again, {repeated} open ones"
    )


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A directory in memory, where that is possible: no kill should wait for somebody's fsync."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@contextmanager
def bench(directory: Path, lives: int) -> Iterator[tuple[Server, Workers]]:
    workers = Workers(lives)
    try:
        with serving(directory) as server:
            yield server, workers
    finally:
        workers.close()


def _compare(story: Story, expected: dict[str, Any], whole: Book) -> None:
    outcome = story.last_life()
    assert outcome["result"] == expected["result"]
    assert story.book.end == whole.end == expected["result"]
    for key, text in story.book.texts.items():
        assert whole.texts.get(key, text) == text
    start, rows = story.server.size(), story.book.rows
    replayed = live(story.order(replay=True))
    assert (replayed["status"], replayed["calls"]) == ("done", 0), replayed["error"]
    assert replayed["result"] == expected["result"]
    assert story.server.size() == start
    assert story.read()[1].rows == rows


def test_killed_runs_go_on(shelf: Path) -> None:
    with bench(shelf, len(SHAPES)) as (server, workers):
        for shape in SHAPES:
            sweep(server, workers, shelf, shape, size=40, kills=1, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", SHAPES)
def test_kills(shelf: Path, shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with bench(shelf, KILLS) as (server, workers):
        said = sweep(server, workers, shelf, shape, size=300, kills=KILLS, seed=1)
    with capsys.disabled():
        print(f"\n{said}")
