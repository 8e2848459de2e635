"""llama.cpp as an object: what its listener raises, its death, and a machine without loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import COMMAND, environment

from nlpu.engines.embedded.llama import Llama
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart, ServerFault

pytestmark = pytest.mark.local
try:
    MODEL = installed_model(None).path
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)

APART = ["unshare", "--map-root-user", "--net"]  # a network of its own, with nothing up in it


def test_what_a_listener_raises_is_no_cancellation() -> None:
    llama, heard = Llama(MODEL, window=128, slots=1), []

    def stumble(event: dict[str, Any]) -> bool:
        return bool(event["nothing of this name"])

    def hear(event: dict[str, Any]) -> bool:
        heard.append(event)
        return False

    body = {"prompt": [100, 101, 102], "max_tokens": 2, "stream": True}
    with pytest.raises(ServerFault, match="nothing of this name") as caught:
        llama.generate(body, stumble)
    assert isinstance(caught.value.__cause__, KeyError)
    llama.generate(body, hear)
    assert heard
    llama.close()


def test_a_port_that_hung_up_is_asked_again() -> None:
    llama = Llama(MODEL, window=128, slots=1)
    before = llama.encode("a loom", special=False)
    llama._port.sock.shutdown(socket.SHUT_RDWR)
    assert llama.encode("a loom", special=False) == before
    llama.close()


def _can_be_apart() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux" or not _can_be_apart(), reason="needs namespaces")
def test_without_loopback_it_says_what_it_needs(tmp_path: Path) -> None:
    command = [*APART, *COMMAND, "run", "ask", "Hi"]
    for more in ([], ["--model", str(MODEL)]):
        ended = subprocess.run(
            [*command, *more],
            capture_output=True,
            text=True,
            env=environment(),
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 1, ended.stderr
        assert "needs the loopback interface (127.0.0.1)" in ended.stderr
        assert "Error" not in ended.stderr
