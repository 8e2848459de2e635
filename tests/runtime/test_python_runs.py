"""Runs that Python started go on from the terminal as those that the terminal started."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute
from terminal_fixture import Ended, Terminal, environment, nlpu

from nlpu.errors import Cancelled, ProgramError
from nlpu.runtime import Computer
from nlpu.runtime.handle import state_of
from nlpu.runtime.naming import named
from nlpu.runtime.terminal.show.archive import Record, find, records
from nlpu.runtime.terminal.show.edges import shape_of
from nlpu.testing.scripted import Scripted
from nlpu.wire import Reply, Request

__all__ = ["nlpu"]  # a fixture
RUNS = Path(".nlpu/runs")
SCRIPT = """
import sys
from dataclasses import dataclass
from nlpu import nlop
from nlpu.runtime import Computer
from nlpu.runtime.handle import state_of
{imports}
@dataclass
class Book:
    title: str

@nlop
def shorten(text: str) -> str:
    '''Shorten the text.'''

def main(books: list[Book], times: int = 2):
    return [str(shorten(shorten(book.title))) for book in books * times]

async def aside(book: Book):
    return await shorten(book.title)

def begin(program, *args, **named):
    with Computer("scripted", run_dir=".nlpu/runs") as computer:
        print(computer.run(program, *args, **named).name)
"""
GUARDED = """
if __name__ == "__main__":
    begin(main, [Book("a"), Book("b")], times=1)
