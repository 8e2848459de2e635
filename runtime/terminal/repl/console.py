"""The console: reads lines, has the session carry them out, and carries out the other commands.

Theory of operation
-------------------
The console is on the main thread, the session on the computer's. Lines that change the session go
there; events come back through one queue, and only the console writes to the terminal. All other
commands look at what has settled (``views``), set the gate, or put another session in place of
this one: ``resume`` another run, ``edit`` a new run that comes from this one.

Rules
1. Values go to stdout, what is about them to stderr.
2. A line that fails says why and leaves everything as it was.
3. While a line is held, nothing but looking, ``step``, ``go`` and ``edit`` is possible.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nlpu.errors import Diverged, NlpuError, Usage
from nlpu.lifting import check_text
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run
from nlpu.runtime.journal.places import url_of
from nlpu.runtime.loader import available
from nlpu.runtime.naming import described
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.terminal.download import have_model
from nlpu.runtime.terminal.output import as_text, said, say, say_error
from nlpu.runtime.terminal.repl import views as looks
from nlpu.runtime.terminal.repl.commands import COMMANDS
from nlpu.runtime.terminal.repl.edit import edits_of
from nlpu.runtime.terminal.repl.entries import INTERRUPTED, VALUED
from nlpu.runtime.terminal.repl.folding import writer
from nlpu.runtime.terminal.repl.inspecting import nodes_of, ops_of
from nlpu.runtime.terminal.repl.line_watcher import Events, UnderWay, no_echo, note
from nlpu.runtime.terminal.repl.lines import Line, parse
from nlpu.runtime.terminal.repl.saved import save
from nlpu.runtime.terminal.repl.session import Session
from nlpu.runtime.terminal.repl.state import Settings, State
from nlpu.runtime.terminal.run import interrupt as interrupting
from nlpu.runtime.terminal.run.live import display
from nlpu.runtime.terminal.run.trust import admit
from nlpu.runtime.terminal.show.archive import SESSION, find


class Console(State):
    """One console; its session changes with ``resume`` and ``edit``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.failed = False  # whether any line has
        self.interrupted = False  # whether Ctrl-C stopped one
        self.left = False
        self.programs = tuple(available())
        self.computer = self._new_computer()
        self.session: Session
        self.run: Run
        self.gate = Gate()
        self.held: UnderWay | None = None  # the line that waits at the gate
        self._before: dict[str, str] | None = None  # the values before an edit that is under way
        self._events: Events = SimpleQueue()

    # -- sessions ------------------------------------------------------------------------------

    def begin(self, resume: str | None = None, changed: bool = False) -> None:
        """Begin a session, or go on with the one of that name. Opens the processor."""
        session = self._listening()
        try:
            with no_echo(), display(False) as shown:
                shown.note("opening the processor ...")
                run = (
                    self._started(session)
                    if resume is None
                    else self._resumed(resume, session, changed)
                )
        except KeyboardInterrupt:  # engines that are loading cannot be waited for
            say("interrupted before the session began")
            interrupting.leave(130)
            raise
        self._adopt(session, run)

    def _new_computer(self) -> Computer:
        s = self.settings
        have_model(s.engine, s.model)
        return Computer(
            s.engine,
            model=s.model,
            api_key=s.api_key,
            store=s.run_dir,
            durable=s.durable,
            prices=None if s.price is None else {"main": s.price},
            person=s.person,
        )

    def _started(self, session: Session) -> Run:
        budget, header = self.settings.budget, self._header()
        return self.computer.start(session.session, budget=budget, header=header, gate=self.gate)

    def _resumed(self, name: str, session: Session, changed: bool = False) -> Run:
        budget = self.settings.again
        return self.computer.resume(
            name, session.session, budget=budget, changed=changed, gate=self.gate
        )

    def _header(self) -> dict[str, Any]:
        s = self.settings
        engine = s.engine if isinstance(s.engine, str) else "python"
        can = described(next(iter(self.computer.processors.values())).capabilities)
        facts = {"program": SESSION, "engine": engine, "model": s.model}
        return {**facts, "durable": s.durable, "can": can}

    def _listening(self) -> Session:
        """A session whose events, and no other's, come to this console."""
        events: Events = SimpleQueue()
        self._events = events
        self.gate = Gate(self.gate.breakpoints)
        return Session(lambda kind, what: events.put((kind, what)))

    def _adopt(self, session: Session, run: Run) -> None:
        """Take a session that has begun: it meets its journal, and then it listens."""
        self.session, self.run, self.held, self.left = session, run, None, False
        under_way = self._under_way(session, run, shows=False)
        self._attend(under_way)
        for entry in under_way.take_ended():
            if entry.error:
                self._fail(f"{entry.name}: {entry.error}")

    def _under_way(self, session: Session, run: Run, shows: bool) -> UnderWay:
        return UnderWay(
            session,
            run,
            gate=self.gate,
            events=self._events,
            shows=shows,
            person=self.settings.person,
        )

    def _attend(self, under_way: UnderWay, begin: Callable[[], object] = lambda: None) -> None:
        word = under_way.wait(begin)
        self.held = under_way if word == "held" else None
        if word == "held":
            looks.held(self.gate)
        elif word == "over":
            self.left = True
            if self.run.error is not None:
                raise self.run.error

    def close(self) -> None:
        """Stop the session, resumable, and release the computer."""
        self.computer.close()

    # -- lines -----------------------------------------------------------------------------------

    def do(self, typed: str) -> None:
        """Carry out one line; what is wrong with it is said (rule 2)."""
        if not typed.strip() or typed.startswith("#"):
            return
        try:
            check_text(typed, "the line")
            self._carry_out(parse(typed, self.known))
        except NlpuError as error:
            self._fail(said(error))

    def _fail(self, message: str) -> None:
        self.failed = True
        self.interrupted |= message == INTERRUPTED
        (say if message == INTERRUPTED else say_error)(message)

    def _carry_out(self, line: Line) -> None:
        if line.verb in (*VALUED, "pin", "clear"):
            self._hear(line)
            return
        act: Callable[..., None] | None = getattr(self, f"_{line.verb}", None)
        if act is not None:
            act(*line.words)
        else:
            looks.LOOKS[line.verb](self, *line.words)

    def _hear(self, line: Line) -> None:
        if self.held is not None:
            raise Usage("a line is held: step or go on with it, or stop it with Ctrl-C")
        is_shown = line.verb in ("say", "run") and (self.settings.is_terminal or not line.name)
        under_way = self._under_way(self.session, self.run, is_shown)
        self._go_on(under_way, lambda: self.session.submit(line))

    def stop_held(self) -> None:
        """Ctrl-C at the prompt: stop the line that is held, if one is."""
        if self.held is not None:
            self.session.stop_line()
            self._let_pass(self.gate.go)

    def _go_on(self, under_way: UnderWay, begin: Callable[[], object]) -> None:
        """Attend to a line until it has ended or is held, and tell how it ended."""
        began_s = time.monotonic()
        self._attend(under_way, begin)
        seconds = time.monotonic() - began_s
        for entry in under_way.take_ended():
            if entry.error:
                self._fail(entry.error)
            elif self.settings.is_terminal and entry.value is not None and self._before is None:
                note(entry, seconds)
        self._tell_changes(seconds)

    def _tell_changes(self, seconds: float) -> None:
        """What an edit has changed, as soon as all that depends on it has been made."""
        if self._before is not None and self.held is None:
            before, self._before = self._before, None
            looks.changes(self, before, seconds)

    def _let_pass(self, release: Callable[[], None]) -> None:
        if self.held is None:
            release()
        else:
            self._go_on(self.held, partial(self.held.let_pass, release))

    # -- commands that do more than look -----------------------------------------------------------

    def _show(self, name: str) -> None:
        writer()(as_text(self.session.found(name).content) + "\n")

    def _break(self, op: str = "") -> None:
        points = self.gate.breakpoints
        if op:
            points ^= {op}
        if op in points and op not in ops_of(self):
            say(f"no op called {op} is known yet")
        say(f"breakpoints: {', '.join(sorted(points)) or 'none'}")

    def _step(self, which: str = "") -> None:
        if self.held is None:
            self.gate.stopped = True
            say("the next call will be held; go lets all pass again")
            return
        self._let_pass(lambda: self.gate.step(None if which else 1))

    def _go(self) -> None:
        self._let_pass(self.gate.go)

    def _edit(self, what: str, text: str | None = None) -> None:
        """A new run that comes from this one, with this one's journal and name."""
        edits = edits_of(self, what, text)
        before = {entry.name: as_text(entry.content) for entry in self.session.entries}
        old_run, began_s = self.run.name, time.monotonic()
        self.run.stop()
        try:
            session = self._listening()
            run = self.computer.rerun(
                old_run,
                session.session,
                edits=edits,
                budget=self.settings.budget,
                header=self._header(),
                gate=self.gate,
            )
            self._adopt(session, run)
        except NlpuError:
            self._adopt(session := self._listening(), self._resumed(old_run, session))
            raise
        self._before = before
        if self.held is not None:
            say(f"session {self.run.name}: calls that depend on it are held: step, or go")
        self._tell_changes(time.monotonic() - began_s)

    def _resume(self, name: str) -> None:
        record = find(self.settings.run_dir, name)
        if record.name == self.run.name:
            raise Usage(f"{record.name} is this session")
        if record.program != SESSION:  # a process of its own: another journal, another engine
            words = ["resume", record.name]
            named = {**os.environ, "NLPU_RUN_DIR": url_of(self.settings.run_dir)}
            subprocess.run(
                [sys.executable, "-m", "nlpu.runtime.terminal", *words], env=named, check=False
            )
            return
        admit(record, names_engine=True)
        old_run = self.run.name
        try:
            self._move_to(record.name)
        except NlpuError as error:
            self._move_to(old_run)
            if isinstance(error, Diverged):
                raise Usage(
                    f"{record.name} differs from what it was ({error}); nlpu repl --resume "
                    f"{record.name} --changed goes on with it all the same"
                ) from None
            raise
        looks.welcome(self)

    def _move_to(self, name: str) -> None:
        self.close()
        self.computer = self._new_computer()
        self.begin(name)

    def _save(self, file: str) -> None:
        save(self.session, self.run.name, Path(file))
        say(f"saved; to run it: nlpu run {file}:session")

    def _quit(self) -> None:
        self.left = True

    # -- what there is -----------------------------------------------------------------------------

    def known(self, kind: str) -> Collection[str]:
        """The words of a kind that mean something now, for parsing and completion."""
        if kind.startswith("@"):
            return [kind[1:]] if os.path.isfile(kind[1:]) else []  # Path.is_file raises for some
        if kind == "VALUE":
            return [name for name, entry in self.session.names.items() if not entry.error]
        if kind in ("OP", "NAME"):  # each line is its own text: there is no other to give it
            return [op for op in ops_of(self) if kind == "NAME" or op != "say"]
        if kind == "POSITION":
            return nodes_of(self)
        if kind == "RUN":
            return looks.runs_of(self)
        return {"PROGRAM": self.programs, "COMMAND": list(COMMANDS), "all": ["all"]}.get(kind, [])
