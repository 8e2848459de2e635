"""The calls of a journaled run: one by one, in sums by op, and as a tree of the program's parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from rich.tree import Tree

from nlpu.printing import cut, folded, one_line
from nlpu.runtime.graph.usage import Cost, cost_of
from nlpu.runtime.journal.records import PastCall
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.terminal.show.archive import Record

_WIDTH = 46
_REASON = 400  # of why a call failed
_INDENT = 4  # of a part in the tree
_NO_COST = Cost(attempts=1)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: where it was issued and how it ended.

    state: done, failed, open, stopped, shared (with an equal call), taken (from another run).
    text: its result, or why it has none. result: the number of the result's text, else 0.
    """

    past: PastCall
    op: str
    state: str
    cost: Cost
    text: str
    result: int = 0

    @property
    def position(self) -> str:
        """Where it was issued."""
        return self.past.position

    @property
    def made(self) -> bool:
        """Whether this run sent it and has its outcome."""
        return self.state in ("done", "failed")

    def details(self) -> dict[str, Any]:
        """As plain data."""
        cost = self.cost
        return {
            "position": self.position,
            "op": self.op,
            "state": self.state,
            "prompt_tokens": cost.prompt_tokens,
            "completion_tokens": cost.completion_tokens,
            "attempts": cost.attempts,
            "asked_again": cost.again,
            "text": self.text,
        }

    def line(self) -> str:
        """On one safe line; why it failed is another."""
        tokens = f"{self.cost.prompt_tokens:,}+{self.cost.completion_tokens:,} tok"
        text = "" if self.state == "failed" else one_line(self.text, _WIDTH)
        where, op = one_line(self.position, _WIDTH), one_line(self.op, _WIDTH)
        return f"{where}  {op}  {self.state}  {tokens}  {text}".rstrip()


def calls_of(record: Record) -> list[Call]:
    """All calls of a run in the order of their positions."""
    found = [_call(record, past) for past in record.past.calls.values()]
    return sorted(found, key=lambda call: in_order(call.position))


def _call(record: Record, past: PastCall) -> Call:
    op = record.past.ops[past.op].name
    outcome = record.past.outcomes.get(past.key)
    if outcome is None:
        open_ = past.number in record.past.under_way
        return Call(past, op, "open" if open_ else "stopped", _NO_COST, "")
    state = "failed" if outcome.fault else "shared" if not past.number else "done"
    if past.key in record.past.taken and past.number:
        state = "taken"
    text = f"{outcome.fault}: {outcome.message}" if outcome.fault else record.texts[outcome.text]
    return Call(past, op, state, cost=cost_of(outcome.usage), text=text, result=outcome.text)


def in_order(position: str) -> list[tuple[int, str]]:
    """What positions are sorted by: their numbers count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in position.split("/")]


def sums_of(calls: list[Call]) -> list[dict[str, Any]]:
    """What the calls of each op took, in all lives of the run, and last what all took."""
    by_op: dict[str, Counter[str]] = {}
    for call in calls:
        by_op.setdefault(call.op, Counter())["open"] += call.state == "open"
        if call.made:
            cost = call.cost
            by_op[call.op].update(
                calls=1,
                failed=call.state == "failed",
                retries=cost.attempts - 1,
                prompt_tokens=cost.prompt_tokens,
                cached_tokens=cost.cached_tokens,
                completion_tokens=cost.completion_tokens,
                service_ms=int(cost.service_s * 1000),
                queue_ms=int(cost.queue_s * 1000),
            )
    everything = ("all", sum(by_op.values(), Counter()))
    return [{"name": name, **_facts(sums)} for name, sums in [*by_op.items(), everything]]


def _facts(sums: Counter[str]) -> dict[str, Any]:
    names = ("calls", "open", "failed", "retries", "prompt_tokens", "cached_tokens")
    tries = {"attempts": sums["calls"] + sums["retries"]}
    seconds = {f"{name}_s": sums[f"{name}_ms"] / 1000 for name in ("service", "queue")}
    completion = sums["completion_tokens"]
    nlops = {"completion_tokens": completion, "nlops": completion / TOKENS_PER_NLOP}
    return {**{name: sums[name] for name in names}, **tries, **nlops, **seconds}


def tree_of(record: Record, most: int | None, width: int = 80) -> Tree:
    """The calls under the parts that issued them, failures first; at most ``most`` of one part."""

    root = Tree(Text("main"))
    branches: dict[str, Tree] = {"main": root}
    hidden: dict[str, list[Call]] = {}
    shown: dict[str, int] = {}
    for call in sorted(calls_of(record), key=lambda call: call.state != "failed"):
        part = call.position.rpartition("/")[0]
        parent = _top(part)
        shown[parent] = shown.get(parent, 0) + 1
        if most is not None and shown[parent] > most:
            hidden.setdefault(parent, []).append(call)
            continue
        room = max(20, width - _INDENT * call.position.count("/"))
        leaf = _branch(branches, part).add(Text(cut(call.line(), room), no_wrap=True))
        if call.state == "failed":
            reason = folded(one_line(call.text, _REASON), room - _INDENT)
            leaf.add(Text("\n".join(reason), no_wrap=True))
    for part, calls in hidden.items():
        failed = sum(call.state == "failed" for call in calls)
        told = f", {failed:,} of them failed" if failed else ""
        more = f"... and {len(calls):,} more{told} (see them with --all)"
        _branch(branches, part).add(Text(more))
    return root


def _top(part: str) -> str:
    """What a part's calls are counted under: itself, or what it grew from if that is nested."""
    return part.rpartition("/")[0] if part.count("/") else part


def _branch(branches: dict[str, Tree], path: str) -> Tree:
    """The branch of a path, with those above it."""

    found = branches.get(path)
    if found is None:
        above, _, own = path.rpartition("/")
        found = branches[path] = _branch(branches, above).add(Text(one_line(own or path)))
    return found
