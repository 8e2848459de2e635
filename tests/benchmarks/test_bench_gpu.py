"""What whoever has a GPU runs: its parts, in small, on a real vLLM on the CPU, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import PARTS, gpus, in_a_process
from benchmarks.peers.running import peers_python
from benchmarks.router import ARMS, LANGGRAPH, Size, calls_of, work
from benchmarks.router_servers import SimulatedServer
from benchmarks.servers import environment, scripted_server, tokenizer
from benchmarks.vllm_offers import offers
from nlpu import Computer, FakeClock, MissingPart, Scripted
from nlpu.engines.vllm.command import PYTHON_VARIABLE
from nlpu.engines.vllm.server import VllmServer
from tests.vllm_fixture import Served, model_directory

MODEL = {"NLPU_MODEL_NAME": "fault-1", "NLPU_API_KEY": "none", "NLPU_TOKENIZER": ""}


def peers_installed() -> bool:
    """Whether LangGraph is there."""
    try:
        return bool(peers_python())
    except MissingPart:
        return False


def run(*words: str, **env: str) -> dict[str, Any]:
    """What the command prints."""
    line = [sys.executable, "-m", "benchmarks.gpu", *words]
    told = subprocess.run(
        line, env={**environment(), **env}, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(told.stdout))


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_all_parts_are_measured_on_a_cpu(tmp_path: Path) -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")
    out = tmp_path / "gpu.json"
    flags = ("--flag", "--max-model-len=4096", "--flag", "--max-num-seqs=16")
    model = model_directory()
    found = run("--model", model, *flags, "--quick", "--no-peers", "--output", str(out))
    assert json.loads(out.read_text()) == found
    parts = found["parts"]
    assert set(parts) == {"serve", *PARTS} and not any("failed" in part for part in parts.values())
    rates = parts["throughput"]
    assert rates["token_prompts"] and min(rates["vllm_tokens_per_s"], rates["share"]) > 0
    (row,) = parts["document"]["rows"]
    assert row["questions"] == 16 and row["cached_tokens"] > row["prompt_tokens"] / 2
    assert {row["program"] for row in parts["programs"]["rows"]} == {"fleet", "uneven"}
    assert all(row["as_asked"] for row in parts["programs"]["rows"])
    assert found["seconds"] <= 540 and found["gpus"] == gpus()


@pytest.mark.vllm
def test_what_vllm_offers_is_measured(vllm_server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLPU_API_KEY", vllm_server.api_key)
    found = offers(vllm_server.url, 2, 300)
    ids, cached = found["token_ids"], found["salt"]
    assert ids["texts"] == 8 and 0.5 < ids["ratio_mean"] <= ids["ratio_most"] < 1.1
    assert cached["first"] == cached["other_label"] == 0 < cached["again"] < cached["prompt_tokens"]
    assert found["waiting"]["waited_at_all"] >= 16  # of 48, with 16 slots
    assert found["repetition"]["on"]["tokens"] <= found["repetition"]["off"]["tokens"] == 600
    assert {"draws", "ignore_eos"} <= set(found)


def test_the_work_behind_a_router_is_as_much_as_it_says() -> None:
    with Computer(Scripted("so"), clock=FakeClock()) as computer:
        done = computer.run(work, "x", *Size(agents=2, turns=3, documents=2, questions=4))
    assert (
        done.error is None
        and done.receipt.calls == calls_of(Size(2, 3, 2, 4)) == 2 * (3 + 1) + 2 * 4
    )


def test_a_key_that_looks_like_an_option_is_a_key() -> None:
    async def up(directory: str) -> None:
        async with SimulatedServer(128, directory, "--model") as server:
            assert server.api_key == "--model"  # up: its first token was asked for with the key

    with tokenizer() as (directory, _):
        asyncio.run(up(directory))


def test_a_key_made_up_begins_with_no_dash_and_is_long() -> None:
    made = {VllmServer("model").api_key for _ in range(500)}
    assert len(made) == 500 and all(len(key) >= 32 and key.isalnum() for key in made)


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_a_real_router_takes_the_simulated_servers_and_each_arm_does_all_the_work() -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vllm-router")
    line = [sys.executable, "-m", "benchmarks.router", "--simulated", "--kv-blocks", "128"]
    line += ["--agents", "4", "--turns", "2", "--documents", "2", "--questions", "4", "--json"]
    line += ["--langgraph"] if peers_installed() else []
    told = subprocess.run(line, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(told.stdout)
    assert found["simulated"] is True and found["kv_tokens"] == 128 * 16
    rows = {row["name"]: row for row in found["arms"]}
    peers = [LANGGRAPH] if peers_installed() else []
    assert list(rows) == [*ARMS, "programs, by memory", *peers]
    assert {row["calls"] for row in rows.values()} == {4 * (2 + 1) + 2 * 4}
    assert all(0 < row["cached"] < 1 and row["makespan_s"] > 0 for row in rows.values())


@pytest.mark.slow
def test_a_server_that_does_not_come_up_is_told_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    env = {PYTHON_VARIABLE: sys.executable}  # it has no vLLM
    found = run("--model", str(tmp_path), "--quick", "--no-peers", **env)
    assert "did not come up" in found["parts"]["serve"]["failed"]
    assert set(found["parts"]) == {"serve"}


@pytest.mark.slow
def test_a_part_that_takes_too_long_is_ended_and_says_so() -> None:
    env = {**environment(), **MODEL}
    none = in_a_process("programs", "http://127.0.0.1:9", env, time.monotonic(), True, False)
    assert none == {"failed": "there was no time left"}
    with scripted_server("--gpu", "1,1,1") as url:  # a token a second
        late = in_a_process("programs", url, env, time.monotonic() + 4, True, False)
    assert "was not done within" in late["failed"]


@pytest.mark.slow
def test_a_part_that_fails_says_so() -> None:
    env = {**environment(), **MODEL}
    found = in_a_process("programs", "http://127.0.0.1:9", env, time.monotonic() + 60, True, False)
    assert "its message is above" in found["failed"]
