"""What a host does to a computer: it forks, has a loop of its own, and saves files with a BOM."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import PATIENCE_S, computer, echo, execute, finish
from terminal_fixture import COMMAND, ROOT, Terminal, environment, nlpu

from nlpu import lift
from nlpu.errors import ProgramError, Usage
from nlpu.runtime import Budget, Computer, Run, spawn
from nlpu.runtime.drivers import files

__all__ = ["nlpu"]  # a fixture
FORK = multiprocessing.get_context("fork")


def hello() -> str:
    return str(echo("hello"))


def in_child(step: Callable[[], Any]) -> str:
    """What a forked child came to; one that hangs fails the test."""
    receive, send = FORK.Pipe(duplex=False)

    def child() -> None:
        try:
            send.send(str(step()))
        except Usage as error:
            send.send(f"Usage: {error}")

    process = FORK.Process(target=child)
    process.start()
    try:
        assert receive.poll(PATIENCE_S), "the child hangs"
        return str(receive.recv())
    finally:
        process.kill()
        process.join()


CASES = [{"operands": {"text": "a"}, "expected": "b"}]
STEPS: dict[str, Callable[[Computer, Run], Any]] = {
    "runs": lambda machine, run: machine.run(hello),
    "starts": lambda machine, run: machine.start(hello),
    "resumes": lambda machine, run: machine.resume("abc", hello),
    "evaluates": lambda machine, run: machine.evaluate(
        echo, [{"operands": {"text": "a"}, "expected": "b"}]
    ),
    "waits": lambda machine, run: run.wait(),
    "stops": lambda machine, run: run.stop(),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_forked_child_is_told_and_does_not_hang(what: str) -> None:
    with computer() as machine:
        assert finish(machine.start(hello)).result == "hello"
        waits = machine.start(asyncio.Event().wait)
        said = in_child(lambda: STEPS[what](machine, waits))
        assert said.startswith("Usage: ") and "make a Computer here, after the fork" in said
        assert in_child(machine.close) == "None"  # and closes nothing of its parent's
        assert finish(machine.start(hello)).result == "hello"
        waits.stop()


def test_a_forked_child_has_computers_of_its_own() -> None:
    fresh = computer()
    with computer() as machine:
        finish(machine.start(hello))
        assert in_child(lambda: execute(hello).result) == "hello"
        assert in_child(lambda: finish(fresh.start(hello)).result) == "hello"  # not opened before


async def fetched() -> str:
    await asyncio.sleep(0)
    return "page"


def blocking() -> str:
    return asyncio.run(fetched())


def own_loop(coroutine: Any) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


@pytest.mark.parametrize("runs", [asyncio.run, own_loop])
def test_a_second_loop_is_advised_about(runs: Any) -> None:
    page = fetched()
    error = execute(lambda: echo(runs(page))).error
    page.close()  # else it says that nobody awaited it
    assert isinstance(error, ProgramError)
    assert "make it `async def` and await there" in str(error) and "lift(" in str(error)


def test_what_the_advice_says_works() -> None:
    async def program() -> str:
        return str(await echo(await fetched()))

    assert execute(program).result == "page"
    assert execute(lambda: echo(lift(blocking, blocking=True)())).result == "page"
    other = execute(lambda: {}["key"]).error  # type: ignore[var-annotated]
    assert "async def" not in str(other)


TEXT = 'op shorten(text: str) -> str max_tokens=200: "Shorten."\r\nparam %1 book: str\r\n'


def test_files_may_begin_with_a_bom(nlpu: Terminal, tmp_path: Path) -> None:
    source = f"{TEXT}%2 = shorten %1\r\nreturn %2\r\n".encode()
    (tmp_path / "p.nl").write_bytes(BOM_UTF8 + source)
    ended = nlpu("run", "p.nl", "book=hello", "--engine", "scripted", "--json")
    assert ended.json["status"] == "done"
    (tmp_path / "in.txt").write_bytes(BOM_UTF8 + b"It rained.\r\n")
    folder = files(tmp_path)
    assert execute(lambda: folder.read("in.txt")).result == "It rained.\r\n"


def test_a_manifest_may_begin_with_a_bom(tmp_path: Path) -> None:
    pytest.importorskip("mcp")
    from nlpu.runtime.drivers import McpServer  # here: of the extra ``mcp``

    tool = {"look": {"definition": {"inputSchema": {"type": "object"}}}}
    (tmp_path / "m.json").write_bytes(BOM_UTF8 + json.dumps(tool).encode())
    assert list(McpServer(["x"], tmp_path / "m.json").drivers) == ["look"]


SETTINGS = ("budget", "stream", "header", "gate", "estimates", "edits", "changed", "replay")
NAMES = (*SETTINGS, "self", "program", "name", "args", "kwargs", "loaded", "record")


def named(name: str) -> Any:
    """A program with a parameter of this name, and one that only a keyword reaches."""
    made: dict[str, Any] = {}
    exec(f"def go({name}='none'): return f'got {{{name}}}'", made)
    return made["go"]


@pytest.mark.parametrize("name", NAMES)
def test_a_programs_parameters_may_have_any_name(name: str, nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(f"def go({name}: str = 'none') -> str: return 'got ' + {name}\n")
    ended = nlpu("run", "p.py:go", f"{name}=it", "--engine", "scripted", "--json")
    assert ended.json["result"] == "got it"
    again = nlpu("replay", ended.json["run_id"], "--json")
    assert again.json["result"] == "got it"
    go = named(name)
    assert execute(go, "it").result == "got it"
    assert execute(lambda: spawn(go, **{name: "it"})).result == "got it"
    with computer() as machine:
        assert finish(machine.start(go, "it", budget=Budget(calls=3))).result == "got it"
        if name not in SETTINGS:
            assert machine.run(go, **{name: "it"}).result == "got it"


@pytest.mark.parametrize("name", ["budget", "stream", "header", "gate", "estimates"])
def test_a_setting_that_may_be_meant_for_the_program_is_refused(name: str) -> None:
    with computer() as machine, pytest.raises(Usage, match=f"{name}= is a setting of the run, and"):
        machine.run(named(name), **{name: "it"})


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_of_such_parameters_need_not_be_given(
    name: str, nlpu: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(f"def go(n: int, {name}: str = 'none'): return {name} * n\n")
    ended = nlpu("run", "p.py:go", "2", "--engine", "scripted", "--json")
    assert ended.json["result"] == "nonenone"
    for command in ("replay", "resume"):
        assert nlpu(command, ended.json["run_id"], "--json").json["result"] == "nonenone"
    (tmp_path / "in.jsonl").write_text('{"n": 1}\n')
    line = nlpu("run", "p.py:go", "--each", "in.jsonl", "--engine", "scripted").out
    assert json.loads(line)["result"] == "none"
    with computer() as machine:
        (item,) = machine.map(named(name), [()], budget=Budget(calls=3))
    assert item.result == "got none"


@pytest.mark.parametrize("given", [(), ("header=it",), ("--each", "in.jsonl")])
def test_one_that_a_name_alone_reaches_is_refused(
    given: tuple[str, ...], nlpu: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text("def go(*, header: str = 'none') -> str: return header\n")
    (tmp_path / "in.jsonl").write_text('{"header": "it"}\n')
    told = nlpu("run", "p.py:go", *given, "--engine", "scripted")
    assert told.code == 2 and "'header' reaches go by name alone, and is a setting" in told.err


ENDLESS = """
import asyncio, gc, sys
sys.path.insert(0, {tests!r})
from kit import computer, echo, finish
from nlpu.runtime import spawn

