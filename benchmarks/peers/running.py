"""The same programs on this runtime, LangGraph and DSPy, against the same server, in turns.

Theory of operation
-------------------
Each framework runs in a process and an environment of its own, does a little unmeasured work, and
then the whole (``peers/harness.py``). Wall and CPU time are its own, from before the program is
built to its end; steps and tokens are the server's counters before and after. The server is the
fake one that steps like a GPU (``benchmarks.fake_vllm.gpu``: 256 slots, 50 tokens/s each, 50,000
tokens/s of prefill, prefix cache), or a real vLLM.

Rules
1. Who goes first rotates; a ratio is the median of the repeats' own ratios.
2. The server's count of generated tokens must be what the work asks for, else the row says so.
3. The peers' Python is $NLPU_PEERS_PYTHON, else .venv-peers, which ``make peers`` makes.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.work import PROGRAMS, WARM_UP, answer_tokens, calls_of, work_of
from benchmarks.servers import environment
from nlpu import MissingPart, ServerFault
from nlpu.runtime.bench.programs_work import Size
from nlpu.runtime.bench.report import measured
from nlpu.runtime.bench.servers import Served
from nlpu.runtime.bench.throughput_profiles import ENDLESS, nonce

PYTHON_VARIABLE = "NLPU_PEERS_PYTHON"
GPU = "256,50,50000"
FASTER, CHEAPER = 1.5, 10.0  # what ours should be against a server that steps like a GPU's
OURS = "nlpu"
_COUNTERS = {
    "steps": "vllm:iteration_tokens_total_count",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "cached_tokens": "vllm:prefix_cache_hits_total",
    "completion_tokens": "vllm:generation_tokens_total",
}
OFFLINE = {
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices at its start
    "DSPY_CACHEDIR": os.devnull,
}
HERE = Path(__file__).parent
_VERSIONS = "import importlib.metadata as m; print(*(m.version(n) for n in ('langgraph','dspy')))"


def peers_python() -> str:
    """The Python that has the peers. Raises MissingPart."""
    python = os.environ.get(PYTHON_VARIABLE) or ".venv-peers/bin/python"
    try:
        done = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingPart(
            f"{python} has no LangGraph and DSPy: run `make peers`, or name a Python that has "
            f"them in {PYTHON_VARIABLE}"
        ) from error
    assert done.stdout
    return python


def versions(python: str) -> dict[str, str]:
    """Of the peers."""
    told = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True)
    return dict(zip(("langgraph", "dspy"), told.stdout.split(), strict=True))


def against(
    served: Served, model: str, size: Size, repeats: int, python: str | None
) -> list[dict[str, Any]]:
    """One row for each program and framework. Without ``python`` ours alone."""
    commands = {OURS: [sys.executable, "-m", "benchmarks.peers.ours"]}
    if python is not None:
        for peer in ("langgraph", "dspy"):
            commands[peer] = [python, str(HERE / f"{peer}_peer.py")]
    rows, run = [], nonce()
    for program in PROGRAMS:
        found: dict[str, list[dict[str, float]]] = {who: [] for who in commands}
        for turn in range(repeats):
            order = list(commands)
            for who in order[turn % len(order) :] + order[: turn % len(order)]:
                work = order_for(served, model, program, size, f"{run} {who[:4]} {turn}")
                asked = answer_tokens(work["work"])
                found[who].append(run_peer(commands[who], served, work, asked))
        rows += [_row(program, size, who, found[who], found[OURS]) for who in commands]
    return rows


def order_for(served: Served, model: str, program: str, size: Size, name: str) -> dict[str, Any]:
    """What a peer is told."""
    access = {
        "url": served.url,
        "model": model,
        "key": served.api_key or "none",
        "extra_body": {"structured_outputs": {ENDLESS.kind: ENDLESS.spec}},
    }
    warm_up = work_of(program, WARM_UP, "warm " + name)
    return {"work": {**access, **work_of(program, size, name)}, "warm_up": {**access, **warm_up}}


def run_peer(
    command: list[str],
    served: Served,
    order: dict[str, Any],
    asked: int,
    behind: Sequence[Served] = (),
) -> dict[str, Any]:
    """Wall and CPU seconds of one peer, what it said, and what the server counted.

    behind: the servers that count, where it asks a router. Raises ServerFault.
    """
    counting = behind or (served,)
    env = {**environment(), **OFFLINE}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != "ready":
            raise ServerFault(f"{command[-1]} did not start; its message is above")
        before = counters(*counting)
        process.stdin.write("\n")
        process.stdin.flush()
        told = process.stdout.readline()
    if process.returncode:
        raise ServerFault(f"{command[-1]} failed; its message is above")
    after = settled(before["completion_tokens"] + asked, *counting)
    cost: dict[str, Any] = json.loads(told)
    return cost | {name: after[name] - before[name] for name in _COUNTERS}


def counters(*servers: Served, names: Mapping[str, str] = _COUNTERS) -> dict[str, float]:
    """The servers' counters now, added up."""
    text = ""
    for served in servers:
        request = urllib.request.Request(served.url + "/metrics")
        with urllib.request.urlopen(request, timeout=30) as answer:
            text += answer.read().decode()
    return {
        name: sum(map(float, re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))
        for name, metric in names.items()
    }


def settled(tokens: float, *servers: Served) -> dict[str, float]:
    """The counters once so many tokens are told and no more come: vLLM tells them late."""
    before, found = dict[str, float](), counters(*servers)
    for _ in range(20):
        if found["completion_tokens"] >= tokens and found == before:
            break
        time.sleep(0.2)
        before, found = found, counters(*servers)
    return found


def _row(
    program: str, size: Size, who: str, found: list[dict[str, float]], ours: list[dict[str, float]]
) -> dict[str, Any]:
    work = work_of(program, size, "")
    asked = answer_tokens(work)
    row: dict[str, Any] = {
        "name": f"{program} {who}",
        "program": program,
        "who": who,
        "calls": calls_of(work),
        "asked_completion_tokens": asked,
        "as_asked": all(each["completion_tokens"] == asked for each in found),
    }
    for figure in ("wall_s", "cpu_s", *_COUNTERS):
        row[figure] = measured([each[figure] for each in found], "less")
    row["cpu_ms_per_call"] = round(row["cpu_s"]["median"] / row["calls"] * 1e3, 3)
    for figure in ("wall_s", "cpu_s"):
        ratios = [a[figure] / b[figure] for a, b in zip(found, ours, strict=True)]
        row[f"{figure}_over_ours"] = round(statistics.median(ratios), 3)
    return row
