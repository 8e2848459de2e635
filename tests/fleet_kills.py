"""Fleets that are killed: the command, its workers, the database; and what is held against that.

The model is a server in a process of its own that logs what it is sent before it answers. Rows of
runs are read when all is over: they say, in order, what was attempted and answered.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from terminal_fixture import COMMAND, ROOT, environment

from nlpu.runtime import Computer
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.places import journals, place_of
from nlpu.runtime.journal.postgres.owners import is_dead
from nlpu.runtime.journal.where import Seat
from nlpu.runtime.loader import load

DEADLINE_S = 120.0
RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2}
PROGRAM = '''
import os
from contextlib import suppress
from nlpu import nlop
from nlpu.errors import DriverFailed
from nlpu.label import USER
from nlpu.runtime.drivers.driver import driver

@nlop(max_tokens=24, at_limit="trim")
def step(text: str) -> str:
    """Go on from the text."""

@nlop(max_tokens=24, at_limit="trim")
def part(text: str, number: int) -> str:
    """Say what this part of the text is about."""

@nlop
def is_good(text: str) -> bool:
    """Is the text good enough?"""

def chain(name: str) -> str:
    text = name
    for round_ in range(8):
        text = str(step(f"{name} {round_}: {text}"))
    return text

def fan(name: str) -> str:
    return " ".join(str(part(name, n)) for n in [*range(10)])

def loop(name: str) -> str:
    text = name
    for round_ in range(6):
        if is_good(f"{name} {round_}: {text}"):
            text = " ".join(map(str, [part(f"{name} {round_} {text}", n) for n in range(2)]))
        else:
            text = str(step(f"{name} {round_} {text}"))
    return text

@driver(effect="external", roles={"what": "content"}, brings=USER)
def act(what: str) -> str:
    """Do it, so that everybody can see that it was done."""
    with open(os.environ["NLPU_TEST_ACTS"], "ab", buffering=0) as log:
        log.write(what.encode() + b"\\n")
    return "done"

def acts(name: str) -> str:
    text = name
    for round_ in range(4):
        text = str(step(f"{name} {round_}: {text}"))
        with suppress(DriverFailed):
            str(act(f"{name}/{round_}"))
    return text
'''


def until(what: str, condition: Any) -> None:
    """Poll other processes; there is nothing to wait on but what they leave."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.002)


class Stage:
    """A server and folders for many fleets; of each shape, what an undisturbed one gives."""

    def __init__(self, postgres: Any, server: str, log: Path, place: Path, inputs: int) -> None:
        self._postgres, self._served, self._place = postgres, (server, log), place
        self._inputs, self._whole = inputs, dict[tuple[str, ...], bytes]()

    def fleet(self, shape: str) -> Fleet:
        """A batch that has not begun; those of a shape have the same names."""
        place = self._place / shape
        return Fleet(self._postgres, *self._served, place, shape, self._inputs)

    def undisturbed(self, shape: str, *more: str) -> bytes:
        """The results of one that nobody kills."""
        key = shape, *more
        if key not in self._whole:
            self._whole[key] = self.fleet(shape).whole(*more)
        return self._whole[key]


