"""The REPL in a real terminal: what a person sees, types and presses."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pyte
import pytest
from terminal_fixture import COMMAND, environment

from nlpu.runtime.terminal.repl.commands import COMMANDS

PATIENCE_S = 20
WORKER = str(Path(__file__).parents[1] / "repl_worker.py")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
UP, CTRL_C, CTRL_D = "\x1b[A", "\x03", "\x04"


class Screen:
    """A terminal with a REPL in it, as a person sees it. ``raw``: all that was written to it."""

    def __init__(self, cwd: Path, command: list[str], **env: str) -> None:
        given = environment(TERM="xterm", **env)
        self.child = pexpect.spawn(
            command[0], command[1:], cwd=str(cwd), env=given, dimensions=(24, 80), encoding="utf-8"
        )
        self.screen = pyte.HistoryScreen(80, 24, history=10_000)
        self.screen.write_process_input = self.child.send  # its answers to what it is asked
        self._stream = pyte.Stream(self.screen)
        self._from = 0
        self.raw = ""

    def lines(self) -> list[str]:
        """What can be seen, with what has scrolled away, from the last pressed keys on."""
        above = [
            "".join(line[x].data for x in range(self.screen.columns))
            for line in self.screen.history.top
        ]
        return [line.rstrip() for line in [*above, *self.screen.display]][self._from :]

    @property
    def _row(self) -> int:
        return len(self.screen.history.top) + self.screen.cursor.y

    def _shows(self, texts: tuple[str, ...]) -> bool:
        """Whether the texts are there in this order; one that ends in > is the empty prompt."""
        if texts[-1].endswith(">"):
            here = self.screen.display[self.screen.cursor.y].rstrip()
            if here != texts[-1] or self._row == self._from:
                return False
        return _in_order("\n".join(self.lines()), texts)

    def expect(self, *texts: str) -> None:
        """Wait until these texts are to be seen."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._shows(texts):
            assert time.monotonic() < deadline and self.child.isalive(), (texts, self.lines())
            with suppress(pexpect.TIMEOUT, pexpect.EOF):
                self.feed(self.child.read_nonblocking(65536, timeout=1))

    def has_shown(self, pattern: str) -> None:
        """Wait until something was written: what stands there for a moment may not be met."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.raw):
            assert time.monotonic() < deadline and self.child.isalive(), (pattern, self.raw[-2000:])
            with suppress(pexpect.TIMEOUT, pexpect.EOF):
                self.feed(self.child.read_nonblocking(65536, timeout=1))

    def feed(self, data: str) -> None:
        self.raw += data
        self._stream.feed(data)

    def keys(self, keys: str, *expected: str) -> None:
        """Keys as they are pressed; then these texts are to be seen."""
        self._from = self._row
        self.child.send(keys)
        if expected:
            self.expect(*expected)

    def type(self, line: str, *expected: str) -> None:
        """A line and Enter; then these texts come."""
        self.keys(line + "\r", *expected)

    def clears(self, prompt: str) -> None:
        """Ctrl-C on a line that was begun; then its prompt is to be seen anew, below.

        The cursor is no measure: it may be in a menu under the line, which is being drawn.
        """
        self._from = 0
        self._from = max(n for n, line in enumerate(self.lines()) if line.startswith(prompt))
        self.child.send(CTRL_C)
        self.expect(prompt)

    def ends(self, status: int | None = 0) -> None:
        self.feed(self.child.read())
        self.child.close()
        assert self.child.exitstatus == status, self.lines()


def _in_order(text: str, parts: tuple[str, ...]) -> bool:
    place = 0
    for part in parts:
        place = text.find(part, place) + len(part)
        if place < len(part):
            return False
    return True


Opened = Callable[..., Screen]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Opened]:
    """Opens terminals, and leaves no process behind."""
    screens: list[Screen] = []

    def opener(*words: str, worker: bool = False, **env: str) -> Screen:
        repl = [sys.executable, WORKER, "runs"] if worker else [*COMMAND, "repl"]
        screens.append(Screen(tmp_path, [*repl, *words], **env))
        return screens[-1]

    yield opener
    for opened in screens:
        opened.child.close(force=True)


SCRIPTED = ("--engine", "scripted")


SENDING = """
from pathlib import Path
from nlpu.runtime import driver

@driver(effect="read")
def fetch() -> str:
    'Fetch a name.'
    return "eve"

@driver(effect="external")
def send(to: str) -> bool:
    'Send a letter.'
    Path("sent.txt").write_text(to)
    return True

def letter():
    return send(fetch())
