"""Experience: what earlier calls of each op took, read from journals.

Theory of operation
-------------------
A journaled call is a sample of its op on its processor: the text it gave, the tokens and seconds it
took. Samples are kept by run, because calls of one run resemble each other more than those of two:
a forecast that mixed them all would be too sure of itself.

Rules
1. Ops are the same if name, instruction and result type are; processors if their identity is.
2. Only paid calls are samples: what was taken from another run's journal was sampled there.
3. What has never been called is guessed from how far other ops fill their limits, and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from nlpu.runtime.graph.usage import cost_of
from nlpu.runtime.journal.records import Past


class OpKey(NamedTuple):
    """An op as journals name it."""

    name: str
    text: str
    result: str


class Sample(NamedTuple):
    """One earlier call. ``fault`` and ``message`` where it failed for good."""

    text: str
    completion_tokens: int
    thinking_tokens: int
    cached_share: float
    service_s: float
    fault: str = ""
    message: str = ""
    side: str = ""


@dataclass
class Experience:
    """Samples by op, and within an op by run."""

    samples: dict[OpKey, dict[str, list[Sample]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    @property
    def runs(self) -> int:
        """Runs that it was gained in."""
        return len({run for by_run in self.samples.values() for run in by_run})

    @property
    def calls(self) -> int:
        """Calls that it was gained in."""
        return sum(len(calls) for by_run in self.samples.values() for calls in by_run.values())

    def add(self, run: str, past: Past, texts: Mapping[int, str], identity: str) -> None:
        """Take in the calls that a run made on that processor."""
        for call in past.calls.values():
            outcome = past.outcomes.get(call.key)
            if outcome is None or call.identity != identity or call.key in past.taken:
                continue
            if not call.number or outcome.side == "host":  # shared calls are one call
                continue
            op = past.ops[call.op]
            cost = cost_of(outcome.usage)
            sample = Sample(
                texts.get(outcome.text, ""),
                completion_tokens=cost.completion_tokens,
                thinking_tokens=cost.thinking_tokens,
                cached_share=cost.cached_tokens / max(1, cost.prompt_tokens),
                service_s=cost.service_s,
                fault=outcome.fault,
                message=outcome.message,
                side=outcome.side,
            )
            self.samples[OpKey(op.name, texts[op.text], op.result)][run].append(sample)

    def seconds_per_token(self) -> float | None:
        """Service seconds a generated token took; None without experience."""
        runs = [run for by_run in self.samples.values() for run in by_run.values()]
        calls = [call for run in runs for call in run]
        tokens = sum(sample.completion_tokens for sample in calls)
        return sum(sample.service_s for sample in calls) / tokens if tokens else None


class Draw:
    """One imagined run: its calls are drawn from those of one earlier run, where it has such.

    ``number``: draws take the earlier runs in turn, so that none is left out.
    """

    def __init__(self, experience: Experience, chance: Random, number: int) -> None:
        self._experience = experience
        self._chance = chance
        runs = sorted({run for by_run in experience.samples.values() for run in by_run})
        self._order = chance.sample(runs, len(runs))
        if runs:
            self._order.insert(0, runs[number % len(runs)])

    def sample(self, op: OpKey) -> Sample | None:
        """A call of the op; None if it was never called."""
        by_run = self._experience.samples.get(op)
        if not by_run:
            return None
        run = next(run for run in self._order if run in by_run)
        return self._chance.choice(by_run[run])
