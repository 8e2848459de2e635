"""The session: a journaled program that hears lines and carries them out.

Theory of operation
-------------------
A session is one run. Its program hears a line from outside, carries it out in a nested scope,
and hears the next. What it heard and what its calls gave is in the journal, so after a kill the
program runs again, meets all of it there without a call, and goes on listening where it stopped:
values, names and context are what they were.

    main/0    the first line, as heard          main/1/0   how it ended: its error, or ""
    main/1    a scope for what it does          main/1/...  files it read, the call or the program
    main/2    the second line ...

The console is on another thread. It gives lines and reads what has settled; it hears of events
through ``tell``: "ready" (listening; all of the journal has been met), "text" (a piece of an
answer), "done" (an entry that came to its end now), "over" (the run has ended).

Rules
1. Only what changes the session is heard: lines that bind, call, pin or clear. Looking is not.
2. A line that was stopped or failed stays so on every resume: its end is noted at the position
   that its scope begins with, and then nothing of it is issued again. An edited run tries what
   failed again: the edit may have mended it.
3. Each line is a scope of its own: the label of what it read does not lower the next one's.
4. A line that succeeded in a former life, or cannot even begin again (its program is missing),
   is not noted as failed: the resume ends, and the journal stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlpu.errors import Cancelled, Diverged, NlpuError, Usage
from nlpu.runtime.executor.builtins import Place, heard
from nlpu.runtime.graph.node import Node, current_scope
from nlpu.runtime.graph.spawning import spawn
from nlpu.runtime.journal.own import Told
from nlpu.runtime.loader import Program, digest_of, file_of, load
from nlpu.runtime.run import RunState
from nlpu.runtime.terminal.inputs import read_file
from nlpu.runtime.terminal.output import as_text, said, tell_traceback
from nlpu.runtime.terminal.repl import actions as acts
from nlpu.runtime.terminal.repl.context import Context
from nlpu.runtime.terminal.repl.entries import INTERRUPTED, VALUED, Entry, File, operand_name
from nlpu.runtime.terminal.repl.lines import Line, instruction, references
from nlpu.runtime.terminal.show.archive import SESSION
from nlpu.value import Value

Tell = Callable[[str, Any], None]


class Session:
    """One session. Its program runs on the loop thread; the console reads it between lines."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.entries: list[Entry] = []
        self.names: dict[str, Entry] = {}
        self.state: RunState | None = None
        self.context: Context | None = None
        self.pieces = 0
        self._now: Value[Any] | None = None  # what the line under way waits for
        self._streams = False
        self._unmet: Diverged | None = None  # rule 4
        self._lines: asyncio.Queue[list[Any]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # its run's

    # -- for the console ---------------------------------------------------------------------

    def submit(self, line: Line) -> None:
        """Give it the next line."""
        lines = self._lines
        assert self._loop is not None and lines is not None  # it said that it is ready
        words = list(line.words)
        if line.verb == "run" and ".py" in words[0]:  # a later life may be in another directory
            words[0] = str(Path(words[0]).absolute())
        heard_line = [line.typed, line.name, line.verb, *words]
        self._loop.call_soon_threadsafe(lines.put_nowait, heard_line)

    def stop_line(self) -> None:
        """Cancel what the line under way waits for."""
        self.post(self._cancel)

    def post(self, step: Callable[[], None]) -> None:
        """Do something on the loop, after all that was posted before."""
        if self.state is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self.state.ports.outside.on_hub, step)

    def _cancel(self) -> None:
        if isinstance(self._now, Node) and self.state is not None:
            self.state.ports.graph.cancel(self._now)
            self.state.ports.outside.soon()

    def found(self, name: str) -> Entry:
        """The value of a name. Raises Usage."""
        entry = self.names.get(name)
        if entry is None or entry.error:
            raise Usage(f"there is no value {name}")
        return entry

    # -- the program -------------------------------------------------------------------------

    async def session(self) -> dict[str, Any]:
        """Hear lines until the run is stopped; a replay ends with the values, at the last line."""
        scope = current_scope()
        assert scope is not None
        state, self._loop = scope.run, asyncio.get_running_loop()
        self.state = state
        state.ports.calls.listen(state, self._piece)
        state.on_end.append(lambda: self.tell("over", None))
        self._lines = asyncio.Queue()
        self.context = Context(state.processor(None), self.names)
        told = Told(state.header)
        while True:
            place = Place()
            if place.heard is None and state.replay.only:
                return {name: entry.content for name, entry in self.names.items()}
            typed, name, verb, *words = place.heard or place.note(await self._next())
            again, over = place.position in state.replay.past.clocks, asyncio.Event()
            self._mark(told, place, again)
            spawn(self.line, Line(typed, name, verb, tuple(words)), again, over)
            await over.wait()  # not for the Value: what the line read must not lower this scope
            if self._unmet is not None:
                raise self._unmet

    def _mark(self, told: Told, place: Place, again: bool) -> None:
        """Note whose line it is and what it runs (``journal.own``), together with the line."""
        state, at = place.scope.run, place.position
        if again:
            told.add(at, place.heard, state.replay.past.marks.get(at, ("", ""))[0])
            return
        _, _, verb, *words = place.heard
        path = file_of(words[0]) if verb == "run" else None
        file = ""
        with suppress(Usage):  # loading it will say so
            file = "" if path is None else digest_of(path)
        told.add(at, place.heard, file)
        state.history.mark(at, file, told.mark())

    async def _next(self) -> list[Any]:
        assert self._lines is not None
        self.tell("ready", None)
        return await self._lines.get()

    async def line(self, line: Line, again: bool, over: asyncio.Event) -> None:
        """One line, in a scope of its own. ``again``: a former life of this run heard it."""
        entry = Entry(len(self.entries) + 1, line)
        if line.verb in VALUED:
            self.entries.append(entry)
        end = Place(inherits=lambda noted: bool(noted == INTERRUPTED))  # rule 2
        had_failed = bool(end.heard)
        entry.error = end.heard or ""
        try:
            if not had_failed:
                await self._carry_out(entry)
                if end.heard is None:
                    end.note("")
        except NlpuError as error:
            entry.error = INTERRUPTED if isinstance(error, Cancelled) else said(error)
            if not isinstance(error, Cancelled):
                tell_traceback(error)
            self._failed(entry, end, again)
        finally:
            self._now = None
            if not had_failed:
                self.tell("done", entry)
            over.set()

    def _failed(self, entry: Entry, end: Place, again: bool) -> None:
        """Note how a line failed, unless that tells nothing of it (rule 4)."""
        state, could_begin = end.scope.run, entry.value is not None or entry.line.verb not in VALUED
        if end.heard is None and (could_begin or not again):
            if state.doom is None:  # its program differs from the journal: the run is to end
                end.note(entry.error)
        elif not state.replay.changed:
            self._unmet = Diverged(
                f"{entry.name} ({entry.line.typed}) cannot be met again: {entry.error}. The "
                "session is as it was: mend that and resume it, or go without the line: --changed"
            )

    async def _carry_out(self, entry: Entry) -> None:
        line = entry.line
        if line.verb == "clear":
            self._open.clear()
        elif line.verb == "pin":
            self._open.pin(self.found(line.words[0]))
        else:
            self._now = await self._issued(entry)
            entry.value = self._now
            entry.content = await self._now
            self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        """Name the value; what a model said goes into the context."""
        for name in filter(None, (entry.name, entry.line.name)):
            self.names[name] = entry
        if entry.line.verb in ("say", "run"):
            self._open.add(entry)

    # -- what a line issues --------------------------------------------------------------------

    async def _issued(self, entry: Entry) -> Value[Any]:
        line = entry.line
        self._streams = line.verb == "say"
        if line.verb == "text":
            return Value(line.words[0])
        if line.verb == "take":
            return await self._read(entry, line.words[0])
        if line.verb == "run":
            return await self._run(entry, line.words)
        return await self._say(entry, line.words[0])

    async def _say(self, entry: Entry, text: str) -> Value[str]:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        for reference in references(text):
            name = names[reference] = operand_name(reference, values)
            values[name] = acts.as_operand(await self._read(entry, reference, name))
        named = {self.names[each].name for each in names if each[0] != "@"}
        context, entry.parts = self._open.without(named)
        told = instruction(text, names)
        entry.sent = told if acts.has_chats() else ""
        return acts.say(told, context, **values)

    async def _run(self, entry: Entry, words: tuple[str, ...]) -> Value[Any]:
        spec, *rest = words
        args: list[str | acts.Given] = []
        named: dict[str, acts.Given] = {}
        for word in rest:
            name, sign, right = word.rpartition("=")
            if right[:1] + right[-1:] != "{}":
                args.append(word)
                continue
            given = acts.Given(as_text(await (await self._read(entry, right[1:-1]))))
            if sign:
                named[name] = given
            else:
                args.append(given)
        self._streams = load(spec).streams
        return acts.run(spec, *args, **named)

    async def _read(self, entry: Entry, reference: str, name: str = "") -> Value[Any]:
        """What a reference means now, which the entry remembers."""

        async def text() -> str:
            return read_file(Path(reference[1:]))

        is_file = reference.startswith("@")
        source = File(reference[1:], await heard(text)) if is_file else self.found(reference)
        entry.operands[name or reference] = source
        assert source.value is not None  # it has no error
        return source.value

    @property
    def _open(self) -> Context:
        assert self.context is not None
        return self.context

    def _piece(self, node: Node, piece: str) -> None:
        self.pieces += 1
        if self._streams and node.call_cost is not None and node.call_cost.attempts == 1:
            self.tell("text", piece)


def session_program() -> Program:
    """The program of every session, for a replay."""
    return Program(SESSION, Session(lambda kind, what: None).session, False)