class Fleet:
    """One batch in a database of its own, as a command in a folder."""

    def __init__(
        self, postgres: Any, server: str, log: Path, folder: Path, shape: str, inputs: int
    ) -> None:
        self.postgres, self.url, self.server, self.log = postgres, postgres.fresh(), server, log
        self.folder, self.shape, self.inputs = folder, shape, inputs
        folder.mkdir(exist_ok=True)  # a batch is named by its paths, too
        (folder / "out.jsonl").unlink(missing_ok=True)
        (folder / "mine.py").write_text(PROGRAM)
        names = [f"{folder.parent.name} {shape} {n}" for n in range(inputs)]
        (folder / "in.jsonl").write_text("".join(f"{json.dumps(name)}\n" for name in names))
        self.acts = folder / "acts"
        self.acts.write_bytes(b"")
        self.start = self.size()
        self.kills = Counter[str]()

    def size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def sent(self) -> list[str]:
        """Hashes of the prompts that the server was sent since the fleet began."""
        with self.log.open("rb") as file:
            file.seek(self.start)
            lines = file.read().split(b"\n")[:-1]
        return [json.loads(line)["prompt_hash"] for line in lines]

    def command(self, *more: str) -> list[str]:
        if self.shape == "acts" or more not in (
            (),
            ("--json",),
        ):  # its inputs are its user's, so it may act
            words = [
                f"mine.py:{self.shape}",
                "in.jsonl",
                "out.jsonl",
                self.server,
                *filter(None, more),
            ]
            return [sys.executable, str(ROOT / "tests" / "fleet_driver.py"), *words]
        words = ["run", f"mine.py:{self.shape}", "--each", "in.jsonl", "--out", "out.jsonl"]
        words += ["--engine", self.server, "--workers", "2", "--at-once", "8"]
        return [*COMMAND, *words, *more]

    def begin(self, *more: str) -> subprocess.Popen[str]:
        env = environment(NLPU_RUN_DIR=self.url, NLPU_TEST_ACTS=str(self.acts), **RAY)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*more), cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True
        )

    def do(self, statement: str) -> list[Any]:
        return list(self.postgres.do(statement, urlsplit(self.url).path[1:]))

    def workers(self) -> list[int]:
        """Processes that are at work now."""
        rows = self.do("SELECT owner FROM nlpu.worker WHERE fence = 1 AND owner <> ''")
        return [int(owner.split(" ")[1]) for (owner,) in rows if not is_dead(owner)]

    # -- deaths ------------------------------------------------------------------------------

    def whole(self, *more: str) -> bytes:
        """Let it come to its end; gives its results."""
        process = self.begin(*more)
        _, told = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, told + self.logs()
        return (self.folder / "out.jsonl").read_bytes()

    def logs(self) -> str:
        found = sorted((self.folder / ".nlpu" / "workers").glob("*.log"))
        return "\n".join(f"{each.name}: {each.read_text()[-2000:]}" for each in found)

    def killed(self, kills: int, random: Random, kinds: tuple[str, ...]) -> None:
        """Kill what is drawn at moments that are drawn, beginning the command again if need be.

        As many as are asked for: the moments are drawn so that calls are left behind the last.
        """
        process = self.begin()
        try:
            for _ in range(kills):
                wanted = len(self.sent()) + random.randrange(1, max(2, self.calls // (kills + 1)))
                until(f"{wanted} requests", lambda: len(self.sent()) >= wanted)  # noqa: B023
                time.sleep(random.uniform(0, 0.01))
                process = self.kill(random.choice(kinds), process, random)
            _, told = process.communicate(timeout=DEADLINE_S)
            assert process.returncode in (0, 4), told + self.logs()
        finally:
            process.kill()
            process.wait()
            self.postgres.settle()
        assert sum(self.kills[kind] for kind in {*kinds}) == kills

    def kill(self, kind: str, process: Any, random: Random) -> Any:
        self.kills[kind] += 1
        if kind == "database":
            self.postgres.crash(0.1)
            self.postgres.settle()
        elif kind == "driver":
            process.kill()
            process.communicate()
            return self.begin()
        else:
            until("a worker at work", lambda: self._hit(random))
        return process

    def _hit(self, random: Random) -> bool:
        """Kill one of the workers; False where none is there: they are between two lives."""
        found = self.workers()
        if found:
            with suppress(ProcessLookupError):
                os.kill(random.choice(found), signal.SIGKILL)
                self.kills["hit"] += 1
                return True
        return False

    @property
    def calls(self) -> int:
        """About how many calls it takes."""
        return self.inputs * {"chain": 8, "fan": 10, "loop": 12, "acts": 4}[self.shape]

    def finished(self, *more: str) -> bytes:
        """Let it come to its end, whoever must be asked about acts that were under way."""
        for _ in range(4):
            process = self.begin(*more)
            _, told = process.communicate(timeout=DEADLINE_S)
            if process.returncode == 0:
                return (self.folder / "out.jsonl").read_bytes()
            assert process.returncode == 4, told + self.logs()
            for line in (self.folder / "out.jsonl").read_text().splitlines():
                if json.loads(line)["status"] == "needs_person":
                    self._settle(json.loads(line))
        raise AssertionError("a person was asked again and again")

    def _settle(self, line: dict[str, Any]) -> None:
        """As a person who goes and looks, and says so to ``nlpu resume``."""
        os.environ["NLPU_TEST_ACTS"] = str(self.acts)  # the program is of this process, too
        program = load(f"{self.folder / 'mine.py'}:{self.shape}").function

        def looks(call: ExactCall) -> Any:
            done = self.acts.read_text().splitlines()
            return "done" if json.loads(call.arguments)["what"] in done else "again"

        name = json.loads((self.folder / "in.jsonl").read_text().splitlines()[line["index"]])
        person = ScriptedPerson(settle=looks, approve=bool)
        with Computer(self.server, store=place_of(self.url), person=person) as computer:
            run = computer.resume(line["run"], program, name).wait()
        assert run.status == "done", run.error

    # -- the judge ---------------------------------------------------------------------------

    def judge(self) -> int:
        """Hold what was sent against what was journaled; gives the open calls that were sent again.

        0 journaled calls were sent again: in the order of rows, no attempt follows an outcome. And
        what was sent had been noted before.
        """
        from nlpu.runtime.journal.postgres.store import PostgresStore

        (seat,) = [each for each in journals(place_of(self.url)) if isinstance(each, Seat)]
        attempts = again = 0
        with closing(PostgresStore(seat, read_only=True)) as store:
            for run in store.runs():
                done, begun = set[int](), Counter[int]()
                for row in store.read(run).rows:
                    if row[0] in ("issue", "attempt"):
                        assert row[2] not in done, f"run {run} sent a call that has an outcome"
                        begun[row[2]] += 1
                    elif row[0] in ("result", "failure"):
                        done.add(row[2])
                attempts += begun.total()
                again += begun.total() - len(begun)
        sent = len(self.sent())
        assert sent <= attempts, f"{sent} requests, {attempts} attempts noted"
        wide = {"chain": 1, "fan": 10, "loop": 2, "acts": 1}[self.shape]
        assert again <= 4 * wide * self.kills["hit"], "more than what was open at kills of workers"
        done = Counter(self.acts.read_text().splitlines())
        assert not [what for what, times in done.items() if times > 1], "an effect was repeated"
        assert len(done) == (self.inputs * 4 if self.shape == "acts" else 0)
        return again
