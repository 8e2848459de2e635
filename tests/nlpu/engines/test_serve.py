"""Starting and ending a server, with a scripted one in vLLM's place: the same code, in seconds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fake_vllm.server import FaultServer
from nlpu import errors as e
from nlpu.engines.vllm import command as sc
from nlpu.engines.vllm.port import claim
from nlpu.engines.vllm.replicated import ReplicatedServer
from nlpu.engines.vllm.server import VllmServer, cause_in
from nlpu.sampling import Sampling
from nlpu.wire import Message, Request

FAKE = """
import argparse, asyncio, os, subprocess, sys
parser = argparse.ArgumentParser()
for name in ("--model", "--served-model-name"): parser.add_argument(name)
parser.add_argument("--mode", default="")
parser.add_argument("--port", type=int)
options, rest = parser.parse_known_args(sys.argv[3:])
if sys.argv[2] == "vllm_router.launch_router":
    from benchmarks.fake_vllm.server import FaultServer
    async def route():
        print("router", os.getpid(), *sys.argv, flush=True)
        async with FaultServer(models=("m",), port=options.port, programs=True):
            await asyncio.sleep(600)
    asyncio.run(route())
print("key is", os.environ["VLLM_API_KEY"], flush=True)
if options.mode == "fails":
    print("OSError: no such tensor", "and more", sep="\\n", file=sys.stderr)
    sys.exit("cannot load the model")