"""


def started(text: str, file: str = "script.py", *words: str) -> str:
    """The name of the run that a script started, as a process of its own."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text.replace("{imports}", ""))
    done = subprocess.run(
        [sys.executable, *(words or (file,))],
        env=environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def record_of(name: str) -> Record:
    return find(RUNS, name)


def texts(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["result"]


def test_all_commands_know_the_program_and_its_arguments(nlpu: Terminal) -> None:
    name = started(SCRIPT + GUARDED)
    record = record_of(name)
    assert record.program == f"{Path('script.py').resolve()}:main"
    first = texts(nlpu("replay", name, "--json"))
    assert len(first) == 2 and texts(nlpu("resume", name, "--json")) == first
    assert nlpu("show", name, "--program").out.count("= shorten") == 4
    shape = shape_of(record)
    assert shape.partial == "" and len(shape.layouts) == 4
    assert ("main/0", "main/1", "data") in shape.into("main/1")
    nlpu("show", name, "--html", "r.html")
    assert "Shorten the text." in Path("r.html").read_text("utf-8")
    Path("text").write_text("short")
    edited = nlpu("run", "--from", name, "--set", "main/1=text", "--json")
    assert texts(edited) == ["short", first[1]] and edited.json["receipt"]["calls"] == 0
    assert texts(nlpu("resume", edited.json["run_id"], "--json")) == ["short", first[1]]
    assert f"nlpu resume {name}" == record.resumption
    assert all(run["program"].endswith("script.py:main") for run in nlpu("runs", "--json").json)


def test_a_run_that_was_killed_goes_on(nlpu: Terminal) -> None:
    killed = GUARDED.replace("begin(main,", "begin(dies,").replace("times=1", "")
    dies = (
        "def dies(books: list[Book]):\n    first = str(shorten(books[0].title))\n"
        "    import os\n    if 'go_on' not in os.listdir():\n        os._exit(9)\n"
        "    return [first, str(shorten(books[1].title))]\n"
    )
    Path("script.py").write_text((SCRIPT + dies + killed).replace("{imports}", ""))
    done = subprocess.run([sys.executable, "script.py"], env=environment(), check=False)
    assert done.returncode == 9
    (record,) = records(RUNS)
    Path("go_on").touch()
    ended = nlpu("resume", record.name, "--json")
    assert ended.json["receipt"]["reused"] == 1 and len(texts(ended)) == 2


@pytest.mark.parametrize(
    ("kept", "says"), [(True, r"to go on: computer\.resume\('\w+'"), (False, "not journaled")]
)
def test_ctrl_c_says_how_the_run_goes_on(tmp_path: Path, kept: bool, says: str) -> None:
    """As a note on the KeyboardInterrupt, which a traceback ends with."""
    with (
        Computer(Pressing("yes"), run_dir=tmp_path if kept else None) as made,
        pytest.raises(KeyboardInterrupt) as pressed,
    ):
        made.run(lambda: echo("x").value)
    (note,) = pressed.value.__notes__
    assert re.search(says, note)


class Pressing(Scripted):
    """Presses Ctrl-C when it is asked something, and answers nothing."""

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.held: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        me = threading.main_thread().ident
        assert me is not None
        signal.pthread_kill(me, signal.SIGINT)
        return await self.held

    def cancel(self, request_id: str) -> None:
        self.held.set_exception(Cancelled("it was stopped"))


def test_an_async_program_of_a_module(nlpu: Terminal) -> None:
    Path("mine.py").write_text(SCRIPT.replace("{imports}", ""))
    name = started("from mine import *\nbegin(aside, Book('a'))\n")
    assert record_of(name).program == f"{Path('mine.py').resolve()}:aside"
    assert nlpu("replay", name, "--json").code == 0


def test_a_program_of_a_package(nlpu: Terminal) -> None:
    Path("pack/inner").mkdir(parents=True)
    for place in ("pack", "pack/inner"):
        Path(place, "__init__.py").touch()
    Path("pack/other.py").write_text("WORD = 'word'\n")
    text = SCRIPT.replace("{imports}", "from ..other import WORD") + GUARDED
    name = started(text, "pack/inner/prog.py", "-m", "pack.inner.prog")
    assert texts(nlpu("replay", name, "--json"))
    text = "from pack.inner.prog import *\nfrom pack.inner import prog\n"
    name = started(f"{text}prog.begin(prog.main, [prog.Book('a')])\n")
    assert texts(nlpu("replay", name, "--json"))


def test_a_moved_file_can_be_named(nlpu: Terminal) -> None:
    name = started(SCRIPT + GUARDED)
    first = texts(nlpu("replay", name, "--json"))
    Path("old").mkdir()
    moved = Path("script.py").rename("old/moved.py")
    for words in (("replay", name), ("resume", name), ("run", "--from", name)):
        gone = nlpu(*words, "--json")
        assert gone.code == 2 and "script.py" in gone.err, gone
        assert "where is it now? --file FILE" in gone.err and "there is no file" in gone.err
        assert texts(nlpu(*words, "--file", str(moved), "--json")) == first
        assert texts(nlpu(*words, "--file", f"{moved}:main", "--json")) == first
    assert "where is it now? --file FILE" in nlpu("show", name, "--program").err
    assert "= shorten" in nlpu("show", name, "--program", "--file", str(moved)).out
    assert shape_of(record_of(name).moved(str(moved))).partial == ""
    assert "where is it now" in shape_of(record_of(name)).partial
    for wrong in ("nowhere.py", "old", "old/moved.txt"):
        said = nlpu("replay", name, "--file", wrong)
        assert said.code == 2 and "there is no such file" in said.err
    said = nlpu("replay", name, "--file", f"{moved}:maim")
    assert said.code == 2 and "there is no function or op 'maim'" in said.err
    moved.write_text(moved.read_text() + "# another\n")
    said = nlpu("replay", name, "--file", str(moved))
    assert said.code == 4 and "which is not what it ran before" in said.err


def test_file_needs_a_run_with_one_program(nlpu: Terminal) -> None:
    Path("p.py").write_text("def go(): return 'x'\n")
    said = nlpu("run", "p.py:go", "--file", "p.py", "--engine", "scripted")
    assert said.code == 2 and "--file is about a run" in said.err
    nlpu("repl", "--engine", "scripted", stdin="x = 1\n")
    (session,) = records(RUNS)
    said = nlpu("replay", session.name, "--file", "p.py")
    assert said.code == 2 and "has several" in said.err


def outer() -> Callable[[], Any]:
    def inner() -> Any:
        return echo("x")

    return inner


class Holder:
    def method(self) -> Any:
        return echo("x")

    @staticmethod
    def static() -> Any:
        return echo("x")


def _private() -> Any:
    return echo("x")


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@logged
def decorated() -> Any:
    return echo("x")


def replaced() -> Any:
    return echo("x")


before, replaced = replaced, lambda: "other"  # type: ignore[assignment]
made: dict[str, Any] = {"__name__": __name__}
exec("def prompted(): return 'x'", made)
UNNAMED: list[tuple[Any, str]] = [
    (lambda: echo("x"), "a lambda has no name"),
    (outer(), "it is defined inside of a function, which alone makes it"),
    (Holder().method, "it is no function, but a method"),
    (Holder.static, "it is defined inside of a class"),
    (functools.partial(outer), "it is no function, but a partial"),
    (_private, "its name begins with _"),
    (made["prompted"], "it is in no file: it was defined in a notebook"),
    (before, "what is called replaced in "),
]


@pytest.mark.parametrize(("program", "why"), UNNAMED)
def test_what_has_no_name_in_a_file_says_why(program: Any, why: str, nlpu: Terminal) -> None:
    run = execute(program, run_dir=RUNS)
    for words in (("resume", run.name), ("replay", run.name), ("show", run.name, "--program")):
        ended = nlpu(*words)
        assert ended.code in (1, 2) and why in ended.err, ended
        assert f"computer.resume({run.name!r}" in ended.err and "--file FILE.py" in ended.err
    assert "from the Python that started it" in record_of(run.name).resumption
    assert why in shape_of(record_of(run.name)).partial


def test_a_decorated_function_is_named() -> None:
    assert named(decorated)["program"] == f"{Path(__file__).resolve()}:decorated"
    assert "unnamed" not in named(decorated)


def test_a_script_that_would_begin_runs_again_is_not_loaded(nlpu: Terminal) -> None:
    name = started(SCRIPT + "begin(main, [Book('a')])\n")
    ended = nlpu("resume", name)
    assert ended.code == 2 and "begins runs when it is loaded" in ended.err
    assert 'under `if __name__ == "__main__":`' in ended.err
    assert len(records(RUNS)) == 1
    Path("mine.py").write_text(SCRIPT.replace("{imports}", "") + "begin(main, [Book('a')])\n")
    ended = nlpu("resume", started("import mine\n"))
    assert ended.code == 2 and "mine.py begins runs when it is loaded" in ended.err


def test_code_without_a_file_is_told_so(nlpu: Terminal) -> None:
    text = SCRIPT.replace("{imports}", "") + "begin(aside, Book('a'))\n"
    done = subprocess.run(
        [sys.executable, "-"],
        input=text,
        env=environment(),
        text=True,
        capture_output=True,
        check=True,
    )
    ended = nlpu("resume", done.stdout.strip())
    assert ended.code == 2 and "it was defined in a notebook, at a prompt or by exec" in ended.err


def go() -> Any:
    return [str(echo("a")), str(echo("b"))]


def test_an_engine_without_a_name_is_asked_for_where_it_is_needed(nlpu: Terminal) -> None:
    run = execute(go, run_dir=RUNS)
    assert texts(nlpu("replay", run.name, "--json")) == ["a", "b"]  # needs none
    assert shape_of(record_of(run.name)).partial == ""
    ended = nlpu("resume", run.name)
    assert ended.code == 2 and "on an engine without a name: give --engine" in ended.err
    assert record_of(run.name).resumption == f"nlpu resume {run.name} --engine NAME|URL"
    assert texts(nlpu("resume", run.name, "--engine", "scripted", "--json")) == ["a", "b"]


def test_several_processors_are_replayed_without_them(nlpu: Terminal) -> None:
    with computer(
        {"one": Scripted({"Repeat": "x"}), "two": Scripted({"Repeat": "y"})}, run_dir=RUNS
    ) as machine:
        run = machine.run(go)
    assert texts(nlpu("replay", run.name, "--json")) == ["x", "x"]
    assert shape_of(record_of(run.name)).partial == ""


def test_a_program_that_comes_along_is_named(nlpu: Terminal) -> None:
    from nlpu.programs.ask import ask

    with Computer("scripted", run_dir=RUNS) as machine:
        run = machine.run(ask, "Hi")
    assert record_of(run.name).program == "ask"
    assert nlpu("replay", run.name).code == 0


def test_nothing_is_written_of_a_run_that_is_not_journaled() -> None:
    assert "file" not in (state_of(execute(go)).header or {})


READ: dict[str, tuple[str, str, bool]] = {  # annotation, what is given, whether a name is enough
    "a dict by numbers": ("", "{1: 2}", False),
    "a tuple": ("", "(1, 2)", False),
    "a set": ("", "{1}", False),
    "a record": ("", "Point(1)", False),
    "a whole number": (": float", "3", False),
    "a text of digits": (": int", "'3'", False),
    "a number": (": str", "3", False),
    "plain": ("", "{'a': [1, None, 0.5]}", True),
    "no number": (": float", "float('nan')", True),
    "an annotated tuple": (": tuple[int, int]", "(1, 2)", True),
    "an annotated dict": (": dict[int, int]", "{1: 2}", True),
    "annotated records": (": list[Point]", "[Point(1)]", True),
}


@pytest.mark.parametrize("name", READ)
def test_what_would_be_read_as_another_value_is_given_again_by_python_alone(
    name: str, nlpu: Terminal, tmp_path: Path
) -> None:
    annotation, given, is_enough = READ[name]
    (tmp_path / "p.py").write_text(
        "from dataclasses import dataclass\nfrom nlpu import op\nfrom runtime import Computer\n"
        'hi = op("Say hi.")\n\n@dataclass\nclass Point:\n    x: int\n\n'
        f"def go(it{annotation}):\n    return str(hi(str(it)))\n\n"
        'if __name__ == "__main__":\n    with Computer("scripted", run_dir="runs") as computer:\n'
        f"        print(computer.run(go, {given}).name)\n"
    )
    done = subprocess.run(
        [sys.executable, "p.py"],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        check=True,
    )
    for command in (["resume"], ["run", "--from"]):
        ended = nlpu(*command, done.stdout.strip(), "--run-dir", str(tmp_path / "runs"))
        assert (ended.code == 0) is is_enough, ended.err
        assert ("that only Python can give again (" in ended.err) is not is_enough


def test_a_closed_computer_is_not_opened_again() -> None:
    async def left() -> Computer:
        async with computer() as machine:
            await machine.start(lambda: "done")
        return machine

    unused = computer()
    unused.close()
    with computer() as used:
        assert used.run(lambda: "done").result == "done"
    for machine in (unused, used, asyncio.run(left())):
        for use in (lambda m: m.run(print), lambda m: m.processors, lambda m: m.resume("x", print)):
            with pytest.raises(ProgramError, match="was closed, which is for good: make another"):
                use(machine)
        machine.close()
