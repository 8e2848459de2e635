"""A run's state: what it has issued, what its journal already holds, what it has spent.

Theory of operation
-------------------
A run writes every step to the journal and, when it is resumed, meets the steps of its former lives
there. Two identities make that safe. A node's *key* (op, operand contents, processor, sampling,
sample) finds its result. Its *position* (scope path and number) finds what the program issued at
that place before; if that was something else, the program, an op or the model has changed, or the
program is not deterministic, and the run says so instead of mixing two histories.

Rules
1. A result in the journal is used and never asked for again.
2. The first position whose key differs from the journal's is the divergence. It stops the run,
   unless the run was told to reuse what it can; then all later positions are checked by key alone.
3. A failure of the host is tried again on resume, and from then on positions may differ; a failure
   of the model is a result like any other.
4. A replay makes no call: a key that is missing is a divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from nlpu.errors import (
    Diverged,
    EmptyReply,
    HostError,
    Malformed,
    ModelError,
    NlpuError,
    ProgramError,
    Truncated,
)
from nlpu.op import Op
from nlpu.processor import Processor
from runtime.budget import TOKENS_PER_NLOP, Amount, Budget, Purse
from runtime.graph import Node, Scope
from runtime.journal import Journal, NoJournal, Row

if TYPE_CHECKING:  # the kernel drives runs; a run only hands itself to it
    from runtime.kernel import Kernel

Status = Literal["running", "done", "failed", "stopped", "needs_person"]
_MODEL_FAULTS = {kind.__name__: kind for kind in (Truncated, Malformed, EmptyReply, ModelError)}


@dataclass(slots=True)
class Past:
    """What a journal holds of a run's former lives."""

    issues: dict[str, Row] = field(default_factory=dict)  # position -> row
    results: dict[str, Row] = field(default_factory=dict)  # key -> result or failure row
    lifts: dict[str, Row] = field(default_factory=dict)
    picks: dict[str, int] = field(default_factory=dict)
    clocks: dict[str, Any] = field(default_factory=dict)
    ops: dict[int, list[str]] = field(default_factory=dict)
    open_attempts: dict[str, Row] = field(default_factory=dict)  # position -> row
    attempts: int = 0


def read_past(rows: list[Row], replay: bool) -> tuple[Past, bool]:
    """Fold a run's rows. Second: whether failures of the host were left out (rule 3)."""
    past = Past()
    lenient = False
    for row in rows:
        if row[0] == "failure" and row[4] not in _MODEL_FAULTS and not replay:
            past.open_attempts.pop(row[2], None)
            lenient = True
        elif row[0] in _FOLDS:
            _FOLDS[row[0]](past, row)
    return past, lenient


def _fold_outcome(past: Past, row: Row) -> None:
    past.open_attempts.pop(row[2], None)
    past.results[row[3]] = row


def _fold_attempt(past: Past, row: Row) -> None:
    past.attempts += 1
    past.open_attempts[row[2]] = row


_FOLDS: dict[str, Callable[[Past, Row], object]] = {
    "issue": lambda past, row: past.issues.__setitem__(row[2], row),
    "shared": lambda past, row: past.issues.__setitem__(row[2], row),
    "attempt": _fold_attempt,
    "result": _fold_outcome,
    "failure": _fold_outcome,
    "cancel": lambda past, row: past.open_attempts.pop(row[2], None),
    "lift": lambda past, row: past.lifts.__setitem__(row[2], row),
    "pick": lambda past, row: past.picks.__setitem__(row[2], row[3]),
    "clock": lambda past, row: past.clocks.__setitem__(row[2], row[3]),
    "op": lambda past, row: past.ops.__setitem__(row[2], row[3]),
}


@dataclass(slots=True)
class Counts:
    """Totals kept as the run goes; the receipt's other figures are computed from the nodes."""

    calls: int = 0
    reused: int = 0
    shared: int = 0
    attempts: int = 0
    waiting: int = 0
    in_flight: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    issued: int = 0


