"""The scripted server as a process: ``python -m benchmarks.fake_vllm.server --port 0 ...``.

The first line on stdout is the URL, written once it listens. It ends on SIGTERM or SIGINT, or when
its standard input closes if ``--with-parent`` is given, so that no test leaves one behind.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from benchmarks.fake_vllm.answers import full
from benchmarks.fake_vllm.faults import FAULTS, Plan, mix, script
from benchmarks.fake_vllm.gpu import Gpu
from benchmarks.fake_vllm.instant import InstantServer
from benchmarks.fake_vllm.server import FaultServer


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    asyncio.run(_serve(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(FAULTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fake_vllm.server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of --rate")
    parser.add_argument("--rate", action="append", default=[], metavar="FAULT[:SECONDS]=SHARE")
    parser.add_argument("--script", default="", help=f"faults in order, by comma, of: {names}")
    parser.add_argument("--model", action="append", help="a name to serve; may be repeated")
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--api-key")
    parser.add_argument("--tokenizer", help="directory with tokenizer.json")
    parser.add_argument("--log", help="file that gets one JSON line per generation request")
    parser.add_argument("--not-vllm", action="store_true", help="only what every server has")
    parser.add_argument("--instant", action="store_true", help="least CPU, one fixed answer")
    parser.add_argument("--text", default="Yes.", help="the answer of --instant")
    parser.add_argument("--calls-per-s", type=float, default=0.0, help="most, of --instant")
    parser.add_argument("--gpu", metavar="SLOTS,TOKENS_PER_S,PREFILL_PER_S[,BLOCKS]")
    parser.add_argument("--full", action="store_true", help="free texts of max_tokens tokens")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    return parser


def _plan(options: argparse.Namespace) -> Plan | None:
    if options.script:
        return script(options.script.split(","))
    rates = dict(rate.rsplit("=", 1) for rate in options.rate)
    return mix(options.seed, {kind: float(share) for kind, share in rates.items()})


def _server(options: argparse.Namespace) -> FaultServer | InstantServer:
    models = tuple(options.model or ["fault-1"])
    if options.instant:
        return InstantServer(
            options.text, models[0], options.window, options.port, options.calls_per_s
        )
    gpu = None
    if options.gpu:
        slots, tokens_per_s, prefill_per_s, *blocks = options.gpu.split(",")
        gpu = Gpu(int(slots), float(tokens_per_s), float(prefill_per_s), *map(int, blocks))
    return FaultServer(
        plan=_plan(options),
        answer=(lambda seen: full(seen.body)) if options.full else None,
        models=models,
        window=options.window,
        api_key=options.api_key,
        vllm=not options.not_vllm,
        tokenizer=options.tokenizer,
        log=options.log,
        gpu=gpu,
        port=options.port,
    )


async def _serve(options: argparse.Namespace) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.with_parent:
        loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing is ever written there but its end
    async with _server(options) as server:
        print(server.url, flush=True)
        await stop.wait()
