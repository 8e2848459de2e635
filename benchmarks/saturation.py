"""``benchmarks.saturation``: how much of a fast server one process of this runtime keeps busy.

Theory of operation
-------------------
First against servers that do not exist: one that answers at once from another process, but no
faster than 200 to 2,000 calls a second, as a GPU that is full. A program of independent calls runs
for some seconds; its share is the rate it reached over the server's. A bare aiohttp client does
the same for comparison (see ``requests`` for what that is).

Then on a real vLLM, if there is one (``--vllm URL`` with the key in $NLPU_API_KEY, or a Python with
vLLM in $NLPU_VLLM_PYTHON): generated tokens per second through the runtime over those of a bare
client with the same number of requests in flight, in turns.

Rules
1. Rates are of the wall's clock, from the start of the program to its result: start and end count.
2. On vLLM both sides have texts of their own in every turn, equally long, so that nobody finds the
   other's prompts in the prefix cache; who goes first alternates.
3. A share on a machine whose cores the servers and others use too is a lower bound.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from typing import Annotated, Any

import aiohttp
import typer

from benchmarks.command import carry_out
from benchmarks.gates import at_least
from benchmarks.overhead.requests import bodies_of, notes
from benchmarks.overhead.shapes import begin
from benchmarks.servers import instant_server, tokenizer
from nlpu import Computer, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.servers import Served, may_serve, vllm_server
from nlpu.wire import Request

RATES = (200, 500, 1000, 2000)
SHARE = 0.95
IN_FLIGHT = 16  # on vLLM
app = typer.Typer(add_completion=False)

Vllm = Annotated[str | None, typer.Option("--vllm", metavar="URL", help="A server that runs.")]
Turns = Annotated[int, typer.Option("--turns", min=1, metavar="N", help="On vLLM, of each client.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@nlop(max_tokens=32, at_limit="trim")
def go_on(start: str) -> str:
    """Continue the story with many details, in one long paragraph."""


@app.command(help="The share of a fast server's rate that one process reaches.")
def command(as_json: AsJson = False, vllm: Vllm = None, turns: Turns = 5) -> None:
    from nlpu.runtime.terminal.output import write_json

    figures = saturation(vllm, turns)
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def saturation(
    vllm: str | None = None, turns: int = 5, rates: tuple[int, ...] = RATES, seconds: float = 5
) -> dict[str, Any]:
    """Everything the command prints; ``vllm`` is None in it where there is no such server."""
    facts = circumstances()
    with tokenizer() as (directory, _):
        found = [measure_rate(rate, directory, int(rate * seconds)) for rate in rates]
    on_vllm = None
    if may_serve(vllm):
        with vllm_server(vllm, "--max-model-len", "2048", "--max-num-seqs", str(IN_FLIGHT)) as it:
            on_vllm = measure_vllm(it, turns)
    return {"rates": found, "vllm": on_vllm, **facts}


# -- servers that answer at a given rate -----------------------------------------------------------


def measure_rate(rate: int, directory: str, calls: int) -> dict[str, Any]:
    """The share of a server's rate that ours and a bare client reach."""
    with (
        instant_server("yes", rate) as url,
        tempfile.TemporaryDirectory() as runs,
        Computer(HttpEngine(url, tokenizer=directory), run_dir=runs) as computer,
    ):
        computer.run(lambda: None)
        note = notes("rate", 0)
        wall, cpu = time.perf_counter(), time.process_time()
        run = computer.run(lambda: [begin(note(i)) for i in range(calls)])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert run.receipt.calls == calls, run.error
        processor = computer.processors["main"]
        prompt = processor.prompt(begin, (note(0),))
        request = Request("0", prompt, begin.sampling, begin.result.constraint)
        bare_s, bare_cpu, _ = asyncio.run(
            bare(Served(url, None), bodies_of([request] * calls), 256)
        )
    return {
        "server_calls_per_s": rate,
        "calls": calls,
        "share": round(calls / wall / rate, 3),
        "bare_share": round(calls / bare_s / rate, 3),
        "calls_per_s_per_core": round(calls / cpu),
        "bare_calls_per_s_per_core": round(calls / bare_cpu),
    }


