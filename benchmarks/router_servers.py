"""The two servers behind the router of ``benchmarks.router``: real ones, or simulated ones.

Simulated is a server's time and memory (``benchmarks.fake_vllm.gpu``): it sleeps where a GPU would
compute. The router, the computer and what they say to each other are real. A server generates and
reads at about a quarter of a GPU's rates, so that what this machine takes for its own part of a
call is little beside it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fake_vllm.blocks import BLOCK
from benchmarks.servers import environment
from nlpu.engines.vllm.conversion import converted
from nlpu.engines.vllm.port import claim
from nlpu.engines.vllm.server import VllmServer
from nlpu.runtime.bench.servers import Served

REAL_SLOTS, SLOTS = 8, 32
REAL_FLAGS = ("--max-model-len", "2048", "--max-num-seqs", str(REAL_SLOTS), "--block-size", "32")
TOKENS_PER_S, PREFILL_PER_S, WINDOW = 12.5, 5_000, 2_048


class SimulatedServer(VllmServer):
    """A scripted server with the time and the memory of a GPU's, in a process that ends with us."""

    what = "the simulated server"

    def __init__(self, blocks: int, tokenizer: str, api_key: str | None = None) -> None:
        super().__init__("simulated", api_key=api_key)
        self._gpu = f"{SLOTS},{TOKENS_PER_S},{PREFILL_PER_S},{blocks}"
        self._tokenizer = tokenizer

    async def _start(self) -> None:
        self.port = claim(self.port)
        line = [sys.executable, "-m", "benchmarks.fake_vllm", "--port", str(self.port)]
        line += ["--gpu", self._gpu, "--full", "--window", str(WINDOW)]
        line += ["--model", self.model, "--tokenizer", self._tokenizer, f"--api-key={self.api_key}"]
        await self._keep(line, environment())


@dataclass(frozen=True)
class Pair:
    """Two servers of one model. slots: of each; facts: what they are, for the result."""

    servers: list[VllmServer]
    slots: int
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether they only keep time; then ``facts`` has the ``kv_tokens`` of each."""
        return bool(self.facts.get("simulated"))

    @property
    def served(self) -> list[Served]:
        """Where each of them answers."""
        return [Served(server.url, server.api_key) for server in self.servers]


def real() -> Pair:
    """vLLM with the embedded model, twice."""
    first = VllmServer(str(converted(None)), flags=REAL_FLAGS)
    second = VllmServer(str(converted(None)), api_key=first.api_key, flags=REAL_FLAGS)
    return Pair([first, second], REAL_SLOTS, {"flags": REAL_FLAGS})


def simulated(blocks: int, tokenizer: str) -> Pair:
    """Two simulated servers with so much memory each."""
    first = SimulatedServer(blocks, tokenizer)
    second = SimulatedServer(blocks, tokenizer, first.api_key)
    facts = {
        "simulated": True,
        "slots": SLOTS,
        "tokens_per_s_of_each_request": TOKENS_PER_S,
        "prefill_tokens_per_s": PREFILL_PER_S,
        "kv_tokens": blocks * BLOCK,
    }
    return Pair([first, second], SLOTS, facts)
