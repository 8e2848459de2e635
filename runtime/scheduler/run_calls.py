"""The calls of one run: which are equal, what was said of them, what they may cost.

Rules
1. Equal keys are one call: the ``leader`` is made, its ``followers`` get what becomes of it. A call
   that failed by the host's fault leads no more: an equal one is another try.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlpu.errors import HostError
from nlpu.ops.op import Op
from nlpu.processor import Processor
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import Convention
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.usage import Counts
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount, BudgetLedger


class RunCalls:
    """What the scheduler keeps of one run."""

    fault: HostError | None = None  # of the newest attempt that ended, if it failed

    def __init__(
        self,
        number: int,
        ledger: BudgetLedger,
        counts: Counts,
        convention: Convention,
        estimates: Mapping[str, int],
        gate: Gate | None = None,
    ) -> None:
        """``counts``: kept up to date here."""
        self.number = number
        self.ledger = ledger
        self.counts = counts
        self.convention = convention
        self.gate = gate
        self.leaders: dict[bytes, Node] = {}
        self.followers: dict[bytes, list[Node]] = {}
        self.invalid: dict[bytes, tuple[Invalid, ...]] = {}  # replies of calls asked again, by key
        self.poor_judges: set[str] = set()  # models that were warned of
        self.estimates = estimates  # completion tokens by op's name, as they were at its beginning
        self._most: dict[tuple[bytes, str, int], Amount] = {}

    def most(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
        """Give the most a call can take. Remembered: calls of an op are of the same few sizes."""
        which = (op.digest, processor.name, prompt_tokens)
        found = self._most.get(which)
        if found is None:
            found = self._most[which] = _most_of(op, processor, prompt_tokens)
        return found


def _most_of(op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
    completion = op.sampling.max_tokens + processor.thinking_tokens
    prompt = prompt_tokens * (2 if processor.thinking_tokens else 1) + processor.thinking_tokens
    money = processor.price.of(prompt, 0, completion)
    return Amount(1, completion / TOKENS_PER_NLOP, prompt + completion, money)
