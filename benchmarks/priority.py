"""``benchmarks.priority``: what priorities are worth on a real vLLM with more programs than slots.

Theory of operation
-------------------
A fleet of chains of uneven length, far more of them than the server has slots. The runtime sends
every call that is ready and says how long a path waits for it; the server's own queue decides who
runs. *On* sends these priorities, *off* sends 0 with every request, so the server serves in order
of arrival. All else is the same: program, length of texts and server, in turns.

    makespan   from the first start until the last program has ended
    p95        of the times from the first start until a program has ended

Rules
1. In flight is not limited here: else this runtime's own queue would order the calls, too.
2. Every turn has texts of its own; who goes first alternates.
3. Gains are of this mix of lengths, ``LENGTHS``; a fleet of equals gains nothing.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out
from benchmarks.overhead.requests import notes
from nlpu import Computer, Run, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime.bench.report import circumstances, percentile, show, show_circumstances
from nlpu.runtime.bench.servers import Served, vllm_server
from nlpu.wire import Reply, Request

SLOTS = 4
LENGTHS = (2,) * 16 + (4,) * 5 + (8,) * 2 + (16,)  # the long ones start last
app = typer.Typer(add_completion=False)

Vllm = Annotated[
    str | None, typer.Option("--vllm", metavar="URL", help="A server with --slots slots.")
]
Turns = Annotated[int, typer.Option("--turns", min=1, metavar="N", help="Of each.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@nlop(max_tokens=16, at_limit="trim")
def go_on(start: str, before: str) -> str:
    """Continue the story with many details."""


class NoPriority:
    """An engine whose requests all have the same priority."""

    def __init__(self, engine: HttpEngine) -> None:
        self._engine = engine
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return await self._engine.send(request._replace(priority=0), on_text)


@app.command(help="Priorities on against off, with more programs than slots.")
def command(as_json: AsJson = False, vllm: Vllm = None, turns: Turns = 3) -> None:
    from nlpu.runtime.terminal.output import write_json

    figures = priority(vllm, turns)
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def priority(
    vllm: str | None = None, turns: int = 3, lengths: tuple[int, ...] = LENGTHS
) -> dict[str, Any]:
    """Everything the command prints."""
    facts = circumstances()
    with vllm_server(vllm, "--max-model-len", "2048", "--max-num-seqs", str(SLOTS)) as served:
        found = measure(served, turns, lengths)
    return found | facts


def measure(served: Served, turns: int, lengths: tuple[int, ...]) -> dict[str, Any]:
    """Makespan and p95 of both, in turns."""
    on: list[tuple[float, float]] = []
    off: list[tuple[float, float]] = []
    many = len(lengths) + 1
    with (
        Computer(served.engine(many)) as with_them,
        Computer(NoPriority(served.engine(many))) as without,
    ):
        fleet(without, "warm", lengths[:SLOTS])
        for turn in range(turns):
            for mine in (True, False) if turn % 2 else (False, True):
                if mine:
                    on.append(fleet(with_them, f"on {turn}", lengths))
                else:
                    off.append(fleet(without, f"off {turn}", lengths))
    return {
        "programs": len(lengths),
        "calls": sum(lengths),
        "slots": SLOTS,
        "turns": turns,
        "makespan": _both(on, off, 0),
        "p95": _both(on, off, 1),
    }


def chain(name: str, length: int) -> Any:
    """Calls that each read the one before; nothing is looked at on the way."""
    note = notes(name, 10)
    last: Any = "Once upon a time"
    for number in range(length):
        last = go_on(note(number), last)
    return last


def fleet(computer: Computer, name: str, lengths: tuple[int, ...]) -> tuple[float, float]:
    """(makespan, p95) in seconds of chains started together."""
    start, ended = time.perf_counter(), list[float]()
    runs = [computer.start(chain, f"{name} {n}", length) for n, length in enumerate(lengths)]

    def watch(run: Run) -> None:
        run.wait()
        ended.append(time.perf_counter() - start)

    watchers = [threading.Thread(target=watch, args=(run,)) for run in runs]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    for run in runs:
        if run.error is not None:
            raise run.error
    return max(ended), percentile(ended, 0.95)


def _both(on: list[Any], off: list[Any], which: int) -> dict[str, Any]:
    ratios = [a[which] / b[which] for a, b in zip(on, off, strict=True)]
    return {
        "on_s": round(statistics.median(each[which] for each in on), 4),
        "off_s": round(statistics.median(each[which] for each in off), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def _print(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    show(
        f"{figures['programs']} programs, {figures['calls']} calls, {figures['slots']} slots: "
        f"priority on against off, {figures['turns']} turns",
        ("seconds", "on", "off", "on / off", "every turn's"),
        [
            (name, row["on_s"], row["off_s"], row["ratio"], " ".join(map(str, row["ratios"])))
            for name, row in (
                ("makespan", figures["makespan"]),
                ("p95 of programs", figures["p95"]),
            )
        ],
    )


if __name__ == "__main__":
    carry_out(app)
