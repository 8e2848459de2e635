"""The sums of a receipt: one pass over a run's nodes, by op and by program part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import add, attrgetter
from typing import Any

from nlpu.errors import Cancelled
from nlpu.ops.op import Call
from nlpu.processor import DEFAULT_LIMITS
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.observe.receipt import ForcedWait, Part, Receipt
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.scheduler.poor_judges import JUDGED, poverty
from nlpu.value import peek_content, peek_error
from nlpu.wire import COUNTS

_FIGURES = (
    *COUNTS,
    "attempts",
    "wasted_tokens",
    "service_s",
    "queue_s",
    "money",
    "again",
    "unsent",
)
_figures = attrgetter(*_FIGURES)  # of a cost: one step for all, as there are many costs


class _Tally:
    """A sum of costs under way."""

    __slots__ = ("calls", "sums")

    def __init__(self) -> None:
        self.calls, self.sums = 0, [0] * len(_FIGURES)

    def count(self, figures: Sequence[Any], calls: int) -> None:
        self.sums = list(map(add, self.sums, figures))
        self.calls += calls

    def took(self) -> dict[str, Any]:
        """The sums by name."""
        return dict(zip(_FIGURES, self.sums, strict=True))

    def facts(self, took: dict[str, Any]) -> dict[str, Any]:
        """What parts and the whole have in common. took: the sums by name."""
        return {
            "calls": self.calls,
            "attempts": took["attempts"],
            "nlops": round(took["completion_tokens"] / TOKENS_PER_NLOP, 4),
            "wasted_nlops": round(took["wasted_tokens"] / TOKENS_PER_NLOP, 4),
            **{name: took[name] for name in COUNTS},
            "money": took["money"],
            "asked_again": took["again"] - took["unsent"],
            "queue_s": round(took["queue_s"], 4),
        }


class _Books:
    """One pass over a run's nodes."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._made: dict[tuple[str, str], _Tally] = defaultdict(_Tally)  # by op and part
        self.reused = _Tally()
        self.failed = self.trimmed = self.driven = self.span_tokens = self.depth = 0
        self.span_s = 0.0
        for node in nodes:
            if node.path_tokens > self.span_tokens:
                self.span_tokens = node.path_tokens
            if node.path_s > self.span_s:
                self.span_s = node.path_s
            if node.path_depth > self.depth:
                self.depth = node.path_depth
            if node.call_cost is not None:
                self._call(node, node.call_cost)
        self.made = _Tally()
        self.ops: dict[str, _Tally] = defaultdict(_Tally)
        self.parts: dict[str, _Tally] = defaultdict(_Tally)
        for (op, part), tally in self._made.items():
            for whole in (self.made, self.ops[op], self.parts[part]):
                whole.count(tally.sums, tally.calls)

    def _call(self, node: Node, cost: Cost) -> None:
        error = peek_error(node)
        cancelled = isinstance(error, Cancelled)
        self.failed += error is not None and not cancelled
        self.trimmed += cost.trimmed
        if cost.how == "made":
            answered = node.work_stage is Stage.SETTLED and not cancelled
            calls = int(answered and cost.attempts > 0)
            self._made[node.work_name, node.issue_scope.path].count(_figures(cost), calls)
        elif cost.how == "reused":
            self.reused.count(_figures(cost), 1)
        elif cost.how == "driven":
            self.driven += 1


def receipt_of(run: RunState) -> Receipt:
    """Sum up what a run has taken by now."""
    books = _Books(run.root.subtree())
    made, reused = books.made.took(), books.reused.took()
    work_s = made["service_s"] + reused["service_s"]
    work_tokens = made["completion_tokens"] + reused["completion_tokens"]
    end = run.end_s if run.end_s is not None else run.ports.outside.now_s()
    seconds = end - run.start_s
    bound = _lower_bound(run, work_tokens, books.span_tokens)
    return Receipt(
        **books.made.facts(made),
        reused=run.counts.reused,
        shared=run.counts.shared,
        failed=books.failed,
        trimmed=books.trimmed,
        driven=books.driven,
        poor_judgements=_poor_judgements(run),
        seconds=round(seconds, 4),
        work_s=round(work_s, 4),
        span_s=round(books.span_s, 4),
        work_tokens=work_tokens,
        span_tokens=books.span_tokens,
        depth=books.depth,
        parallelism=round(work_s / books.span_s, 3) if books.span_s else 1.0,
        lower_bound_s=bound,
        bound_ratio=round(seconds / bound, 3) if bound else None,
        by_op=_parts(books.ops),
        by_part=_parts(books.parts),
        forced=_forced(run),
        chosen=tuple(run.chosen.values()),
    )


def _poor_judgements(run: RunState) -> int:
    processor = run.ports.processors.find
    return sum(
        bool(poverty(asks.op, processor(asks.op.processor), content))
        for node in run.root.subtree()
        if isinstance(content := peek_content(node), JUDGED)
        and isinstance(asks := node.node_work, Call)
    )


def _parts(tallies: dict[str, _Tally]) -> tuple[Part, ...]:
    took = [(name, tally, tally.took()) for name, tally in tallies.items()]
    return tuple(
        Part(name=name, service_s=round(sums["service_s"], 4), **tally.facts(sums))
        for name, tally, sums in took
    )


def _forced(run: RunState) -> tuple[ForcedWait, ...]:
    longest_first = sorted(run.forced.items(), key=lambda item: -item[1][1])
    return tuple(
        ForcedWait(line=line, times=int(times), seconds=round(waited, 4))
        for line, (times, waited) in longest_first
    )


def _lower_bound(run: RunState, work_tokens: int, span_tokens: int) -> float | None:
    processor = run.ports.processors.opened.get(run.ports.processors.default)
    limits = DEFAULT_LIMITS if processor is None else processor.limits
    if limits.unloaded_s_per_token is None or limits.saturated_tokens_per_s is None:
        return None
    span_s = span_tokens * limits.unloaded_s_per_token
    return round(max(span_s, work_tokens / limits.saturated_tokens_per_s), 4)
