"""llama.cpp's process: it holds nobody up, dies alone, and outlives no program."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import xllamacpp
from terminal_fixture import environment

from nlpu.engines.embedded import llama_server
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.embedded.llama import Llama
from nlpu.engines.embedded.process import Process
from nlpu.engines.models import installed_model
from nlpu.errors import EngineDied, HostError, MissingPart
from tests.kit import requested

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc"),
]
try:
    MODEL = installed_model(None).path
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)

BODY = {"prompt": [100, 101, 102], "max_tokens": 4, "stream": True, "temperature": 0.0}
VICTIM = """
import os, signal, sys
from pathlib import Path
from nlpu.engines.embedded.llama import Llama
llama = Llama(Path(sys.argv[1]), window=128, slots=1)
if sys.argv[2] == "forked" and not os.fork():
    os.close(1)
    signal.pause()
print("loaded", flush=True)
signal.pause()
"""


def children() -> set[int]:
    """The processes that this one has."""
    found = set[int]()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that has ended
            found |= {int(pid) for pid in task.read_text().split()}
    return found


def begun(before: set[int]) -> int:
    """The one that is new."""
    (pid,) = children() - before
    return pid


async def turned(done: Callable[[], bool], most: int = sys.maxsize) -> int:
    """How often the loop turned until something was done."""
    turns = 0
    while turns < most and not done():
        await asyncio.sleep(0)
        turns += 1
    return turns


def test_while_a_model_loads_the_loop_turns() -> None:
    """llama.cpp is stopped in the middle of it, so that the order does not depend on speed."""

    async def work() -> int:
        before, engine = children(), EmbeddedEngine()
        loading = asyncio.create_task(engine.capabilities())
        await turned(lambda: bool(children() - before))
        llama = begun(before)
        os.kill(llama, signal.SIGSTOP)
        turns = await turned(loading.done, most=1000)
        os.kill(llama, signal.SIGCONT)
        await loading
        await engine.close()
        return turns

    assert asyncio.run(work()) == 1000


def test_what_was_asked_when_llama_died_fails_and_what_is_asked_next_is_answered() -> None:
    before, heard = children(), list[dict[str, Any]]()
    llama = Llama(MODEL, window=128, slots=1)

    def kill(event: dict[str, Any]) -> bool:
        os.kill(begun(before), signal.SIGKILL)
        return False

    def hear(event: dict[str, Any]) -> bool:
        heard.append(event)
        return False

    with pytest.raises(EngineDied, match=r"^llama.cpp's process ended with SIGKILL$"):
        llama.generate({**BODY, "max_tokens": 100}, kill)
    llama.generate(BODY, hear)
    assert heard[-1]["usage"]["completion_tokens"] == 4
    llama.close()
    with pytest.raises(EngineDied, match="was closed"):
        llama.generate(BODY, hear)
    assert not children() - before


def test_an_engine_goes_on_after_it() -> None:
    async def work() -> str:
        before, engine = children(), EmbeddedEngine(window=512, max_in_flight=2)
        facts = await engine.capabilities()
        assert facts.encoder is not None
        prompt = tuple(facts.encoder.encode("Once upon a time", False))

        def kill(piece: str) -> None:
            os.kill(begun(before), signal.SIGKILL)

        with pytest.raises(EngineDied):
            await engine.send(requested(prompt=prompt, max_tokens=200), kill)
        reply = await engine.send(requested(prompt=prompt, max_tokens=4))
        await engine.close()
        return reply.text

    assert asyncio.run(work())


def test_another_file_in_its_place_is_not_begun(tmp_path: Path) -> None:
    before, mine = children(), tmp_path / "mine.gguf"
    shutil.copy(MODEL, mine)
    llama = Llama(mine, window=128, slots=1)
    mine.unlink()
    shutil.copy(MODEL, mine)
    os.kill(begun(before), signal.SIGKILL)
    with pytest.raises(EngineDied):
        llama.generate({**BODY, "max_tokens": 100}, lambda event: False)
    with pytest.raises(HostError, match="is another file by now than the one that it had loaded"):
        llama.generate(BODY, lambda event: False)
    llama.close()


def test_it_ends_where_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """Its program was killed while it loaded, and a fork of that still holds the other pipe."""
    order = {"path": str(MODEL), "window": 128, "slots": 1, "threads": 1, "key": "k"}
    taken_down = "import atexit, os\natexit.register(os.write, 2, b'taken down')\n"
    (tmp_path / "sitecustomize.py").write_text(taken_down)
    library = str(Path(xllamacpp.__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-P", llama_server.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment() | {"PYTHONPATH": str(tmp_path)},
    )
    with child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdout.close()
        child.stdin.write(
            json.dumps({**order, "aloud": False, "library": library}).encode() + b"\n"
        )
        child.stdin.flush()
        assert child.wait(60) == 1
        said = child.stderr.read()
        assert b"BrokenPipeError" in said and b"taken down" not in said


def test_what_it_wrote_before_it_died_is_quoted() -> None:
    order = {"path": str(MODEL), "window": 128, "slots": 1, "threads": 1, "key": "k"}
    with pytest.raises(EngineDied, match=r"^llama.cpp's process ended with exit code 1: TypeError"):
        Process({**order, "slots": "many"})  # an order that nobody gives


@pytest.mark.parametrize("how", ["alone", "forked"])
def test_it_ends_with_the_program_that_was_killed(how: str) -> None:
    """Also where a fork of the program still holds the pipe that tells of its end."""
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(MODEL), how],
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
        process_group=0,
    )
    with victim:
        assert victim.stdout is not None and victim.stdout.readline() == "loaded\n"
        tasks = Path(f"/proc/{victim.pid}/task").glob("*/children")
        pids = [int(pid) for task in tasks for pid in task.read_text().split()]
        watched = {pid: os.pidfd_open(pid) for pid in pids if is_llama(pid)}
        victim.kill()
        ended = [select.select([each], [], [], 60)[0] for each in watched.values()]
        if how == "forked":
            os.killpg(victim.pid, signal.SIGKILL)
    assert len(ended) == 1 and ended[0]
    for each in watched.values():
        os.close(each)


def is_llama(pid: int) -> bool:
    """Whether a process runs llama.cpp, and is no fork of the victim."""
    return "llama_server" in Path(f"/proc/{pid}/cmdline").read_text()
