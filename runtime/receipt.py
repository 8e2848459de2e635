"""The receipt: what a run took, by op and by program part.

Theory of operation
-------------------
Every call carries its own cost; a receipt is a sum over a run's nodes, made when it is asked for.

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
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from nlpu.op import Call
from runtime.budget import TOKENS_PER_NLOP
from runtime.graph import Cost, Node
from runtime.run import RunState


class Part(BaseModel):
    """The share of one op or one part of the program. Seconds are service seconds."""

    model_config = ConfigDict(frozen=True)
    name: str
    calls: int
    attempts: int
    nlops: float
    wasted_nlops: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    thinking_tokens: int
    service_s: float
    money: float


class ForcedWait(BaseModel):
    """A line of the program where Python waited for a content, and parallelism was lost."""

    model_config = ConfigDict(frozen=True)
    line: str
    times: int
    seconds: float


class Receipt(BaseModel):
    """What a run took. Prints as one line; ``table()`` gives more."""

    model_config = ConfigDict(frozen=True)
    calls: int
    reused: int
    shared: int
    failed: int
    trimmed: int
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

    def __str__(self) -> str:
        reused = f" + {self.reused} reused" if self.reused else ""
        wasted = f" ({self.wasted_nlops:.3g} wasted)" if self.wasted_nlops else ""
        cached = (
            f" ({self.cached_tokens / self.prompt_tokens:.0%} cached)" if self.cached_tokens else ""
        )
        cut = f"; {self.trimmed} cut at their limit" if self.trimmed else ""
        failed = f"; {self.failed} failed" if self.failed else ""
        return (
            f"{self.calls} calls{reused}, {self.nlops:.3g} nlops{wasted}, depth {self.depth}; "
            f"{_tokens(self.prompt_tokens)} tokens in{cached}, "
            f"{_tokens(self.completion_tokens)} out; {self.seconds:.3g} s, "
            f"parallelism {self.parallelism:.1f}{cut}{failed}"
        )


def _tokens(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.3g}k"


def receipt_of(run: RunState) -> Receipt:
    """The receipt of a run, now."""
    nodes = list(run.root.subtree())
    costs = [node.cost for node in nodes if node.cost is not None]
    made = [cost for cost in costs if cost.how == "made"]
    own = [cost for cost in costs if cost.how != "shared"]
    work_s = sum(cost.service_s for cost in own)
    span_s = max((node.path_s for node in nodes), default=0.0)
    span_tokens = max((node.path_tokens for node in nodes), default=0)
    work_tokens = sum(cost.completion_tokens for cost in own)
    end = run.end_s if run.end_s is not None else run.kernel.now_s()
    seconds = end - run.start_s
    bound = _lower_bound(run, work_tokens, span_tokens)
    return Receipt(
        calls=sum(1 for cost in made if cost.attempts),
        reused=run.counts.reused,
        shared=run.counts.shared,
        failed=sum(1 for node in nodes if node.cost is not None and node._error is not None),
        trimmed=sum(cost.trimmed for cost in own),
        attempts=sum(cost.attempts for cost in made),
        nlops=round(sum(cost.completion_tokens for cost in made) / TOKENS_PER_NLOP, 4),
        wasted_nlops=round(sum(cost.wasted_tokens for cost in made) / TOKENS_PER_NLOP, 4),
        prompt_tokens=sum(cost.prompt_tokens for cost in made),
        cached_tokens=sum(cost.cached_tokens for cost in made),
        completion_tokens=sum(cost.completion_tokens for cost in made),
        thinking_tokens=sum(cost.thinking_tokens for cost in made),
        money=sum(cost.money for cost in made),
        seconds=round(seconds, 4),
        queue_s=round(sum(cost.queue_s for cost in made), 4),
        work_s=round(work_s, 4),
        span_s=round(span_s, 4),
        work_tokens=work_tokens,
        span_tokens=span_tokens,
        depth=max((node.depth for node in nodes), default=0),
        parallelism=round(work_s / span_s, 3) if span_s else 1.0,
        lower_bound_s=bound,
        bound_ratio=round(seconds / bound, 3) if bound else None,
        by_op=_parts(nodes, lambda node: node.name),
        by_part=_parts(nodes, lambda node: node.scope.path),
        forced=tuple(
            ForcedWait(line=line, times=int(times), seconds=round(waited, 4))
            for line, (times, waited) in sorted(run.forced.items(), key=lambda item: -item[1][1])
        ),
    )


def _parts(nodes: list[Node], by: Callable[[Node], str]) -> tuple[Part, ...]:
    groups: dict[str, list[Cost]] = defaultdict(list)
    for node in nodes:
        if type(node.work) is Call and node.cost is not None and node.cost.how == "made":
            groups[by(node)].append(node.cost)
    return tuple(_part(name, costs) for name, costs in groups.items())


def _part(name: str, costs: list[Cost]) -> Part:
    return Part(
        name=name,
        calls=sum(1 for cost in costs if cost.attempts),
        attempts=sum(cost.attempts for cost in costs),
        nlops=round(sum(cost.completion_tokens for cost in costs) / TOKENS_PER_NLOP, 4),
        wasted_nlops=round(sum(cost.wasted_tokens for cost in costs) / TOKENS_PER_NLOP, 4),
        prompt_tokens=sum(cost.prompt_tokens for cost in costs),
        cached_tokens=sum(cost.cached_tokens for cost in costs),
        completion_tokens=sum(cost.completion_tokens for cost in costs),
        thinking_tokens=sum(cost.thinking_tokens for cost in costs),
        service_s=round(sum(cost.service_s for cost in costs), 4),
        money=sum(cost.money for cost in costs),
    )


def _lower_bound(run: RunState, work_tokens: int, span_tokens: int) -> float | None:
    limits = run.kernel.processor(None).limits
    if limits.unloaded_s_per_token is None or limits.saturated_tokens_per_s is None:
        return None
    span_s = span_tokens * limits.unloaded_s_per_token
    return round(max(span_s, work_tokens / limits.saturated_tokens_per_s), 4)
