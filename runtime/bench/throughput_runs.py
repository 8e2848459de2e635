"""Measuring for ``nlpu bench throughput``: a processor at rising concurrency, beside a bare client.

Theory of operation
-------------------
For each profile (``throughput_profiles``) and each number of calls in flight, a program of
independent sessions runs to its end, and every call is timed where it meets the engine. *Bare* is
the same work without this runtime: a loop over aiohttp against a server, the engine called directly
against the embedded processor (``throughput_bare``). The two take turns in the same run.

    knee   the least number in flight that reaches 90 % of the best rate of calls

Rules
1. Rates are of the wall's clock from the start of the program to its result; start and end count.
2. Every repeat has texts of its own, which no run before had. Warm repeats share all but their last
   words, sent once before.
3. nlops = generated tokens / 100. Latency is of one attempt at the engine, p95 over all repeats.
4. Every repeat is kept in the JSON, for ``nlpu bench compare``.
5. A profile that fails says why in its place; what was measured is delivered all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from nlpu import Computer, NlpuError, lift
from nlpu.processor import Processor
from nlpu.runtime.bench.report import circumstances, measured, percentile
from nlpu.runtime.bench.servers import Target, target
from nlpu.runtime.bench.throughput_bare import Bare, bare_of
from nlpu.runtime.bench.throughput_profiles import (
    PROFILES,
    Profile,
    known,
    nonce,
    profile,
    sessions,
)
from nlpu.runtime.terminal.output import said, say
from nlpu.wire import Engine, Reply, Request

KNEE = 0.9
FLAGS = ("--max-model-len", "8192", "--max-num-seqs", "32")


class Plan(NamedTuple):
    """How much is measured. ``every``: warm and bare at each level, not only at the highest."""

    levels: tuple[int, ...]
    repeats: int
    room: int
    parts: int
    every: bool


FULL = Plan((1, 2, 4, 8, 16, 32), 3, 1 << 30, 1, every=True)
QUICK = Plan((1, 2, 4), 2, 520, 4, every=False)


class Timed:
    """An engine that notes how long each attempt took and what it gave."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.seen = engine, list[tuple[float, Reply]]()
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        start = time.perf_counter()
        reply = await self._engine.send(request, on_text)
        self.seen.append((time.perf_counter() - start, reply))
        return reply


class Bench(NamedTuple):
    """Both sides, opened."""

    computer: Computer
    timed: Timed
    bare: Bare
    plan: Plan
    nonce: str

    @property
    def processor(self) -> Processor:
        found: Processor = self.computer.processors["main"]
        return found


def throughput(
    engine: str = "local",
    model: str | None = None,
    profiles: Sequence[str] = (),
    *,
    quick: bool = False,
) -> dict[str, Any]:
    """Everything the command prints. Raises Usage, MissingPart, Unreachable."""
    plan = QUICK if quick else FULL
    for name in profiles:
        known(name)
    with target(engine, model, *FLAGS) as found:
        return measure(found, profiles or tuple(PROFILES), plan, quick=quick)


def measure(found: Target, names: Sequence[str], plan: Plan, *, quick: bool) -> dict[str, Any]:
    """The figures of one target."""
    with opened(found, plan) as bench:
        model = bench.processor.capabilities.model
        room = min(plan.room, bench.processor.window)
        facts = circumstances(
            *(("xllamacpp",) if found.served is None else ()),
            engine=found.name,
            model=model,
            window=bench.processor.window,
            quick=quick,
            flags=FLAGS if found.name == "vllm" else (),
            seed="none: temperature 0, texts numbered",
        )
        return {"profiles": _of_all(bench, names, room), **facts}


def _of_all(bench: Bench, names: Sequence[str], room: int) -> list[dict[str, Any]]:
    """Each profile's figures, or why it failed (rule 5). Raises what all failed with."""
    found, failures = list[dict[str, Any]](), list[NlpuError]()
    for name in names:
        try:
            found.append(of_profile(bench, profile(name, bench.processor, room, bench.plan.parts)))
        except NlpuError as error:
            failures.append(error)
            found.append({"name": name, "failed": said(error), "rows": []})
            say(f"{name} failed: {found[-1]['failed']}")
    if len(failures) == len(names):
        raise failures[0]
    return found


@contextmanager
def opened(found: Target, plan: Plan) -> Iterator[Bench]:
    """Computer and bare client, both warmed up by one call."""
    timed = Timed(found.open(max(plan.levels)))
    with ExitStack() as stack:
        computer = stack.enter_context(Computer(timed))
        processor = computer.processors["main"]
        bare = stack.enter_context(bare_of(found, processor, max(plan.levels)))
        bench = Bench(computer, timed, bare, plan, nonce())
        warm_up = profile("judge", processor, 1 << 30)
        ours(bench, warm_up, [["The first call."]], 1)
        bare.run(warm_up, [["The first bare call."]], 1)
        yield bench


