"""``benchmarks.gpu``: what whoever has a GPU can measure in nine minutes. ``make gpu`` sets it up.

    python -m benchmarks.gpu [--model NAME|DIR] [--flag NAME=VALUE]... [--minutes M] [--quick]
                             [--no-peers] [--output FILE] [--json]

Starts ``nlpu serve`` for the model, measures one part after the other, and prints one JSON object:

    throughput   tokens a second of a program's calls, and their share of what vLLM's own benchmark
                 (``vllm bench serve``) reaches with as many requests of that length at once
    document     sixteen questions on one document (``benchmarks.document``)
    programs     an uneven graph and a fleet of agents, beside LangGraph and DSPy where these are
                 (``benchmarks.peers``)

Rules
1. It ends in time: each part is a process of its own, which is ended with all it started when the
   minutes are over. What was measured by then is delivered; what was not says why.
2. ``--quick`` is the same in small: the parts as they run on a CPU, in the tests.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.command import carry_out
from benchmarks.document import arms, measured
from benchmarks.peers.running import against, peers_python
from benchmarks.peers.work import QUICK
from nlpu import Computer, MissingPart, NlpuError, ServerFault
from nlpu.engines.vllm.command import PYTHON_VARIABLE
from nlpu.ops.op import Op, Operand
from nlpu.processor import Processor
from nlpu.runtime.bench.programs_work import SMALL
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.servers import Served
from nlpu.runtime.bench.throughput_profiles import filled, nonce
from nlpu.runtime.settings import KEY_VARIABLE
from nlpu.runtime.terminal.options import Json
from nlpu.sampling import Sampling
from nlpu.types.result import result_type

MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
MINUTES = 9.0
_SPARE_S = 30.0  # to take the server down and to print
_BENCH = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
app = typer.Typer(add_completion=False)


class Load(NamedTuple):
    """Requests, how many at once, and their tokens in and out."""

    requests: int
    at_once: int
    tokens_in: int
    tokens_out: int


FULL, ON_CPU = Load(1024, 256, 512, 100), Load(16, 8, 128, 16)


@app.command(help="Measure a GPU in nine minutes; JSON on stdout.")
def command(
    model: str = MODEL,
    flag: Annotated[list[str] | None, typer.Option(help="vLLM's, as --name=value.")] = None,
    minutes: Annotated[float, typer.Option(min=1, max=MINUTES)] = MINUTES,
    quick: bool = False,
    peers: Annotated[bool, typer.Option("--peers/--no-peers")] = True,
    output: Path | None = None,
    part: Annotated[str, typer.Option(hidden=True)] = "",
    url: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    if part:
        served = Served(url, os.environ[KEY_VARIABLE], model, os.environ.get("NLPU_TOKENIZER"))
        print(json.dumps(PARTS[part](served, quick, peers)))
        return
    figures = measure(model, flag or [], minutes * 60, quick, peers)
    found = json.dumps(figures, indent=None if as_json else 1)
    if output:
        output.write_text(found + "\n", encoding="utf-8")
    print(found)


def measure(
    model: str, flags: list[str], limit_s: float, quick: bool, peers: bool
) -> dict[str, Any]:
    """Everything the command prints."""
    from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

    end_s = time.monotonic() + limit_s - _SPARE_S
    facts = {"model": model, "flags": flags, "quick": quick, "gpus": gpus(), **circumstances()}
    found: dict[str, Any] = {}
    try:
        say(f"starting nlpu serve {model} ...")
        with serving(model, flags, end_s) as (url, env, ready_s):
            found["serve"] = {"ready_s": round(ready_s, 1)}
            for name in PARTS:
                say(f"measuring {name} ...")
                found[name] = in_a_process(name, url, env, end_s, quick, peers)
    except NlpuError as error:
        found.setdefault("serve", {"failed": str(error)})
    return {
        **facts,
        "parts": found,
        "seconds": round(limit_s - _SPARE_S - end_s + time.monotonic()),
    }


def gpus() -> list[str]:
    """What NVIDIA's tool says is there; nothing where there is none."""
    ask = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.strip().splitlines()


@contextmanager
def serving(
    model: str, flags: list[str], end_s: float
) -> Iterator[tuple[str, dict[str, str], float]]:
    """``nlpu serve`` in a process: its URL, what its clients' environment has, when it was ready.

    Raises MissingPart, ServerFault.
    """
    source, key = folder(model, end_s), secrets.token_hex(24)
    env = {**os.environ, KEY_VARIABLE: key, "NLPU_TOKENIZER": source, "NLPU_MODEL_NAME": model}
    line = [sys.executable, "-m", "nlpu.runtime.terminal", "serve", source, "--port", "0"]
    line += ["--json", "--", *(word for flag in flags for word in flag.split("=", 1))]
    start = time.monotonic()
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=env) as server:
        assert server.stdout is not None
        alarm = _ended_at(server, end_s)
        try:
            told = server.stdout.readline()
            if not told.strip():
                raise ServerFault("nlpu serve did not come up in time; what it said is above")
            said = json.loads(told)
            if "url" not in said:
                raise ServerFault(f"nlpu serve did not come up: {said}")
            env["NLPU_MODEL_NAME"] = said["model"]
            yield said["url"], env, time.monotonic() - start
        finally:
            alarm.cancel()
            server.send_signal(signal.SIGINT)
            _gone(server)


def _gone(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_SPARE_S - 10)
    except subprocess.TimeoutExpired:
        process.kill()  # what it serves ends with it


def _ended_at(process: subprocess.Popen[str], end_s: float) -> Any:
    """A timer that ends a process when the time is over (rule 1)."""
    from threading import Timer

    alarm = Timer(max(0.0, end_s - time.monotonic()), process.send_signal, (signal.SIGINT,))
    alarm.daemon = True
    alarm.start()
    return alarm


