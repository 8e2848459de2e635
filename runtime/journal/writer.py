"""A run's history as it is written: a row for each thing that happens, as ``records`` says.

Rules
1. The rows of calls are formatted by hand: they are most of the journal and half its CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nlpu.errors import HostError
from nlpu.label import USER, Label, label_text
from nlpu.ops.op import Op
from nlpu.prompt.complaint import Invalid
from nlpu.runtime.graph.usage import Cost, usage_of
from nlpu.runtime.journal.records import Outcome, Past
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount


class AskedCall(NamedTuple):
    """A call as its rows name it: where, what, of which processor, its key, operands' texts."""

    position: str
    op: Op[Any]
    identity: str
    key: bytes
    texts: tuple[str, ...]


class History:
    """The rows of one run: those of its past, and those being written."""

    def __init__(self, journal: RunLog, past: Past, start_s: float) -> None:
        self.past = past
        self.keeps = journal.keeps
        self._journal = journal
        self._run = journal.run
        self._start_s = start_s
        self._issues = max(past.numbered, default=0)
        self._ops = {bytes.fromhex(op.digest): number for number, op in past.ops.items()}
        self._processors = {identity: number for number, identity in past.processors.items()}

    def op_number(self, op: Op[Any]) -> int:
        """Number an op of this run; on its first use it gets a row."""
        number = self._ops.get(op.digest)
        if number is None:
            number = self._ops[op.digest] = len(self._ops)
            text = self._journal.text(op.text)
            self._row("op", number, op.digest.hex(), op.name, text, op.result.name)
        return number

    def _on(self, identity: str) -> int:
        number = self._processors.get(identity)
        if number is None:
            number = self._processors[identity] = len(self._processors)
            self._row("on", number, identity)
        return number

    def _row(self, kind: str, *rest: Any) -> None:
        self._journal.append(kind, *rest)

    def _ms(self, now_s: float) -> int:
        return int((now_s - self._start_s) * 1000)

    def issue(self, asked: AskedCall, most: Amount, now_s: float) -> int:
        """Write that a call is sent for the first time; gives its number."""
        if not self.keeps:
            return 0
        self._issues += 1
        numbers = ",".join(map(str, map(self._journal.text, asked.texts)))
        self._journal.write(
            f'["issue",{self._run},{self._issues},"{asked.position}",{self.op_number(asked.op)},'
            f'{self._on(asked.identity)},"{asked.key.hex()}",[{numbers}],'
            f"{round(most.nlops * TOKENS_PER_NLOP)},{most.tokens},{most.money or 0},"
            f"{self._ms(now_s)}]"
        )
        return self._issues

    def attempt(self, issue: int, now_s: float) -> None:
        """Write that a call is sent again."""
        self._row("attempt", issue, self._ms(now_s))

    def lost(self, issue: int, took: Amount) -> None:
        """Write that an attempt gave no answer."""
        self._row("lost", issue, round(took.nlops * TOKENS_PER_NLOP), took.tokens, took.money)

    def again(self, issue: int, invalid: Invalid, cost: Cost, most: Amount, now_s: float) -> None:
        """Write that a reply was no result and is asked for again; ``most``: what that can take."""
        text, usage, ms = self._journal.text(invalid.text), usage_of(cost), self._ms(now_s)
        self._row("again", issue, text, invalid.why, usage, most.tokens, most.money or 0, ms)

    def result(self, issue: int, text: str, cost: Cost, now_s: float) -> None:
        """Write a call's result."""
        if self.keeps:
            usage = ",".join(map(str, usage_of(cost)))
            number = self._journal.text(text)
            self._journal.write(
                f'["result",{self._run},{issue},{number},[{usage}],{self._ms(now_s)}]'
            )

    def failure(
        self, issue: int, error: BaseException, side: str, cost: Cost, now_s: float
    ) -> None:
        """Write that a call failed for good."""
        usage, ms = usage_of(cost), self._ms(now_s)
        self._row("failure", issue, type(error).__name__, str(error), side, usage, ms)

    def cancel(self, issue: int, under_way: bool) -> None:
        """Write that nothing needs a call any more."""
        self._row("cancel", issue, under_way)

    def absent(self, position: str, error: HostError) -> None:
        """Write that the processor of the call at a position could not be opened."""
        self._row("absent", position, type(error).__name__, str(error))

    def _named(self, asked: AskedCall) -> tuple[str, int, int, str, list[int]]:
        """The call as the rows name it that are not formatted by hand."""
        numbers = [self._journal.text(text) for text in asked.texts]
        on = self.op_number(asked.op), self._on(asked.identity)
        return asked.position, *on, asked.key.hex(), numbers

    def taken(self, asked: AskedCall, outcome: Outcome) -> None:
        """Write a call's outcome that is that of the run this one was edited from."""
        if self.keeps:
            self._issues += 1
            log, named = self._journal, self._named(asked)
            if outcome.text:  # it may be lent
                outcome = outcome._replace(text=log.text(log.texts[outcome.text]))
            self._row("taken", self._issues, *named, *outcome)

    def shared(self, asked: AskedCall) -> None:
        """Write that a call met an equal one."""
        if self.keeps and asked.position not in self.past.calls:
            self._row("shared", *self._named(asked))

    def lift(self, position: str, name: str, digest: str) -> None:
        """Write what a lifted function gave, by digest."""
        self._row("lift", position, name, digest)

    def pick(self, position: str, picked: tuple[int, ...]) -> None:
        """Write which of several came first, and which had failed before it."""
        self._row("pick", position, *picked)

    def clock(self, position: str, what: str, content: Any) -> None:
        """Write what the program was told from outside."""
        self._row("clock", position, what, content)

    def mark(self, position: str, file: str, mark: str) -> None:
        """Write whose line it was that was heard there, and what file it runs."""
        self._row("mark", position, file, mark)

    def pulse(self, waiting: int, done: int, expected: int, now_s: float) -> None:
        """Write how the run is getting on."""
        self._row("pulse", waiting, done, expected, self._ms(now_s))

    def intent(
        self, position: str, digest: str, call: str, approved: bool, *, sync: bool = False
    ) -> None:
        """Write that a driver is about to be called. sync: a loss of power must not lose this."""
        number = self._journal.text(call)
        self._journal.append("intent", position, digest, number, approved, sync=sync)

    def effect(self, position: str, text: str, label: Label = USER) -> None:
        """Write what a driver gave, and the label that came with it."""
        told = () if label is USER else (label_text(label),)
        self._row("effect", position, self._journal.text(text), *told)

    def undone(self, position: str, message: str, label: Label = USER) -> None:
        """Write that a driver failed, and the label of what had come by then."""
        told = () if label is USER else (label_text(label),)
        self._row("undone", position, message, *told)

    def moved(self, position: str, whose: str, digest: str) -> None:
        """Write that a position takes over what was driven at another, or in another run."""
        self._row("moved", position, whose, digest)
