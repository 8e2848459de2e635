"""A line under way, as the console sees it: its text or its counts, Ctrl-C, and how it ended.

Rules
1. Ctrl-C stops the line and keeps the session; a second one leaves at once, and the journal keeps
   the session all the same. A program that is busy in Python cannot be stopped: that is said.
2. The console has the word again when the session listens or has ended, or when every call of the
   line that could be under way is held.
"""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from queue import Empty, SimpleQueue
from typing import Any, Literal

from nlpu.runtime.graph.usage import Counts
from nlpu.runtime.handle import Run
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.terminal.output import as_text, console, one_line, say
from nlpu.runtime.terminal.repl.entries import Entry
from nlpu.runtime.terminal.repl.folding import writer
from nlpu.runtime.terminal.repl.session import Session
from nlpu.runtime.terminal.run import interrupt as interrupting
from nlpu.runtime.terminal.run.live import Plain, display
from nlpu.runtime.terminal.run.person import TerminalPerson
from nlpu.runtime.terminal.run.streaming import Streamer

Events = SimpleQueue[tuple[str, Any]]
Word = Literal["ready", "over", "held"]
_TICK_S = 0.05
_STOP_S = 1.0  # after which a line that goes on is said to
_QUIET_S = 0.4  # without text, after which counts are shown


class UnderWay:
    """What was begun in a session, until it listens again. ``shows``: the value goes to stdout."""

    def __init__(
        self,
        session: Session,
        run: Run,
        gate: Gate,
        events: Events,
        shows: bool,
        person: TerminalPerson | None = None,
    ) -> None:
        self.session, self.run, self.gate, self._person = session, run, gate, person
        self.ended: list[Entry] = []
        self._events = events
        self._streamer = Streamer(shows, writer())
        self._before = replace(run.counts)
        self._began_s = time.monotonic()
        self._stopping = False
        self._overdue_s = float("inf")  # when a stopped line should have ended
        self._passing = False  # calls have been let pass, and may not have passed yet

    def let_pass(self, release: Callable[[], None]) -> None:
        """Have the gate let calls pass; until it has, what it held says nothing."""
        self._passing = True
        release()
        self.session.post(lambda: self._events.put(("passed", None)))

    def take_ended(self) -> list[Entry]:
        """The lines that have ended since this was last asked."""
        ended, self.ended = self.ended, []
        return ended

    def wait(self, begin: Callable[[], object] = lambda: None) -> Word:
        """Begin, wait, show, and say who has the word (rule 2).

        A second Ctrl-C has to end the process from the beginning on: C code in what is begun may
        let no Python run, and the step that prepares for it is Python's.
        """
        with no_echo(), interrupting.Told(lambda: self._events.put(("interrupt", None))):
            begin()
            return self._wait()

    def _wait(self) -> Word:
        shown: Plain | None = None
        try:
            while True:
                kind, what = self._next()
                self._be_asked(shown)
                if shown is not None and self._streamer.shows and kind in ("text", "done"):
                    shown.__exit__()  # what is drawn gives way to what is written
                    shown = None
                word = self._took(kind, what)
                if word is not None:
                    return word
                self._remind()
                if shown is None and self._is_quiet():
                    shown = display(False).__enter__()
                if shown is not None:
                    counts = _since(self._before, self.run.counts)
                    shown.update(counts, self.session.pieces)
        finally:
            if shown is not None:
                shown.__exit__()

    def _be_asked(self, shown: Plain | None) -> None:
        """Let the person answer what a program asks, with what is drawn out of the way."""

        @contextmanager
        def aside() -> Iterator[None]:
            with shown.aside() if shown is not None else nullcontext(), _echo(True):
                yield

        if self._person is not None:
            self._person.attend(aside)

    def _next(self) -> tuple[str, Any]:
        try:
            return self._events.get(timeout=_TICK_S)
        except Empty:
            with suppress(TimeoutError):
                self.run.wait(0)  # raises why a run could not even begin
                return "over", None
            return "", None

    def _is_quiet(self) -> bool:
        return not self._streamer.shown and time.monotonic() - self._began_s > _QUIET_S

    def _took(self, kind: str, what: Any) -> Word | None:
        if kind == "interrupt":
            self._interrupted()
        if kind in ("ready", "over"):
            return "over" if kind == "over" else "ready"
        if kind == "text":
            self._streamer.take(what)
        elif kind == "done":
            self.ended.append(what)
            self._told(what)
        elif kind == "passed":
            self._passing = False
        if self._passing:
            return None
        held, counts = self.gate.held(), self.run.counts
        all_held = held and counts.in_flight == 0 and counts.waiting == len(held)
        return "held" if all_held else None

    def _told(self, entry: Entry) -> None:
        if entry.error:
            self._streamer.abandon()
        elif self._streamer.shows and entry.value is not None:
            self._streamer.finish(as_text(entry.content))

    def _interrupted(self) -> None:
        if self._stopping:
            say(f"left; to go on with the session: nlpu repl --resume {self.run.name}")
            interrupting.leave(130)
        self._stopping = True
        self._overdue_s = time.monotonic() + _STOP_S
        self.session.stop_line()
        self.let_pass(self.gate.go)

    def _remind(self) -> None:
        if time.monotonic() > self._overdue_s:
            self._overdue_s = float("inf")
            say("the program is busy in Python and stops when it waits; Ctrl-C again leaves")


def no_echo() -> AbstractContextManager[None]:
    """What is typed ahead waits for the next prompt and does not stand in the answer."""
    return _echo(False)


@contextmanager
def _echo(on: bool) -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    other = termios.tcgetattr(terminal)
    other[3] = other[3] | termios.ECHO if on else other[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, other)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _since(before: Counts, now: Counts) -> Counts:
    """What was counted since, and what is under way now, which a resume may have issued before."""
    gone = {
        field.name: getattr(now, field.name) - getattr(before, field.name)
        for field in fields(Counts)
    }
    here = {"waiting": now.waiting, "in_flight": now.in_flight}
    return Counts(**{**gone, **here, "issued": max(gone["issued"], sum(here.values()))})


def note(entry: Entry, seconds: float) -> None:
    """One dim line on stderr: what a value took, or how it begins if it took nothing."""
    told = _cost(entry, seconds)
    if entry.line.verb not in ("say", "run"):
        text = as_text(entry.content)
        told = f"{entry.line.name}: {len(text):,} characters: {one_line(text, 40)}"
    console(to_stderr=True).print(one_line(told, 79), style="dim")


def taken_s(entry: Entry) -> float | None:
    """From the first sending of a call of its own to the last answer; None if it made none."""
    costs = [call.call_cost for call in entry.calls() if call.call_cost is not None]
    sent = [(cost.start_s + cost.queue_s, cost.service_s) for cost in costs if cost.how == "made"]
    return max(at + took for at, took in sent) - min(at for at, _ in sent) if sent else None


def _cost(entry: Entry, seconds: float) -> str:
    costs = [call.call_cost for call in entry.calls() if call.call_cost is not None]
    made = [cost for cost in costs if cost.how == "made"]
    parts = [f"{len(made)} calls"] if len(costs) != 1 else []
    if len(made) < len(costs):
        parts.append(f"{len(costs) - len(made)} known already")
    parts.append(
        f"{sum(cost.prompt_tokens for cost in made)} tokens in, "
        f"{sum(cost.completion_tokens for cost in made)} out, {seconds:.1f} s"
    )
    return f"{entry.name}: {', '.join(parts)}"