class RunState:
    """One execution. Owned by the kernel's loop; ``computer.Run`` is its public face."""

    def __init__(
        self,
        kernel: Kernel,
        number: int,
        journal: Journal | NoJournal,
        *,
        budget: Budget,
        estimates: Mapping[str, int],
        past: Past | None = None,
        lenient: bool = False,
        replay: bool = False,
        reuse_changed: bool = False,
        source_changed: bool = False,
    ) -> None:
        self.kernel = kernel
        self.number = number
        self.journal = journal
        self.purse = Purse(budget)
        self.estimates = dict(estimates)
        self.past = past or Past()
        self.lenient = lenient
        self.replay = replay
        self.reuse_changed = reuse_changed
        self.source_changed = source_changed
        self.divergence: str | None = None
        self.status: Status = "running"
        self.error: BaseException | None = None
        self.result: Any = None
        self.counts = Counts()
        self.start_s = kernel.now_s()
        self.end_s: float | None = None
        self.root = Scope(self, "main", None, "main")
        self.leaders: dict[bytes, Node] = {}
        self.followers: dict[bytes, list[Node]] = {}
        self.blocked: list[Node] = []  # ready calls that the budget refused for now
        self.forced: dict[str, list[float]] = {}  # file:line -> [count, seconds]
        self.on_text: Callable[[Node, str], None] | None = None
        self.on_end: list[Callable[[], None]] = []
        self.timers: list[Any] = []
        self._op_numbers = {bytes.fromhex(op[0]): number for number, op in self.past.ops.items()}
        self.date_s: Callable[[], float] = lambda: 0.0
        self._charge_open_attempts()

    def charge_results(self, rows: list[Row]) -> None:
        """Count what the run's former lives spent on calls that were answered."""
        for row in rows:
            if row[0] in ("result", "failure"):
                usage = row[5] if row[0] == "result" else row[7]
                _, prompt, _, completion, *_, money = usage
                self.purse.charge(
                    Amount(1, completion / TOKENS_PER_NLOP, prompt + completion, money)
                )

    def _charge_open_attempts(self) -> None:
        for row in self.past.open_attempts.values():
            self.purse.charge(Amount(1, row[4], row[5], row[6]))

    # -- identity ----------------------------------------------------------------------------

    def key(self, node: Node, op: Op[Any], processor: Processor, texts: tuple[str, ...]) -> bytes:
        """The node's key: everything that decides its answer."""
        sample = node.work.sample
        if sample is not None:
            draw = f"={sample}"
        else:
            draw = f"{node.scope.path}#{node.draw}" if op.temperature > 0 else ""
        names = b"".join(map(self.journal.name, texts))
        whole = b"%b|%b|%b|%b" % (op.digest, processor.identity.encode(), draw.encode(), names)
        return blake2b(whole, digest_size=12).digest()

    def op_number(self, op: Op[Any]) -> int:
        """The number the journal knows the op by in this run."""
        number = self._op_numbers.get(op.digest)
        if number is None:
            number = self._op_numbers[op.digest] = len(self._op_numbers)
            described = [op.digest.hex(), op.name, self.journal.text(op.text), op.result.name]
            self.journal.append("op", self.number, number, described)
        return number

    # -- the journal of former lives ------------------------------------------------------------

    def check_position(self, node: Node, op: Op[Any], key: bytes, texts: tuple[str, ...]) -> None:
        """Raises Diverged if the journal holds another call at this position (rule 2)."""
        row = self.past.issues.get(node.position)
        if row is None or self.lenient or row[5] == key.hex():
            return
        self.diverge(f"{node.position} ({op.name})", self._difference(row, op, texts))

    def _difference(self, row: Row, op: Op[Any], texts: tuple[str, ...]) -> str:
        before = self.past.ops[row[3]]
        if before[1] != op.name:
            return f"the program called {before[1]} there before, and calls {op.name} now"
        if before[0] != op.digest.hex():
            return f"the op {op.name} has changed"
        if row[4] != self.kernel.processor(op.processor).identity:
            return f"the model was {row[4].split('|')[0]} before"
        names = [self.journal.text(text) for text in texts]
        changed = [
            place.name
            for place, old, new in zip(op.operands, row[6], names, strict=False)
            if old != new
        ]
        return f"its operand {changed[0]!r} differs" if changed else "its sampling has changed"

    def diverge(self, where: str, what: str) -> None:
        """Stop the run, or note the divergence where that was asked for. Raises Diverged."""
        hint = "; the program's source has changed since" if self.source_changed else ""
        found = (
            f"at {where} the run differs from its journal: {what}{hint}. If nothing was changed, "
            "the program is not deterministic: take time and random numbers from "
            "runtime.now() and runtime.random()"
        )
        if self.reuse_changed and not self.replay:
            self.divergence = self.divergence or found
            self.lenient = True
            return
        raise Diverged(
            f"{found}. {len(self.past.results)} results are in the journal; to go on and reuse "
            "those whose op, operands and model are the same, resume with --changed"
        )

    def remembered(self, key: bytes) -> Row | None:
        """The journal's outcome of a key."""
        return self.past.results.get(key.hex()) if self.past.results else None

    def failure(self, row: Row) -> NlpuError:
        """The error that a failure row stands for."""
        name, message = row[4], row[5]
        kind = _MODEL_FAULTS.get(name)
        if kind is not None:
            return kind(message)
        return HostError(message) if row[6] == "host" else ProgramError(message)

    # -- money ---------------------------------------------------------------------------------

    def most(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
        """The most a call can take."""
        completion = op.max_tokens + processor.thinking_tokens
        prompt = prompt_tokens * (2 if processor.thinking_tokens else 1) + processor.thinking_tokens
        return Amount(
            1,
            completion / TOKENS_PER_NLOP,
            prompt + completion,
            processor.price.of(prompt, 0, completion),
        )

    def estimate(self, op: Op[Any]) -> int:
        """Expected completion tokens of an op, frozen when the run started."""
        return self.estimates.get(op.name, op.max_tokens)