async def bare(served: Served, bodies: list[Any], in_flight: int) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, generated tokens) of a bare client."""
    room, tokens = asyncio.Semaphore(in_flight), 0
    headers = {"Authorization": f"Bearer {served.api_key}"} if served.api_key else {}
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask(body: dict[str, Any]) -> None:
            nonlocal tokens
            async with room, session.post(f"{served.url}/v1/completions", json=body) as response:
                answer = await response.json()
            tokens += answer["usage"]["completion_tokens"]

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(ask(body) for body in bodies))
        return time.perf_counter() - wall, time.process_time() - cpu, tokens


# -- a real server ---------------------------------------------------------------------------------


def measure_vllm(served: Served, turns: int, calls: int = 4 * IN_FLIGHT) -> dict[str, Any]:
    """Tokens per second of both on vLLM, in turns."""
    ours, bare = [], []
    with (
        tempfile.TemporaryDirectory() as runs,
        Computer(served.engine(IN_FLIGHT), run_dir=runs) as computer,
    ):
        model = computer.processors["main"].capabilities.model
        _ours_on_vllm(computer, "warm", 2 * IN_FLIGHT)
        for turn in range(turns):
            for mine in (True, False) if turn % 2 else (False, True):
                if mine:
                    ours.append(_ours_on_vllm(computer, f"a{turn}", calls))
                else:
                    bare.append(_bare_on_vllm(computer, served, f"b{turn}", calls))
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {
        "model": model,
        "in_flight": IN_FLIGHT,
        "calls": calls,
        "turns": turns,
        "tokens_per_s": round(statistics.median(ours), 1),
        "bare_tokens_per_s": round(statistics.median(bare), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def _ours_on_vllm(computer: Computer, name: str, calls: int) -> float:
    note = notes(name, 20)
    wall = time.perf_counter()
    run = computer.run(lambda: [go_on(note(i)) for i in range(calls)])
    wall = time.perf_counter() - wall
    if run.error is not None:
        raise run.error
    return run.receipt.completion_tokens / wall


def _bare_on_vllm(computer: Computer, served: Served, name: str, calls: int) -> float:
    processor, note = computer.processors["main"], notes(name, 20)
    requests = [
        Request(str(i), processor.prompt(go_on, (note(i),)), go_on.sampling) for i in range(calls)
    ]
    bodies = bodies_of(requests, processor.capabilities.model)
    wall, _, tokens = asyncio.run(bare(served, bodies, IN_FLIGHT))
    return tokens / wall


# -- printing --------------------------------------------------------------------------------------


def _print(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    show(
        "Share of a server's rate that one process reaches",
        ("server calls/s", "share", "bare client's", "calls/s per core", "bare client's"),
        [
            (
                f"{row['server_calls_per_s']:,}",
                row["share"],
                row["bare_share"],
                row["calls_per_s_per_core"],
                row["bare_calls_per_s_per_core"],
            )
            for row in figures["rates"]
        ],
    )
    on_vllm = figures["vllm"]
    if on_vllm is None:
        print("vLLM: not measured; give --vllm URL, or set NLPU_VLLM_PYTHON")
        return
    show(
        f"vLLM, {on_vllm['model']}: {on_vllm['calls']} calls, {on_vllm['in_flight']} in flight",
        ("turns", "tokens/s", "bare client's", f"ratio (>= {SHARE:g})", "every turn's"),
        [
            (
                on_vllm["turns"],
                on_vllm["tokens_per_s"],
                on_vllm["bare_tokens_per_s"],
                at_least(on_vllm["ratio"], SHARE),
                " ".join(map(str, on_vllm["ratios"])),
            )
        ],
    )


if __name__ == "__main__":
    carry_out(app)
