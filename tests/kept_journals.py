"""Runs whose journals an earlier version left behind (``data/journals``), and how they were made.

``python kept_journals.py FOLDER`` makes such journals with the version at hand; those that are kept
are never made again. Each is one file with what lay beside it, of one computer.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import count, echo, finish, keep, said, shorten, yes

from nlpu import Limits, lift
from nlpu.errors import DriverFailed, ModelError, NeedsPerson, ServerFault
from nlpu.label import USER
from nlpu.prompt.convention import SECOND
from nlpu.runtime import Budget, Computer, FakeClock, first, now, random, spawn
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.journal.edits import Edits
from nlpu.testing.scripted import Say, Scripted, Seen

FOLDER = Path(__file__).parent / "data" / "journals"
SENT: list[str] = []  # letters
DIES: list[Callable[[], object]] = []  # what happens when a letter is on its way


@driver(effect="external", roles={"body": "content"}, brings=USER)
def send(to: str, body: str) -> bool:
    """Send a letter."""
    SENT.append(body)
    if DIES:
        DIES.pop()()
    if body == "lost":
        raise OSError("no post today")
    return True


@driver(effect="read", brings=USER)
def look(what: str) -> str:
    """Look something up."""
    return f"about {what}"


def calls() -> Any:
    return echo(shorten("a\u2028\u00fc")).value, [*map(str, echo.map(["b", "c", "d"]))]


def shared() -> Any:
    return [str(each) for each in (echo("x"), echo("x"), echo(echo("x")))]


def model_fails() -> Any:
    try:
        return count("many").value
    except ModelError as error:
        return [type(error).__name__, str(echo("instead"))]


def host_fails() -> Any:
    return [str(echo("before")), str(shorten("broken"))]


def asked_again() -> Any:
    return yes("sure?").value


def effects() -> Any:
    seen = str(look("tides"))
    gone = send("ann", "hello").value
    try:
        send("ben", "lost").value  # noqa: B018  (it is waited for)
    except DriverFailed:
        return [seen, gone, str(echo("failed"))]


def lifts() -> Any:
    return lift(len)(echo.map(["a", "b"])).value


def picks() -> Any:
    return str(first(echo("slow"), echo("quick")))


def clocks() -> Any:
    return str(echo(f"{now().isoformat()} {random().random()}"))


def chain() -> Any:
    return str(shorten(echo("draft")))


def inner(text: str) -> Any:
    return shorten(echo(text))


def nested() -> Any:
    return [str(each) for each in [spawn(inner, "one"), spawn(inner, "two")]]


def long() -> Any:
    text = "t"
    for n in range(6):
        text = str(echo(f"{text}{n}"))
    return text


def letter() -> Any:
    sent = send("cyd", echo("news")).value
    return str(shorten(f"{sent}"))


def script(seen: Seen) -> Any:
    """What the model of all these runs says."""
    text = next(iter(seen.operands.values()), "")
    if "How many" in seen.instruction:
        return "lots"
    if "Is it so" in seen.instruction:
        return "yes" if seen.again else "perhaps"
    return Say(said(seen), seconds=9.0 if text == "slow" else 1.0)


def broken(seen: Seen) -> Any:
    """As ``script``, on a day when one thing fails."""
    return ServerFault("down") if "broken" in seen.operands.values() else script(seen)


@dataclass(frozen=True)
class Kept:
    """One journal: its runs' programs, and what becomes of each when it is gone on with.

    asks: what is asked of the model then. fails: a word of the error of a replay. at: the request
    before whose sending the process died; -1: while its letter was on its way. A result that is an
    error's class is what it ends with.
    """

    name: str
    program: Callable[[], Any]
    result: Any
    asks: tuple[str, ...] = ()
    fails: str = ""
    at: int = 0
    budget: Budget = Budget()  # noqa: RUF009  (it is frozen)
    run: int = 1
    file: str = ""
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def stem(self) -> str:
        """The name of its journal."""
        return self.file or self.name

    @property
    def id(self) -> str:
        """The name of the run."""
        return self.stem if self.run == 1 else f"{self.stem}.{self.run}"


CUT = "not finish"
KEPT = [
    Kept("calls", calls, ("a\u2028\u00fc", ["b", "c", "d"])),
    Kept("second", shared, ["x"] * 3, run=2, file="calls"),
    Kept("model", model_fails, ["Malformed", "instead"]),
    Kept("host", host_fails, ["before", "broken"], ("broken",), "down"),
    Kept("again", asked_again, True),
    Kept("effects", effects, ["about tides", True, "failed"]),
    Kept("lifts", lifts, 2),
    Kept("picks", picks, "quick"),
    Kept("clocks", clocks, "2001-09-09T01:46:40+00:00 0.003817352500340321"),
    Kept("chain", chain, "draft"),
    Kept("edited", chain, "word", run=2, file="chain"),
    Kept("nested", nested, ["one", "two"]),
    Kept("killed", long, "t012345", ("t0123", "t01234", "t012345"), CUT, at=4),
    Kept("fleet", nested, ["one", "two"], ("one", "two"), CUT, at=3),
    Kept("letter", letter, "True", ("True",), CUT, at=2),
    Kept("halfway", letter, NeedsPerson, (), CUT, at=-1),
    Kept("budget", long, "t012345", ("t0123", "t01234", "t012345"), CUT, budget=Budget(calls=3)),
    Kept("spoken", chain, "draft", settings=(("system", "Be kind."), ("convention", SECOND))),
]


class Mortal(Scripted):
    """Keeps what a kill would leave when the ``at``-th request arrives."""

    at, home, grave = 0, Path(), Path()

    async def send(self, request: Any, on_text: Any = None) -> Any:
        if len(self.seen) + 1 == self.at:
            keep(self.home, self.grave)
        return await super().send(request, on_text)


def machine(engine: Any, run_dir: Path, **settings: Any) -> Computer:
    """A computer that gives up soon."""
    limits = Limits(patience_s=0.0)
    return Computer(engine, run_dir=run_dir, clock=FakeClock(), limits=limits, **settings)


def make(kept: Kept, folder: Path) -> None:
    """Run it, and leave its journal in the folder, under its name."""
    with tempfile.TemporaryDirectory() as place:
        home, grave = Path(place, "home"), Path(place, "grave")
        engine = Mortal(broken if kept.name == "host" else script)
        engine.at, engine.home, engine.grave = kept.at, home, grave
        if kept.at < 0:
            DIES.append(lambda: keep(home, grave))
        if kept.run > 1:  # into the file of the first
            shutil.copytree(folder, home)
        with machine(engine, home, **dict(kept.settings)) as computer:
            if kept.name == "edited":
                edits = Edits(results={"main/0": "word"})
                run = finish(computer.rerun(kept.file, kept.program, edits=edits))
            elif kept.run > 1:
                computer._station.open(kept.file)
                run = finish(computer.start(kept.program))
            else:
                run = finish(computer.start(kept.program, budget=kept.budget))
        print(kept.name, run.status, repr(run._begun.result), run.error)
        for path in (grave if kept.at else home).glob(f"{run.name.partition('.')[0]}.*"):
            if not path.name.endswith((".lock", ".db-shm")):
                shutil.copy(path, folder / f"{kept.stem}{path.name[path.name.index('.') :]}")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    for each in KEPT:
        make(each, Path(sys.argv[1]))
