"""Makespans of the standard programs against the bound that work and span set.

Theory of operation
-------------------
The processor is measured first: seconds a token when one call runs alone, tokens a second when it
is full. Then each program runs, and its receipt's graph gives the bound: no schedule ends before
its longest path at unloaded speed, nor before all its tokens at saturated speed (Brent, 1974).

Rules
1. The bound counts generated tokens only; reading prompts is not in it, so programs that read much
   and write little stay far above it whatever the schedule.
2. Programs are found by name, as the terminal finds them; a program that is not there is left out.
3. Texts are made, with a seed: ``programs_quality.facts``. An agent is a plain function and a fleet
   many starts; an uneven graph is ops on Values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nlpu import Computer, Value, lift
from nlpu.runtime.bench.programs_quality import facts, lines
from nlpu.runtime.bench.programs_work import NOTE, TURN, Size
from nlpu.runtime.bench.programs_work import fleet as fleet_work
from nlpu.runtime.bench.programs_work import uneven as uneven_work
from nlpu.runtime.bench.report import measured
from nlpu.runtime.loader import available, load
from nlpu.wire import Engine, Reply, Request

_TOKENS = 24  # of a calibrating answer
_MANY = 64  # calls that fill any processor that is measured here
Program = Callable[[Computer, str], list[Any]]


class Speed(NamedTuple):
    """Of a processor, as measured."""

    alone_s_per_token: float
    full_tokens_per_s: float


class Whole:
    """An engine whose replies count as ended, so that forced texts are passed on uncut."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return (await self._engine.send(request, on_text))._replace(finish="stop")


def agent(texts: list[str], tokens: list[int]) -> Value[str]:
    """Asks, appends the reply and the next text, asks again."""
    transcript: Any = texts[0]
    for turn, limit in enumerate(tokens):
        reply = TURN.using(max_tokens=limit)(transcript)
        transcript = joined(transcript, reply, *texts[turn + 1 : turn + 2])
    return reply


def uneven(nodes: list[dict[str, Any]]) -> list[Value[str]]:
    """A call for each node; it starts when what it reads is there."""
    made: list[Value[str]] = []
    for spec in nodes:
        parents = [made[parent] for parent in spec["parents"]]
        before: Any = joined(*parents) if parents else ""
        made.append(NOTE.using(max_tokens=spec["tokens"])(spec["text"], before))
    return made


@lift
def joined(*texts: str) -> str:
    """Texts below each other."""
    return "\n".join(texts)


def calibrated(computer: Computer, name: str) -> Speed:
    """One call alone, then as many as the processor takes."""
    many = min(computer.processors["main"].max_in_flight, _MANY)
    alone_s = _seconds(computer, f"{name} a", 1)
    full_s = _seconds(computer, f"{name} b", many)
    return Speed(alone_s / _TOKENS, many * _TOKENS / full_s)


def _seconds(computer: Computer, name: str, calls: int) -> float:
    ask = TURN.using(max_tokens=_TOKENS)
    start = time.perf_counter()
    run = computer.run(lambda: [ask(f"{name} {number}") for number in range(calls)])
    if run.error is not None:
        raise run.error
    return time.perf_counter() - start


def standard(computer: Computer, size: Size, sentences: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each program. Forced texts have to come uncut (``Whole``)."""
    speed = calibrated(computer, "calibrate")
    programs = _programs(size, sentences)
    return [_row(computer, speed, name, program, repeats) for name, program in programs.items()]


def _programs(size: Size, sentences: int) -> dict[str, Program]:
    text = lines(facts(sentences))
    found: dict[str, Program] = {}
    if "summarize_book" in available():
        summarize = load("summarize_book").function
        found["summarize_book"] = lambda computer, name: [
            computer.start(summarize, f"{name}\n{text}", chunk_tokens=256)
        ]
    if "answer" in available():
        answer = load("answer").function
        found["answer"] = lambda computer, name: [
            computer.start(answer, f"Who bought clocks? ({name})", text, chunk_tokens=256)
        ]

    def fleet(computer: Computer, name: str) -> list[Any]:
        agents = fleet_work(size, name)["agents"]
        return [computer.start(agent, **each) for each in agents]

    found["agents"] = fleet
    found["uneven"] = lambda computer, name: [
        computer.start(uneven, uneven_work(size, name)["nodes"])
    ]
    return found


def _row(
    computer: Computer, speed: Speed, name: str, program: Program, repeats: int
) -> dict[str, Any]:
    seconds, bounds, ratios, receipts = [], [], [], []
    for turn in range(repeats):
        start = time.perf_counter()
        runs = program(computer, f"turn {turn}")
        for run in runs:
            run.wait()
            if run.error is not None:
                raise run.error
        seconds.append(time.perf_counter() - start)
        receipts = [run.receipt for run in runs]
        bounds.append(_bound(speed, receipts))
        ratios.append(seconds[-1] / bounds[-1])
    return {
        "name": name,
        "calls": sum(receipt.calls for receipt in receipts),
        "depth": max(receipt.depth for receipt in receipts),
        "prompt_tokens": sum(receipt.prompt_tokens for receipt in receipts),
        "cached_tokens": sum(receipt.cached_tokens for receipt in receipts),
        "completion_tokens": sum(receipt.completion_tokens for receipt in receipts),
        "makespan_s": measured(seconds, "less"),
        "bound_s": measured(bounds, "less"),
        "over_bound": measured(ratios, "less"),
    }


def _bound(speed: Speed, receipts: list[Any]) -> float:
    """Of runs that start together: the longest span, or all their work."""
    span_s = max(receipt.span_tokens for receipt in receipts) * speed.alone_s_per_token
    work_s = sum(receipt.work_tokens for receipt in receipts) / speed.full_tokens_per_s
    return float(max(span_s, work_s))