def folder(model: str, end_s: float) -> str:
    """The model's folder: a name of the hub is downloaded by vLLM's own environment."""
    from nlpu.engines.models.known import known_model
    from nlpu.engines.vllm.conversion import converted

    if Path(model).is_dir():
        return model
    if known_model(model):
        return str(converted(model))
    code = "import sys, huggingface_hub as h; print(h.snapshot_download(sys.argv[1]))"
    try:
        done = subprocess.run(
            [_vllm_python(), "-c", code, model],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=max(1.0, end_s - time.monotonic()),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingPart(f"{model} could not be downloaded ({error}); give a folder") from error
    return done.stdout.splitlines()[-1]


def _vllm_python() -> str:
    return os.environ.get(PYTHON_VARIABLE) or sys.executable


def in_a_process(
    name: str, url: str, env: dict[str, str], end_s: float, quick: bool, peers: bool
) -> dict[str, Any]:
    """One part's figures, or why there are none (rule 1)."""
    left_s = end_s - time.monotonic()
    if left_s < 1:
        return {"failed": "there was no time left"}
    line = [sys.executable, "-m", "benchmarks.gpu", "--part", name, "--url", url]
    line += ["--model", env["NLPU_MODEL_NAME"], *["--quick"] * quick, *["--no-peers"] * (not peers)]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=left_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return {"failed": f"it was not done within the {left_s:.0f} s that were left"}
    try:
        return dict(json.loads(told.splitlines()[-1]))
    except (ValueError, IndexError):
        return {"failed": f"it ended with {process.returncode}; its message is above"}


# -- the parts -------------------------------------------------------------------------------------


def throughput(served: Served, quick: bool, peers: bool) -> dict[str, Any]:
    """Generated tokens a second: vLLM's own benchmark and a program, in turns."""
    load = ON_CPU if quick else FULL
    own, ours = list[float](), list[float]()
    with Computer(served.engine(load.at_once)) as computer:
        for side in "ab" if quick else "abba":
            own += [own_rate(served, load)] if side == "a" else []
            ours += [program_rate(computer, load)] if side == "b" else []
        exact = computer.processors["main"].capabilities.token_prompts
    rates = {"vllm_tokens_per_s": sum(own) / len(own), "ours_tokens_per_s": sum(ours) / len(ours)}
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    share = rates["ours_tokens_per_s"] / rates["vllm_tokens_per_s"]
    return {**load._asdict(), **rounded, "share": round(share, 3), "token_prompts": exact}


def own_rate(served: Served, load: Load) -> float:
    """Generated tokens a second in ``vllm bench serve``. Raises ServerFault."""
    with tempfile.TemporaryDirectory() as made:
        told = {
            "base-url": served.url,
            "endpoint": "/v1/completions",
            "backend": "openai",
            "model": served.model,
            "tokenizer": served.tokenizer,
            "dataset-name": "random",
            "random-input-len": load.tokens_in,
            "random-output-len": load.tokens_out,
            "num-prompts": load.requests,
            "max-concurrency": load.at_once,
            "seed": int(time.time()),  # another run's prompts are in the cache
            "result-dir": made,
            "result-filename": "result.json",
        }
        words = [word for name, text in told.items() for word in (f"--{name}", str(text))]
        line = [_vllm_python(), "-c", _BENCH, *words, "--ignore-eos", "--save-result"]
        env = {**os.environ, "OPENAI_API_KEY": served.api_key or "none"}
        env.pop("PYTHONPATH", None)  # of another environment
        done = subprocess.run(line, env=env, stdout=sys.stderr, check=False)
        if done.returncode:
            raise ServerFault("vLLM's own benchmark failed; its message is above")
        found = json.loads((Path(made) / "result.json").read_text(encoding="utf-8"))
    return float(found["output_throughput"])


def program_rate(computer: Computer, load: Load) -> float:
    """Generated tokens a second of a program's independent calls."""
    places = (Operand("text", result_type(str)),)
    forced = Sampling(load.tokens_out, extra={"ignore_eos": True})
    write: Op[str] = Op("write", "Go on with the text.", places, result_type(str), forced, "trim")
    processor = computer.processors["main"]
    texts = _texts(processor, write, load)
    done = computer.run(lambda: [write(text) for text in texts])
    if done.error is not None:
        raise done.error
    return float(done.receipt.completion_tokens / done.receipt.seconds)


def _texts(processor: Processor, write: Op[Any], load: Load) -> list[str]:
    run, room = nonce(), load.tokens_in - len(processor.prompt(write, ("",)))
    return [filled(processor.count, room, f"{run} {number}") for number in range(load.requests)]


def document(served: Served, quick: bool, peers: bool) -> dict[str, Any]:
    """Sixteen questions on one document, each way of asking them."""
    asking = arms(peers_python() if peers else None)
    if quick:
        asking = {"ours": asking["ours"]}
    rows = []
    for row in measured(served, str(served.model), asking):
        rows.append({name: told for name, told in row.items() if name != "said"})
        if len(rows) == len(asking) and quick:
            break
    return {"rows": rows}


def programs(served: Served, quick: bool, peers: bool) -> dict[str, Any]:
    """An uneven graph and a fleet of agents, here and in the other frameworks."""
    size = SMALL if quick else QUICK
    return {"rows": against(served, str(served.model), size, 1, peers_python() if peers else None)}


PARTS: dict[str, Callable[[Served, bool, bool], dict[str, Any]]] = {
    "throughput": throughput,
    "document": document,
    "programs": programs,
}

if __name__ == "__main__":
    carry_out(app)
