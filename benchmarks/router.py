"""``benchmarks.router``: what a vllm-router makes of what a computer tells it, on real servers.

    python -m benchmarks.router [--agents N] [--turns N] [--documents N] [--questions N]
                                [--repeats N] [--json]

Two vLLM servers of the embedded model on this machine, and before them, in turn, a router:

    round robin           in turn, whoever asks
    affinity              its own guess: the longest beginning that a server has had (cache_aware)
    programs, bound       our hints: a program's calls go to one server (what ``serve`` sets)
    programs, scheduled   our hints, and its admission of programs with them
    told nothing          the router of "programs, bound", without our hints

The work is agents, each of whose turns reads all before it, and questions on documents, at once.
Every arm has texts of its own; which goes first rotates. Makespan and cached tokens are of the
receipt, so they are what the programs saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out, printing
from nlpu import Computer, lift, nlop, spawn
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.vllm.command import PROGRAMS, router_python
from nlpu.engines.vllm.conversion import converted
from nlpu.engines.vllm.replicated import Router
from nlpu.engines.vllm.server import VllmServer
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.throughput_profiles import FILLER, nonce
from nlpu.wire import Reply, Request

SLOTS = 8
FLAGS = ("--max-model-len", "2048", "--max-num-seqs", str(SLOTS), "--block-size", "32")
SCHEDULED = {**PROGRAMS, "binding_only": False, "global_queue": True}
ARMS: dict[str, tuple[dict[str, Any], bool]] = {
    "round robin": ({"policy": "round_robin", "programs": None}, True),
    "affinity": ({"programs": None}, True),
    "programs, bound": ({}, True),
    "programs, scheduled": ({"programs": SCHEDULED}, True),
    "told nothing": ({}, False),
}


@nlop(max_tokens=16, at_limit="trim")
def go_on(story: str) -> str:
    """Continue the story with many details."""


@nlop(max_tokens=8, at_limit="trim")
def find(question: str, text: str) -> str:
    """Answer the question from the text."""


@lift
def longer(story: str, more: str, news: str) -> str:
    """A transcript that grows at its end."""
    return f"{story}\n{more}\n{news}"


class ToldNothing:
    """An engine whose requests do not say where they come from."""

    def __init__(self, engine: HttpEngine) -> None:
        self._engine = engine
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return await self._engine.send(request._replace(origin=None), on_text)


def agent(name: str, turns: int) -> Any:
    """Turns that read all before them."""
    story: Any = f"{name} {FILLER * 12}"
    for turn in range(turns):
        story = longer(story, go_on(story), f"{turn} {FILLER * 3}")
    return go_on(story)


def work(name: str, agents: int, turns: int, documents: int, questions: int) -> Any:
    """Agents and documents, all at once."""
    acting = [spawn(agent, f"{name} agent {n}", turns) for n in range(agents)]
    texts = [f"{name} document {n}\n{FILLER * 40}" for n in range(documents)]
    # Question by question, as people ask: a document's calls do not follow each other.
    asked = [find(f"What is word {n}?", text) for n in range(questions) for text in texts]
    return [*acting, *asked]


def router(
    agents: Annotated[int, typer.Option(min=1)] = 6,
    turns: Annotated[int, typer.Option(min=1)] = 4,
    documents: Annotated[int, typer.Option(min=1)] = 4,
    questions: Annotated[int, typer.Option(min=1)] = 6,
    repeats: Annotated[int, typer.Option(min=1)] = 1,
) -> dict[str, Any]:
    """Cached tokens and makespan of agents and documents behind a router, told and not told."""
    size = (agents, turns, documents, questions)
    with asyncio.Runner() as runner:
        first = VllmServer(str(converted(None)), flags=FLAGS)
        servers = [first, VllmServer(str(converted(None)), api_key=first.api_key, flags=FLAGS)]
        try:
            runner.run(_up(servers))
            rows = list(_arms(runner, servers, size, repeats))
        finally:
            for server in servers:
                runner.run(server.stop())
    shape = dict(zip(("agents", "turns", "documents", "questions"), size, strict=True))
    return {"arms": rows, **shape, "repeats": repeats, **circumstances(flags=FLAGS)}


async def _up(servers: list[VllmServer]) -> None:
    for server in servers:
        await server.__aenter__()


def _arms(
    runner: asyncio.Runner, servers: list[VllmServer], size: tuple[int, ...], repeats: int
) -> Iterator[dict[str, Any]]:
    from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    python, names, run = router_python(), list(ARMS), nonce()
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            say(f"measuring {name} ...")
            how, told = ARMS[name]
            found[name].append(_measured(runner, Router(servers, python, **how), told, size, run))
    for name, each in found.items():
        middle = {figure: median(one[figure] for one in each) for figure in each[0]}
        yield {"name": name, **middle}


def _measured(
    runner: asyncio.Runner, front: Router, told: bool, size: tuple[int, ...], run: str
) -> dict[str, float]:
    runner.run(front.__aenter__())
    try:
        engine = front.engine(4 * SLOTS)
        with Computer(engine if told else ToldNothing(engine)) as computer:
            done = computer.run(work, f"{run} {nonce()}", *size)
    finally:
        runner.run(front.stop())
    if done.error is not None:
        raise done.error
    receipt = done.receipt
    return {
        "calls": receipt.calls,
        "prompt_tokens": receipt.prompt_tokens,
        "cached": round(receipt.cached_tokens / receipt.prompt_tokens, 3),
        "makespan_s": round(receipt.seconds, 1),
        "waited_mean_ms": round(receipt.waited_ms / receipt.calls),
    }


app = printing(router)

if __name__ == "__main__":
    carry_out(app)
