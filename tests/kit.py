"""Small ops and a computer on the scripted engine and the fake clock, for all fast tests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpu import Limits, nlop
from nlpu.runtime import Computer, FakeClock, Run
from nlpu.runtime.journal.witness import SUFFIX
from nlpu.sampling import DEFAULTS, Sampling
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.wire import Reply, Request

PATIENCE_S = 30  # of the test itself: real seconds after which a hanging run is a failure


@nlop
def echo(text: str) -> str:
    """Repeat the text."""


@nlop
def shorten(text: str) -> str:
    """Shorten the text."""


@nlop
def yes(text: str) -> bool:
    """Is it so?"""


@nlop
def count(text: str) -> int:
    """How many are there?"""


@nlop
def merge(left: str, right: str) -> str:
    """Merge the two texts."""


def said(seen: Seen) -> str:
    """The operands, joined: an answer from which one sees what was asked."""
    return "+".join(seen.operands.values()) or "nothing"


def slow(seconds: Callable[[str], float] | float) -> Callable[[Seen], Say]:
    """As ``said``, after seconds that may depend on the first operand."""

    def answer(seen: Seen) -> Say:
        first = next(iter(seen.operands.values()), "")
        return Say(said(seen), seconds=seconds(first) if callable(seconds) else seconds)

    return answer


def computer(engine: Any = None, **settings: Any) -> Computer:
    """A computer on a scripted engine (or a script for one) and a fake clock."""
    several = isinstance(engine, dict) and all(hasattr(item, "send") for item in engine.values())
    if not several and not hasattr(engine, "send"):
        engine = Scripted(said if engine is None else engine)
    settings.setdefault("clock", FakeClock())
    return Computer(engine, **settings)


def finish(run: Run) -> Run:
    """Wait for a run; a hang becomes a failure."""
    return run.wait(PATIENCE_S)


def execute(program: Callable[..., Any], *args: Any, engine: Any = None, **settings: Any) -> Run:
    """One run on a computer of its own, closed again."""
    names = ("budget", "estimates")
    given = {name: settings.pop(name) for name in names if name in settings}
    with computer(engine, **settings) as machine:
        return finish(machine.start(program, *args, **given))


def resumed(
    run_dir: Path,
    run: Run,
    program: Callable[..., Any],
    *args: Any,
    engine: Any = None,
    limits: Limits | None = None,
    person: Any = None,
    **options: Any,
) -> Run:
    """The same run gone on with in a new computer, as after a kill."""
    with computer(engine, run_dir=run_dir, limits=limits or Limits(), person=person) as machine:
        return finish(machine.resume(run.name, program, *args, **options))


def asked(engine: Scripted) -> list[str]:
    """The first operand of every request, in order of arrival."""
    return [next(iter(seen.operands.values()), "") for seen in engine.seen]


def keep(run_dir: Path, grave: Path) -> None:
    """Copy the journals as a kill would leave them.

    A kill stops all at once, a copy goes file by file while the run's own thread may commit: so the
    side record first, as a reader does, since a journal may be ahead of it and never behind.
    """
    grave.mkdir()
    for path in sorted(run_dir.glob("*.db*"), key=lambda path: path.suffix != SUFFIX):
        shutil.copy(path, grave)


def requested(id: str = "r", prompt: Any = (), **wanted: Any) -> Request:
    """A request, its fields of sampling given as keywords, as an op's are."""
    fields = {name: wanted.pop(name) for name in DEFAULTS.keys() & wanted.keys()}
    return Request(id, prompt, Sampling(**fields), **wanted)


class Doomed(Scripted):
    """Keeps what would survive if its process were killed as the ``at``-th request arrives.

    Nothing is written while a request is being sent, so the files are those of that moment.
    """

    def __init__(self, script: Any, run_dir: Path, grave: Path, at: int) -> None:
        super().__init__(script)
        self.run_dir, self.grave, self.at = run_dir, grave, at

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        if len(self.seen) + 1 == self.at:
            keep(self.run_dir, self.grave)
        return await super().send(request, on_text)


class Watching(Scripted):
    """Notes how many requests are here at once, and how many tasks there are in all."""

    here = most = tasks = 0

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.here += 1
        self.most = max(self.most, self.here)
        if len(self.seen) % 100 == 0:
            self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        try:
            return await super().send(request, on_text)
        finally:
            self.here -= 1