async def sleeps():
    await echo("x")
    while True:
        try:
            await asyncio.sleep(0.01)
        except BaseException:
            pass

async def waits():
    await echo("x")
    while True:
        try:
            await asyncio.Event().wait()
        except BaseException:
            pass

async def asks():
    while True:
        try:
            await echo("x")
        except BaseException:
            pass

async def looks():
    value = echo("x")
    while True:
        try:
            await value
            await asyncio.sleep(0)
        except BaseException:
            pass

def plain():
    while True:
        try:
            str(echo("x"))
        except BaseException:
            pass

def nested():
    inner = spawn(plain)
    return str(echo("x"))

def main(program):
    with computer() as machine:
        run = machine.start(globals()[program])
        while not run.counts.calls:
            pass
        run.stop()
        assert finish(machine.start(lambda: echo("next"))).result == "next"
        gc.collect()  # which ends what nobody holds, here and now
    assert "closed" in repr(machine), machine
    with computer() as another:
        assert finish(another.start(lambda: echo("anew"))).result == "anew"

if __name__ == "__main__":
    main(sys.argv[1])
"""
CATCHING = ("sleeps", "waits", "asks", "looks", "plain", "nested")


@pytest.mark.parametrize("program", CATCHING)
def test_a_program_that_catches_everything_keeps_nobody_from_ending(
    program: str, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(ENDLESS.replace("{tests!r}", repr(str(ROOT / "tests"))))
    done = subprocess.run(
        [sys.executable, "p.py", program],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr.count("LeftBehind: left behind, as it goes on though it was ended: main") == 1
    )
    assert "write `except Exception`, not `except BaseException`" in done.stderr
    assert "Traceback" not in done.stderr and "destroyed" not in done.stderr


def test_the_terminal_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(ENDLESS.replace("{tests!r}", repr(str(ROOT / "tests"))))
    words = ["run", "p.py:sleeps", "--engine", "scripted", "--seconds", "0.2"]
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 3
    assert "note: left behind, as it goes on though it was ended: main; it catches" in done.stderr
