"""``benchmarks.router``: what a vllm-router makes of what a computer tells it.

    python -m benchmarks.router [--agents N] [--turns N] [--documents N] [--questions N]
                                [--repeats N] [--simulated] [--kv-blocks N] [--langgraph]
                                [--arms "A;B"] [--json]

Two servers, and before them, in turn, a router:

    round robin           in turn, whoever asks
    affinity              its own guess: the longest beginning that a server has had (cache_aware)
    programs, bound       our hints: a program's calls go to one server (what ``serve`` sets)
    programs, scheduled   our hints, and its admission of programs with them
    programs, by memory   the same, and it is told how many tokens a server holds (``--simulated``)
    told nothing          the router of "programs, bound", without our hints
    LangGraph             the router of "affinity", and the same work in LangGraph (``--langgraph``)

The servers are vLLM with the embedded model on this machine; or, ``--simulated``, two that keep a
GPU's time and memory and compute nothing, which the same router is before (``router_servers``).
The work is agents, each of whose turns reads all before it, and questions on documents, at once.
Every arm has texts of its own; which goes first rotates. Makespan and cached tokens are of the
receipt, so they are what the programs saw; LangGraph's are its own seconds and the servers' counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.command import carry_out, printing
from benchmarks.peers.running import HERE, counters, peers_python, run_peer
from benchmarks.peers.work import prompt_of
from benchmarks.router_servers import Pair, real
from benchmarks.router_servers import simulated as two_simulated
from benchmarks.servers import tokenizer
from nlpu import Computer, Usage, lift, nlop, spawn
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.vllm.command import router_python
from nlpu.engines.vllm.kv_room import BOUND, kv_tokens, scheduling
from nlpu.engines.vllm.replicated import Router
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.servers import Served
from nlpu.runtime.bench.throughput_profiles import FILLER, nonce
from nlpu.wire import Reply, Request

SCHEDULED = {**BOUND, "binding_only": False, "global_queue": True}
LANGGRAPH = "LangGraph"
COUNTS = {"preempted": "vllm:num_preemptions_total", "lost_s": "simulated:lost_seconds_total"}
ARMS: dict[str, tuple[dict[str, Any], bool]] = {
    "round robin": ({"policy": "round_robin", "programs": None}, True),
    "affinity": ({"programs": None}, True),
    "programs, bound": ({}, True),
    "programs, scheduled": ({"programs": SCHEDULED}, True),
    "told nothing": ({}, False),
}


class Size(NamedTuple):
    """How much work it is."""

    agents: int
    turns: int
    documents: int
    questions: int


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
    story: Any = beginning(name)
    for turn in range(turns):
        story = longer(story, go_on(story), news(turn))
    return go_on(story)


def beginning(name: str) -> str:
    """What an agent starts from."""
    return f"{name} {FILLER * 12}"


def news(turn: int) -> str:
    """What comes to an agent after a turn."""
    return f"{turn} {FILLER * 3}"


def document(name: str, number: int) -> str:
    """A text that is asked about."""
    return f"{name} document {number}\n{FILLER * 40}"


def question(number: int) -> str:
    """What is asked about each."""
    return f"What is word {number}?"


def work(name: str, agents: int, turns: int, documents: int, questions: int) -> Any:
    """Agents and documents, all at once."""
    acting = [spawn(agent, f"{name} agent {n}", turns) for n in range(agents)]
    texts = [document(name, n) for n in range(documents)]
    # Question by question, as people ask: a document's calls do not follow each other.
    asked = [find(question(n), text) for n in range(questions) for text in texts]
    return [*acting, *asked]


def router(
    agents: Annotated[int, typer.Option(min=1)] = 6,
    turns: Annotated[int, typer.Option(min=1)] = 4,
    documents: Annotated[int, typer.Option(min=1)] = 4,
    questions: Annotated[int, typer.Option(min=1)] = 6,
    repeats: Annotated[int, typer.Option(min=1)] = 1,
    simulated: bool = False,
    kv_blocks: Annotated[int, typer.Option(min=128)] = 8192,
    langgraph: bool = False,
    arms: Annotated[str, typer.Option(metavar="A;B", help="Default: all.")] = "",
) -> dict[str, Any]:
    """Cached tokens and makespan of agents and documents behind a router, told and not told."""
    size = Size(agents, turns, documents, questions)
    peers = peers_python() if langgraph else None
    with asyncio.Runner() as runner, ExitStack() as stack:
        pair = (
            two_simulated(kv_blocks, stack.enter_context(tokenizer())[0]) if simulated else real()
        )
        stack.callback(lambda: [runner.run(server.stop()) for server in pair.servers])
        for server in pair.servers:
            runner.run(server.__aenter__())
        named = [name.strip() for name in arms.split(";") if name.strip()]
        rows = list(Bench(runner, pair, size, peers, named).rows(repeats))
    return {"arms": rows, **size._asdict(), "repeats": repeats, **circumstances(**pair.facts)}


class Bench:
    """The arms, one after the other, on two servers that are up. Raises Usage for no arm's name.

    peers: the Python that has LangGraph; without it that arm is left out. named: the arms that
    are measured, all where none is.
    """

    def __init__(
        self, runner: asyncio.Runner, pair: Pair, size: Size, peers: str | None, named: list[str]
    ) -> None:
        self._runner, self._pair, self._size, self._peers = runner, pair, size, peers
        self._router, self._run = router_python(), nonce()
        self._arms = dict(ARMS)
        room = runner.run(kv_tokens([server.url for server in pair.servers]))
        self._arms["programs, by memory"] = {"programs": scheduling(room)}, True
        if peers is not None:
            self._arms[LANGGRAPH] = self._arms["affinity"]
        if unknown := set(named) - self._arms.keys():
            raise Usage(f"no arm is called {min(unknown)}: there are {'; '.join(self._arms)}")
        self._arms = {name: how for name, how in self._arms.items() if name in named or not named}

    def rows(self, repeats: int) -> Iterator[dict[str, Any]]:
        """The medians of each arm."""
        from nlpu.runtime.terminal.output import say  # the terminal's; only for people who wait

        found: dict[str, list[dict[str, float]]] = {name: [] for name in self._arms}
        names = list(self._arms)
        for turn in range(repeats):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                say(f"measuring {name} ...")
                found[name].append(self._measured(name))
                say(f"{name}: {found[name][-1]}")
        for name, each in found.items():
            middle = {figure: median(one[figure] for one in each) for figure in each[0]}
            yield {"name": name, **middle}

    def _measured(self, name: str) -> dict[str, float]:
        how, told = self._arms[name]
        front = Router(self._pair.servers, self._router, **how)
        before = counters(*self._pair.served, names=COUNTS)
        self._runner.run(front.__aenter__())
        try:
            found = self._langgraph(front) if name == LANGGRAPH else self._ours(front, told)
        finally:
            self._runner.run(front.stop())
        after = counters(*self._pair.served, names=COUNTS)
        return found | {each: round(after[each] - before[each], 1) for each in COUNTS}

    def _ours(self, front: Router, told: bool) -> dict[str, float]:
        engine = front.engine(4 * self._pair.slots)
        cpu_s = time.process_time()
        with Computer(engine if told else ToldNothing(engine)) as computer:
            done = computer.run(work, f"{self._run} {nonce()}", *self._size)
        if done.error is not None:
            raise done.error
        receipt = done.receipt
        waited_ms = receipt.waited_ms / receipt.calls
        return {
            "calls": receipt.calls,
            "prompt_tokens": receipt.prompt_tokens,
            "cached": round(receipt.cached_tokens / receipt.prompt_tokens, 3),
            "makespan_s": round(receipt.seconds, 1),
            "cpu_s": round(time.process_time() - cpu_s, 1),
            **({} if self._pair.simulated else {"waited_mean_ms": round(waited_ms)}),
        }

    def _langgraph(self, front: Router) -> dict[str, float]:
        assert self._peers is not None
        told = Served(front.url, front.api_key)
        command = [self._peers, str(HERE / "router_langgraph_peer.py")]
        order = {
            "work": self._told(front, f"{self._run} {nonce()}", self._size),
            "warm_up": self._told(front, f"{self._run} {nonce()}", Size(2, 1, 1, 2)),
        }
        calls = calls_of(self._size)
        cost = run_peer(command, told, order, 0, behind=self._pair.served)
        return {
            "calls": calls,
            "prompt_tokens": cost["prompt_tokens"],
            "cached": round(cost["cached_tokens"] / cost["prompt_tokens"], 3),
            "makespan_s": round(cost["wall_s"], 1),
            "cpu_s": round(cost["cpu_s"], 1),
        }

    def _told(self, front: Router, name: str, size: Size) -> dict[str, Any]:
        """The work as a peer is told it."""
        return {
            "url": front.url,
            "model": front.model,
            "key": front.api_key,
            **prompt_of(go_on),
            "find": find.text,
            "turn_tokens": go_on.sampling.max_tokens,
            "answer_tokens": find.sampling.max_tokens,
            "stories": [beginning(f"{name} agent {n}") for n in range(size.agents)],
            "news": [news(turn) for turn in range(size.turns)],
            "documents": [document(name, n) for n in range(size.documents)],
            "questions": [question(n) for n in range(size.questions)],
        }


def calls_of(size: Size) -> int:
    """How many calls the work is."""
    return size.agents * (size.turns + 1) + size.documents * size.questions


app = printing(router)

if __name__ == "__main__":
    carry_out(app)