"""


def test_a_program_asks_the_person_at_the_console(screen: Opened, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(SENDING)
    on = screen(*SCRIPTED)
    on.type("run p.py:letter", 'to = "eve"', "approve of exactly this call? [y/N]")
    on.type("n", "was refused", "_2>")
    assert not (tmp_path / "sent.txt").exists()
    on.type("run p.py:letter", "approve of exactly this call? [y/N]")
    on.type("y", "_3>")
    assert (tmp_path / "sent.txt").read_text() == "eve"


def test_every_command_in_a_terminal_of_80_columns(screen: Opened, tmp_path: Path) -> None:
    on = screen(*SCRIPTED, NO_COLOR="1")
    (tmp_path / "a.txt").write_text("from a file")
    on.expect("session ", "on scripted", "_1>")
    lines = {
        "What is a loom?": ["river found", "_1: ", "tokens in", "_2>"],
        "x = Shorten _": ["_2: ", "_3>"],
        "file = @a.txt": ["file: 11 characters: from a file", "_4>"],
        "run ask {file}": ["_4: ", "_5>"],
        "{file}": ["from a file", "_5>"],
        "ops": ["summarize", "_5>"],
        "mem": ["_5>"],
        "pin x": ["_5>"],
        "ctx": ["pinned", "working", "_5>"],
        "graph": ["Shorten _", "_5>"],
        "graph _4": ["reply", "_5>"],
        "cost": ["3 calls", "_5>"],
        "runs": ["repl", "running", "_5>"],
        "inspect x": ["user", "say at", "Shorten _1", "_5>"],
        "help": ["quit", "_5>"],
        "break say": ["breakpoints: say", "_5>"],
        "Held?": ["held: say at main/11/7: Held?", "held>"],
        "inspect main/11/7": ["Held?", "<|answer|>", "held>"],
        "step": ["_5: ", "_6>"],
        "break  say": ["breakpoints: none", "_6>"],
        "go": ["_6>"],
        "edit _1 It weaves.": ["changed: _1, _2", "_6>"],
        "clear": ["_6>"],
        "save s.py": ["nlpu run s.py:session", "_6>"],
        "resume nothing": ["'nothing' is no run", "_6>"],
        "quit": ["nlpu repl --resume"],
    }
    for line, expected in lines.items():
        on.type(line, *expected)
    on.ends()
    assert set(COMMANDS) <= {line.split()[0] for line in lines}
    assert not COLOUR.search(on.raw), "NO_COLOR"
    assert "Traceback" not in on.raw and (tmp_path / "s.py").read_text().startswith('"""')


@pytest.mark.slow
def test_tab_completes_what_fits_there(screen: Opened, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        "from typing import Literal\n"
        "def go(text: str, how: Literal['up', 'down'] = 'up', loud: bool = False):\n"
        "    return text\n"
    )
    (tmp_path / "notes.txt").write_text("a note")
    on = screen(*SCRIPTED)
    on.expect("_1>")
    for typed, completed in {
        "ins\t": "inspect",
        "run summ\t": "summarize_book",
        "run p.py:go l\t": "loud=",
        "run p.py:go how=d\t": "how=down",
        "run p.py:go loud=y\t": "loud=yes",
        "break find\t": "find_evidence",
        "help ste\t": "step",
        "/gra\t": "/graph",
        "Read @no\t": "notes.txt",
    }.items():
        on.keys(typed, completed)
        on.clears("_1>")
    on.type("essay = 'some text'", "_2>")
    on.keys("Shorten {es\t", "{essay}")
    on.clears("_2>")
    on.keys("inspect e\t", "essay")
    on.type("", "some text", "_2>")
    on.keys(CTRL_D)
    on.ends()


@pytest.mark.slow
def test_the_toolbar_says_what_a_line_will_do(screen: Opened) -> None:
    on = screen(*SCRIPTED)
    on.expect("_1>")
    for typed, told in {
        "tell of it": "a call",
        "run through it": "no program",
        "graph": "command: graph [VALUE]",
        "x = hello": "bound to x",
        "Use _9": "there is no value _9",
        "/opps": "did you mean ops?",
    }.items():
        on.keys(typed, told)
        on.keys(CTRL_C, "_1>")
    on.keys(CTRL_D)
    on.ends()