def of_profile(bench: Bench, chosen: Profile) -> dict[str, Any]:
    """One profile at all levels, cold and warm."""
    say(f"measuring {chosen.name} ...")
    most = min(max(bench.plan.levels), bench.processor.capabilities.max_in_flight)
    levels = [level for level in bench.plan.levels if level <= most]
    rows = [
        at_level(bench, chosen, level, warm=False, bare=_all(bench, level, levels))
        for level in levels
    ]
    warm = [level for level in levels if _all(bench, level, levels)]
    rows += [at_level(bench, chosen, level, warm=True, bare=False) for level in warm]
    return {
        "name": chosen.name,
        "tokens_in": chosen.tokens_in,
        "tokens_out": chosen.tokens_out,
        "turns": chosen.turns,
        "forced": chosen.forced,
        "knee": knee(rows),
        "rows": rows,
    }


def _all(bench: Bench, level: int, levels: list[int]) -> bool:
    return bench.plan.every or level == levels[-1]


def at_level(
    bench: Bench, chosen: Profile, level: int, *, warm: bool, bare: bool
) -> dict[str, Any]:
    """All repeats of one profile with ``level`` calls in flight."""
    mine, theirs = [], []
    cache = "warm" if warm else "cold"
    for turn in range(bench.plan.repeats):
        for side in "ab" if turn % 2 == 0 else "ba":
            name = f"{bench.nonce} {cache} {level} {turn}{side}"
            texts = sessions(chosen, bench.processor, name, level, warm=warm)
            if side == "a":
                if warm and not turn:
                    primer = sessions(chosen, bench.processor, "prime", 1, warm=True)
                    ours(bench, chosen, primer, 1)
                mine.append(ours(bench, chosen, texts, level))
            elif bare:
                theirs.append(bench.bare.run(chosen, texts, level))
    return {
        "name": f"{cache} x{level}",
        "cache": cache,
        "in_flight": level,
        **_figures(mine, theirs),
    }


class Sample(NamedTuple):
    """One repeat through the runtime."""

    wall_s: float
    seen: list[tuple[float, Reply]]

    def rate(self, field: str | None = None) -> float:
        """Calls a second, or those of a Reply's count."""
        total = sum(getattr(reply.usage, field) if field else 1 for _, reply in self.seen)
        return float(total / self.wall_s)


def ours(bench: Bench, chosen: Profile, texts: list[list[str]], level: int) -> Sample:
    """The sessions through the runtime. The limit in flight is set where admission reads it."""
    bench.processor.max_in_flight = level
    bench.timed.seen = []
    start = time.perf_counter()
    run = bench.computer.run(lambda: [session(chosen, each) for each in texts])
    wall_s = time.perf_counter() - start
    if run.error is not None:
        raise run.error
    return Sample(wall_s, bench.timed.seen)


def session(chosen: Profile, texts: list[str]) -> Any:
    """One session as a program: each turn reads all before it."""
    transcript: Any = texts[0]
    reply = chosen.op(transcript)
    for text in texts[1:]:
        transcript = joined(transcript, reply, text)
        reply = chosen.op(transcript)
    return reply


@lift
def joined(transcript: str, reply: str, text: str) -> str:
    """A transcript that only grows at its end."""
    return f"{transcript}\n{reply}\n{text}"


def _figures(mine: list[Sample], theirs: list[float]) -> dict[str, Any]:
    counts = [reply for sample in mine for _, reply in sample.seen]
    prompt = sum(reply.usage.prompt_tokens for reply in counts)
    waits = [[seconds for seconds, _ in sample.seen] for sample in mine]
    calls = [sample.rate() for sample in mine]
    found = {
        "calls": len(mine[0].seen),
        "prompt_tokens_per_call": round(prompt / len(counts), 1),
        "completion_tokens_per_call": round(
            sum(reply.usage.completion_tokens for reply in counts) / len(counts), 1
        ),
        "cached": round(sum(reply.usage.cached_tokens for reply in counts) / prompt, 3),
        "calls_per_s": measured(calls, "more"),
        "nlops_per_s": measured([s.rate("completion_tokens") / 100 for s in mine], "more"),
        "tokens_in_per_s": measured([s.rate("prompt_tokens") for s in mine], "more"),
        "tokens_out_per_s": measured([s.rate("completion_tokens") for s in mine], "more"),
        "p50_s": measured([percentile(each, 0.5) for each in waits], "less"),
        "p95_s": measured([percentile(each, 0.95) for each in waits], "less"),
    }
    if theirs:
        ratios = [a / b for a, b in zip(calls, theirs, strict=True)]
        found |= {"bare_calls_per_s": measured(theirs, "more"), "ratio": measured(ratios, "more")}
    return found


def knee(rows: list[dict[str, Any]]) -> int:
    """The least number of cold calls in flight that reaches ``KNEE`` of the best rate."""
    cold: dict[int, float] = {
        r["in_flight"]: r["calls_per_s"]["median"] for r in rows if r["cache"] == "cold"
    }
    best = max(cold.values())
    return min(level for level, rate in cold.items() if rate >= KNEE * best)
