"""The receipt: what a run took, by op and by program part.

Theory of operation
-------------------
Every call carries its own cost; a receipt is a sum over a run's nodes (``receipt_sums``), made when
it is asked for.
A column that comes with the reply begins as a field of ``wire.Usage``.

    calls, attempts, tokens, nlops, money    what this execution of the run made
    work, span, depth, parallelism           of the whole graph, reused calls included
    lower bound of the makespan              max(span at unloaded latency, work at saturated
                                             throughput), where the processor's limits say them

work is the sum of all calls' service, span the longest path through data and control edges (Brent,
"The parallel evaluation of general arithmetic expressions", 1974: no schedule on p slots can beat
max(work / p, span)); parallelism is their ratio.

Rules
1. A receipt is frozen, and its parts add up to its totals.
2. nlops = generated tokens / 100, thinking included; wasted: those of replies not used.
3. asked again: replies that were no result and were asked for again; their call counts as one.
   Where a budget stopped that, it was not asked again.
"""

from __future__ import annotations

from nlpu.eval.recipes import Chosen
from nlpu.frozen import Frozen, Printed
from nlpu.printing import columns, counted, figure


class Part(Printed):
    """The share of one op or one part of the program. Seconds are service seconds."""

    name: str
    calls: int
    attempts: int
    nlops: float
    wasted_nlops: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    thinking_tokens: int
    queue_s: float
    service_s: float
    money: float
    asked_again: int = 0
    waited_ms: int = 0

    def __str__(self) -> str:
        took = f"{figure(self.nlops)} nlops, {figure(self.service_s)} s"
        return f"{self.name}: {counted(self.calls, 'call')}, {took}"


class ForcedWait(Frozen):
    """A line of the program where Python waited for a content, and parallelism was lost."""

    line: str
    times: int
    seconds: float


class Receipt(Printed):
    """What a run took. Prints as one line; ``table()`` gives more.

    chosen: how what had to be reliable was asked.
    """

    calls: int
    reused: int
    shared: int
    failed: int
    trimmed: int
    driven: int = 0
    asked_again: int = 0
    poor_judgements: int = 0
    attempts: int
    nlops: float
    wasted_nlops: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    thinking_tokens: int
    money: float
    seconds: float
    queue_s: float
    waited_ms: int = 0
    work_s: float
    span_s: float
    work_tokens: int
    span_tokens: int
    depth: int
    parallelism: float
    lower_bound_s: float | None
    bound_ratio: float | None
    by_op: tuple[Part, ...]
    by_part: tuple[Part, ...]
    forced: tuple[ForcedWait, ...]
    chosen: tuple[Chosen, ...] = ()

    def __str__(self) -> str:
        reused = f" + {self.reused} reused" if self.reused else ""
        wasted = f" ({figure(self.wasted_nlops)} wasted)" if self.wasted_nlops else ""
        cached = (
            f" ({self.cached_tokens / self.prompt_tokens:.0%} cached)" if self.cached_tokens else ""
        )
        cut = f"; {self.trimmed} cut at their limit" if self.trimmed else ""
        again = f"; {self.asked_again} asked again" if self.asked_again else ""
        failed = f"; {self.failed} failed" if self.failed else ""
        poor = (
            f"; {counted(self.poor_judgements, 'judgement')} at chance or off yes and no"
            if self.poor_judgements
            else ""
        )
        money = f"; money {figure(self.money)}" if self.money else ""
        return (
            f"{self.calls} call{'s' * (self.calls != 1)}{reused}, "
            f"{figure(self.nlops)} nlops{wasted}, depth {self.depth}; "
            f"{_tokens(self.prompt_tokens)} tokens in{cached}, "
            f"{_tokens(self.completion_tokens)} out; {figure(self.seconds)} s, "
            f"parallelism {self.parallelism:.1f}{cut}{again}{failed}{poor}{money}"
            f"{''.join(f'; {each}' for each in self.chosen)}"
        )

    def table(self) -> str:
        """Write the line, and below it one row for each op and each line that waited."""
        head = ("op", "calls", "nlops", "tokens in", "cached", "out", "queue s", "service s")
        rows: list[tuple[str, ...]] = [head]
        for part in self.by_op:
            tokens = (part.prompt_tokens, part.cached_tokens, part.completion_tokens)
            rows.append(
                (
                    part.name,
                    str(part.calls),
                    f"{figure(part.nlops)}",
                    *map(_tokens, tokens),
                    f"{figure(part.queue_s)}",
                    f"{figure(part.service_s)}",
                )
            )
        lines = [str(self), *columns(rows, right=range(1, len(head)), most=80)]
        lines += [f"{each.op} for {each.asked}: {each.why}" for each in self.chosen]
        lines += [f"waited {figure(w.seconds)} s in {w.times} at {w.line}" for w in self.forced[:5]]
        return "\n".join(lines)


def _tokens(count: int) -> str:
    return str(count) if count < 1000 else f"{figure(count / 1000)}k"
