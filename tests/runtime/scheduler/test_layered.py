"""Random layered graphs: how near the scheduler comes to the best possible makespan.

200 graphs of 20 layers of 50 calls with uneven lengths, on 8 to 64 slots. No schedule can beat
max(work / slots, span); level by level execution waits for a whole layer before the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from statistics import mean
from typing import Any

import pytest
from kit import execute

from nlpu import Limits, Op, lift
from nlpu.ops.op import Operand
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.types.result import result_type

LAYERS, WIDTH = 20, 50
TOKENS_PER_S = 100.0
SLOTS = (8, 16, 32, 64)
TEXT = result_type(str)


@dataclass
class Layered:
    """A graph: each node's tokens, and the nodes of earlier layers that it reads."""

    tokens: list[int]
    reads: list[list[int]]

    @property
    def work_s(self) -> float:
        return sum(self.tokens) / TOKENS_PER_S

    @property
    def span_s(self) -> float:
        ends: list[int] = []
        for tokens, reads in zip(self.tokens, self.reads, strict=True):
            ends.append(tokens + max((ends[n] for n in reads), default=0))
        return max(ends) / TOKENS_PER_S


def layered(seed: int) -> Layered:
    """Each node reads one to three of the layer before; lengths are log-normal, 5 to 500."""
    random = Random(seed)
    tokens = [
        min(500, max(5, round(random.lognormvariate(3.5, 0.8)))) for _ in range(LAYERS * WIDTH)
    ]
    reads: list[list[int]] = [[] for _ in range(WIDTH)]
    for node in range(WIDTH, LAYERS * WIDTH):
        first = (node // WIDTH - 1) * WIDTH
        reads.append(sorted(random.sample(range(first, first + WIDTH), random.randint(1, 3))))
    return Layered(tokens, reads)


def asks(tokens: int, reads: int) -> Op[Any]:
    """An op with that many operands whose answers have exactly that many tokens."""
    places = tuple(Operand(f"text_{n}", TEXT) for n in range(max(1, reads)))
    return Op(f"op_{tokens}", f"Say {tokens}.", places, TEXT, Sampling(tokens))


def answer(seen: Seen) -> Say:
    return Say("".join(seen.operands.values())[:1] or "x", tokens=seen.request.sampling.max_tokens)


def makespan_s(graph: Layered, slots: int) -> float:
    """What the runtime takes."""

    def program() -> Any:
        nodes: list[Any] = []
        for tokens, reads in zip(graph.tokens, graph.reads, strict=True):
            operands = [nodes[n] for n in reads] or [f"start {len(nodes)}"]
            # The number keeps equal calls apart: they would be one call.
            nodes.append(asks(tokens, len(reads))(*operands, sample=len(nodes)))
        return lift(len)(nodes)

    engine = Scripted(answer, slots=slots, tokens_per_s=TOKENS_PER_S)
    run = execute(program, engine=engine, limits=Limits(max_in_flight=slots))
    assert run.result == LAYERS * WIDTH
    assert run.receipt.work_s == pytest.approx(graph.work_s, rel=1e-4)
    assert run.receipt.span_s == pytest.approx(graph.span_s, rel=1e-4)
    return run.receipt.seconds


def by_levels_s(graph: Layered, slots: int) -> float:
    """Level by level: each layer by list scheduling, in order of issue, then a barrier."""
    total = 0.0
    for layer in range(LAYERS):
        busy: list[float] = []
        for tokens in graph.tokens[layer * WIDTH : (layer + 1) * WIDTH]:
            start = heappop(busy) if len(busy) == slots else 0.0
            heappush(busy, start + tokens / TOKENS_PER_S)
        total += max(busy)
    return total


def measure(seeds: range) -> dict[int, tuple[float, float]]:
    """By slots: the mean makespan over the lower bound, and over level by level execution."""
    found: dict[int, list[tuple[float, float]]] = {slots: [] for slots in SLOTS}
    for seed in seeds:
        graph, slots = layered(seed), SLOTS[seed % len(SLOTS)]
        bound = max(graph.work_s / slots, graph.span_s)
        took = makespan_s(graph, slots)
        assert took >= bound - 1e-3
        found[slots].append((took / bound, took / by_levels_s(graph, slots)))
    return {
        slots: (mean(a for a, _ in pairs), mean(b for _, b in pairs))
        for slots, pairs in found.items()
    }


def check(measured: dict[int, tuple[float, float]]) -> None:
    print({slots: (round(a, 4), round(b, 4)) for slots, (a, b) in measured.items()})
    assert mean(over for over, _ in measured.values()) <= 1.05, measured
    for slots, (_, by_levels) in measured.items():
        if slots >= 16:
            assert by_levels <= 0.8, measured


def test_near_the_lower_bound() -> None:
    check(measure(range(4)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_near_the_lower_bound_on_200_graphs() -> None:
    check(measure(range(200)))