@pytest.mark.slow
def test_ctrl_c_stops_a_stream_and_keeps_the_session(screen: Opened) -> None:
    on = screen(worker=True)
    on.expect("_1>")
    on.type("One", "_2>")
    on.type("Hang", "It begins so")
    on.keys(CTRL_C, "interrupted", "_3>")
    on.type("Three", "_4>")
    on.type("graph", "One", "Hang", "failed", "Three", "_4>")
    on.type("Hang", "It begins so")
    on.child.kill(signal.SIGKILL)
    on.ends(None)
    (run,) = (path.stem for path in (Path(str(on.child.cwd)) / "runs").glob("*.db"))
    again = screen(run, worker=True)  # the call under way at the kill is carried out again
    again.expect("1 call in flight")
    again.keys(CTRL_C, "4 values; 2 calls known", "_5>")
    again.keys(CTRL_D)
    again.ends()


@pytest.mark.slow
def test_the_counts_of_a_resume_go_on_while_text_comes(screen: Opened, tmp_path: Path) -> None:
    on = screen(worker=True)
    on.expect("_1>")
    on.type("Drip", "drop drop")
    on.child.kill(signal.SIGKILL)
    on.ends(None)
    (run,) = (path.stem for path in (tmp_path / "runs").glob("*.db"))
    again = screen(run, worker=True)
    again.has_shown("0:00:0[1-9]")
    again.keys(CTRL_C, "interrupted", "_2>")
    again.keys(CTRL_D)
    again.ends()


@pytest.mark.slow
def test_a_program_that_cannot_be_stopped_is_said_to_be_busy(
    screen: Opened, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(
        "from threading import Event\n\n\ndef stuck():\n    print('in it')\n    Event().wait()\n"
    )
    on = screen(*SCRIPTED)
    on.expect("_1>")
    on.type("run p.py:stuck", "in it")
    on.keys(CTRL_C, "busy in Python", "Ctrl-C again leaves")
    on.keys(CTRL_C)
    on.ends(130)


@pytest.mark.slow
def test_what_a_model_says_cannot_drive_the_terminal(screen: Opened) -> None:
    on = screen(worker=True)
    on.expect("_1>")
    on.type("One", "<U+001B>[2J", "link<U+001B>]52;c;aGk=<U+0007>", "back<U+202E>", "_2>")
    on.type("x = Two _", "_3>")
    for look in ("graph", "graph _1", "ctx", "inspect x", "cost", "_1", "ops", "edit _2 no"):
        on.type(look, "_3>")
    on.type("break say", "_3>")
    on.type("Three", "held>")
    on.keys(CTRL_D)
    on.ends()
    for sign in ("\x1b]", "\x1b[2J", "\x1b[31m", "\x9b", "\u202e"):
        assert sign not in on.raw, ascii(sign)


@pytest.mark.slow
def test_a_killed_session_comes_back_whole(screen: Opened, tmp_path: Path) -> None:
    on = screen(*SCRIPTED)
    on.expect("_1>")
    on.type("What is a loom?", "_2>")
    on.type("x = Shorten _", "_3>")
    on.type("pin x", "_3>")
    os.kill(on.child.pid, signal.SIGKILL)
    on.ends(None)
    new = screen(*SCRIPTED)
    new.expect("the session before was cut off; to go on with it: resume", "_1>")
    new.type("quit", "nlpu repl --resume")
    (run,) = (p.stem for p in tmp_path.glob(".nlpu/runs/*.db") if p.stem not in new.raw[-40:])
    again = screen("--resume", run[:5])
    again.expect("2 values; 2 calls known, 0 made again", "_2> x = Shorten _", "_3>")
    again.type("_1", "river found captain red almost bright captain under quiet", "_3>")
    again.type("{x}", "small quiet took after gave", "_3>")
    again.keys(UP * 4, "pin x")  # the history is that of both
    again.keys(CTRL_C, "_3>")
    again.type("ctx", "_2", "_1, _2", "_3>")
    again.type("Next?", "_3: ", "_4>")
    again.keys(CTRL_D)
    again.ends()


@pytest.mark.slow
def test_a_resized_terminal_is_written_to_its_new_width(screen: Opened) -> None:
    on = screen(*SCRIPTED)
    on.expect("_1>")
    on.type("What is a loom?", "river found", "_2>")
    on.child.setwinsize(24, 50)  # wrapped by it, a line would end before the 50th column
    on.screen.resize(24, 50)
    on.type("ctx", "protected", "operands", "_2>")
    on.type("help run", "run a program", "_2>")
    on.type("Shorten _1 and tell me what you think of it", "_2: ", "_3>")
    on.child.setwinsize(24, 100)
    on.screen.resize(24, 100)
    on.type("ctx", "protected", "operands", "_3>")
    on.keys(CTRL_D)
    on.ends()