if options.mode.startswith("/"): open(options.mode).read()
from benchmarks.fake_vllm.server import FaultServer
async def main():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("child", child.pid, os.getpid(), flush=True)
    key = "another" if options.mode == "other-key" else os.environ["VLLM_API_KEY"]
    async with FaultServer(models=(options.served_model_name,), port=options.port, api_key=key):
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A "Python that has vLLM": it answers the survey and runs the scripted server instead."""
    told = json.dumps({"vllm": True, "cpu": True, "prefix": str(tmp_path)})
    (tmp_path / "fake.py").write_text(FAKE)
    shim = tmp_path / "python"
    root = Path(__file__).parents[3]
    shim.write_text(
        f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{told}'; exit; fi\n"
        f'export PYTHONPATH="{root}"\nexec "{sys.executable}" "{tmp_path}/fake.py" "$@"\n'
    )
    shim.chmod(0o755)
    return str(shim)


def alive(pid: int) -> bool:
    try:
        return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False


async def all_gone(pids: list[int]) -> None:
    async with asyncio.timeout(20):
        while any(await asyncio.to_thread(lambda: [alive(pid) for pid in pids])):
            pass


def test_it_serves_and_leaves_nothing_behind(python: str) -> None:
    async def test() -> None:
        async with VllmServer("some/model", python=python) as server:
            pids = [int(word) for word in server.tail().split("child ")[1].split()]
            engine = server.engine()
            told = await engine.capabilities()
            assert told.model == "some/model"
            assert (await engine.send(Request("r", (Message("user", "Hi"),), Sampling(8)))).text
            assert server.api_key not in server.tail()
            assert "key is ***" in server.tail()
            await engine.close()
            assert all(map(alive, pids))
            log = server.log
        await all_gone(pids)
        assert not log.exists()

    asyncio.run(test())


def pids_in(log: str, word: str) -> list[int]:
    """The processes that a fake names in its log behind a word."""
    return [int(text) for text in log.split(f"{word} ")[1].split() if text.isdigit()][:2]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_replicas_and_their_router_come_up_together_and_go_together(python: str) -> None:
    async def test() -> None:
        async with ReplicatedServer("m", 3, python=python) as served:
            line = command_of(pids_in(served.tail(), "router")[0])
            pids = [pid for each in served.servers for pid in pids_in(each.tail(), "child")]
            assert len(set(pids)) == 6 and all(map(alive, pids))
            words = line.split("\0")
            assert words[-4:-1] == [each.url for each in served.servers]
            assert "--disable-retries" in words and "--enable-program-scheduling" in words
            assert served.api_key not in line and words[words.index("--host") + 1] == "127.0.0.1"
            engine = served.engine()
            assert (await engine.capabilities()).model == "m"
            assert (await engine.send(Request("r", (Message("user", "Hi"),), Sampling(8)))).text
            await engine.close()
            pids += pids_in(served.tail(), "router")[:1]
        await all_gone(pids)

    asyncio.run(test())


def test_replicas_of_which_one_ends_are_taken_down(python: str) -> None:
    async def test() -> None:
        async with ReplicatedServer("m", 2, python=python) as served:
            pids = [pid for each in served.servers for pid in pids_in(each.tail(), "child")]
            os.kill(pids[3], signal.SIGKILL)
            await served.wait()
            assert "killed by signal 9" in served.why() and served.what == "vLLM"
        await all_gone(pids)

    asyncio.run(test())


def test_replicas_of_which_one_does_not_come_up_are_taken_down(python: str) -> None:
    async def test() -> None:
        served = ReplicatedServer("m", 2, python=python, flags=("--mode", "fails"))
        with pytest.raises(e.HostError, match="cannot load the model"):
            await served.__aenter__()
        assert all(each.ended for each in served.servers)
        for each in served.servers:
            each.log.unlink(missing_ok=True)

    asyncio.run(test())


def test_on_gpus_the_replicas_are_vllms_own(python: str, tmp_path: Path) -> None:
    shim = Path(python)
    shim.write_text(shim.read_text().replace('"cpu": true', '"cpu": false'))

    async def test() -> None:
        async with ReplicatedServer("m", 4, python=python) as served:
            (only,) = served.servers
            assert sc.flag(only.flags, "--data-parallel-size") == "4"
            assert "--intra-node-data-parallel-size 4" in served.tail()

    asyncio.run(test())


def test_the_command_serves_replicas_until_it_is_interrupted(python: str) -> None:
    line = [sys.executable, "-m", "nlpu.runtime.terminal", "serve", "m", "--replicas", "2"]
    line += ["--python", python, "--port", "0", "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        models = f"{told['url']}/v1/models"
        with urllib.request.urlopen(models, timeout=10) as answer:
            assert json.load(answer)["data"][0]["id"] == told["model"] == "m"
        owner.send_signal(signal.SIGINT)
        assert owner.wait(30) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(models, timeout=10)


def test_what_each_replica_must_have_of_its_own_cannot_be_given() -> None:
    with pytest.raises(e.Usage, match="--port cannot be given to each of 2 replicas"):
        ReplicatedServer("m", 2, flags=("--port=1",))


def test_without_a_router_nothing_is_started_and_what_is_missing_first_is_named(
    python: str,
) -> None:
    server = ReplicatedServer("m", 2, python=python, router=sys.executable)
    with pytest.raises(e.MissingPart, match=r"has no vllm-router.*pip install vllm-router"):
        asyncio.run(server.__aenter__())
    with pytest.raises(e.MissingPart, match=r"^/no/python is not a Python that runs"):
        asyncio.run(ReplicatedServer("m", 2, python="/no/python").__aenter__())


FLAGS = (
    ("--prefix-match-unit", "16"),
    ("--kv-offloading-size", "4"),
    ("--speculative-config", '{"method":"suffix","num_speculative_tokens":8}'),
    ("--otlp-traces-endpoint", "http://127.0.0.1:4317"),
    ("--reasoning-parser", "qwen3"),
)


def test_flags_of_a_gpu_come_to_vllm_as_they_are_given(python: str) -> None:
    async def test() -> None:
        flags = tuple(word for pair in FLAGS for word in pair)
        async with VllmServer("m", python=python, flags=flags) as server:
            pid = pids_in(server.tail(), "child")[1]
            words = command_of(pid).split("\0")
            assert tuple(words[-len(flags) - 1 : -1]) == flags
            assert "--enable-per-request-metrics" in words
            engine = server.engine()
            await engine.capabilities()
            assert engine._dialect is not None and engine._dialect.traced
            await engine.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("mode", "words"), [("fails", "cannot load the model"), ("other-key", "generates nothing .401")]
)
def test_a_failed_start_shows_the_log(python: str, mode: str, words: str) -> None:
    async def test() -> None:
        server = VllmServer("m", python=python, flags=("--mode", mode))
        with pytest.raises(e.HostError, match=words) as caught:
            await server.__aenter__()
        assert server.ended
        assert server.api_key not in str(caught.value)
        if mode == "fails":
            *_, cause, remedy = str(caught.value).splitlines()
            assert cause == "The likely cause: OSError: no such tensor"
            assert remedy.startswith("Correct the model's name")
        server.log.unlink()

    asyncio.run(test())


def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    async def test() -> None:
        async with FaultServer(models=("m",)) as other:
            port = int(other.url.rpartition(":")[2])
            with pytest.raises(e.HostError, match=f"port {port} .*--port"):
                await VllmServer("m", port=port, python="/no/python").__aenter__()
            assert not other.seen

    asyncio.run(test())


def test_another_server_that_takes_the_port_meanwhile_is_not_believed(
    python: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def test() -> None:
        port = claim(0)
        server = VllmServer("m", port=port, python=python, flags=("--mode", str(gate)))
        starting = asyncio.create_task(server.__aenter__())
        opened = await asyncio.to_thread(gate.open, "w")  # once the child waits at the gate
        async with FaultServer(models=("m",), port=port) as other:
            opened.close()
            with pytest.raises(e.HostError, match="ended before it was ready"):
                await starting
            assert not other.seen  # nor did it get our key
        server.log.unlink()

    asyncio.run(test())


def test_what_can_only_be_a_path_is_looked_for_at_once(tmp_path: Path) -> None:
    for model in (f"{tmp_path}/none", "./none", "models/none/there"):
        with pytest.raises(e.Usage, match="there is no model at"):
            sc.check_model(model)
    for model in (str(tmp_path), "some/model", "gpt2", "s3://bucket/models/one"):
        sc.check_model(model)


@pytest.mark.parametrize("port", [99999, -5, "http"])
def test_a_port_is_a_number(port: Any) -> None:
    with pytest.raises(e.Usage, match=r"--port is a number from 0 to 65535"):
        VllmServer("m", flags=("--port", str(port)))


def test_the_cause_in_a_log() -> None:
    log = "ValueError: bad\nRuntimeError: failed, see root cause above\n[keeper] it ended"
    assert cause_in(log) == "ValueError: bad"
    log = "x.ValidationError: 1 error for Config\n  Value error, no model\nPlease do"
    assert cause_in(log) == "x.ValidationError: 1 error for Config Value error, no model"
    assert cause_in("loading\nkilled\n\n[keeper] it ended") == "killed"
    assert cause_in("") == "it said nothing"


def test_it_gives_up_in_time(python: str, tmp_path: Path) -> None:
    (tmp_path / "fake.py").write_text("import time; time.sleep(600)")

    async def test() -> None:
        server = VllmServer("m", python=python, ready_s=0.3)
        with pytest.raises(e.TimedOut, match=r"not ready within 0\.3 s"):
            await server.__aenter__()
        server.log.unlink()

    asyncio.run(test())


OWNER = """
import sys
from nlpu.engines.vllm.server import VllmServer
from nlpu.engines.vllm.serving import run_server
run_server(VllmServer("m", python=sys.argv[1]), lambda s: print(s.tail(), flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_goes_down_with_its_owner(python: str, number: int) -> None:
    command = [sys.executable, "-c", OWNER, python]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        log = owner.stdout.readline().split("(")[1].split(")")[0]
        lines = [owner.stdout.readline(), owner.stdout.readline()]
        pids = [int(word) for word in lines[1].split()[1:]]
        assert len(pids) == 2
        assert all(map(alive, pids))
        owner.send_signal(number)
        assert owner.wait(20) == (-number if number == signal.SIGKILL else 0)
        asyncio.run(all_gone(pids))
    Path(log).unlink(missing_ok=True)


def test_a_python_without_vllm_says_what_to_do() -> None:
    with pytest.raises(e.MissingPart, match="not a Python that runs"):
        sc.survey("/nowhere/python")


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = sc.Survey("py", True, str(tmp_path)), sc.Survey("py", False, str(tmp_path))
    monkeypatch.setattr(sc, "_has_bfloat16", lambda: False)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 8192}')
    model, user = str(tmp_path), ("--tensor-parallel-size", "2", "--dtype", "bfloat16")
    line = sc.command(cpu, model, 5, user)
    assert line[-4:] == list(user)
    assert sc.flag(line, "--dtype") == "bfloat16"
    assert sc.flag(line, "--max-num-batched-tokens") == "8192"
    assert sc.flag(line, "--served-model-name") == tmp_path.name
    assert sc.flag(line, "--scheduling-policy") == "priority"
    assert "--enforce-eager" in line
    assert "--enforce-eager" not in sc.command(gpu, model, 5)
    assert sc.bears_seeds(cpu, model)
    assert sc.bears_seeds(gpu, "some/model")
    assert not sc.bears_seeds(cpu, "some/model")
    assert not sc.bears_seeds(cpu, model, ("--enable-chunked-prefill",))
    assert not sc.bears_seeds(cpu, model, ("--max-model-len=100000",))
    short = sc.command(cpu, "some/model", 5, ("--max-model-len", "2048"))
    assert sc.flag(short, "--max-num-batched-tokens") == "4096"


def test_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("libiomp5.so", "libtcmalloc_minimal.so.4", "libtcmalloc.so.4"):
        (tmp_path / "lib" / name).touch()
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    env = sc.environment(sc.Survey("py", True, str(tmp_path)), "sk-1")
    assert env["VLLM_API_KEY"] == "sk-1"
    assert [Path(p).name for p in env["LD_PRELOAD"].split(":")] == [
        "libtcmalloc_minimal.so.4",
        "libiomp5.so",
    ]
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    env = sc.environment(sc.Survey("py", False, str(tmp_path)), "sk-1")
    assert "LD_PRELOAD" not in env
    assert env["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert os.environ.get("VLLM_API_KEY") is None


def test_a_claimed_port_can_be_had() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", claim(0)))
