"""What whoever has a GPU runs: its parts, in small, on a real vLLM on the CPU, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import PARTS, gpus, in_a_process
from benchmarks.router import work
from benchmarks.servers import environment, scripted_server
from benchmarks.vllm_offers import offers
from nlpu import Computer, FakeClock, Scripted
from nlpu.engines.vllm.command import PYTHON_VARIABLE
from tests.vllm_fixture import Served, model_directory

MODEL = {"NLPU_MODEL_NAME": "fault-1", "NLPU_API_KEY": "none", "NLPU_TOKENIZER": ""}


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
        done = computer.run(work, "x", 2, 3, 2, 4)
    assert done.error is None and done.receipt.calls == 2 * (3 + 1) + 2 * 4


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
