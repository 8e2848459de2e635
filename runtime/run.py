"""A run's state: what it may spend and has spent, what its former lives did, how it ends.

Rules
1. It is plain state below the graph and the scheduler: it knows neither nodes nor who drives them.
2. What is asked of the machine for a run is asked by its ``ports``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from nlpu.errors import HostError, NlpuError
from nlpu.ops.op import Op
from nlpu.processor import Processor
from nlpu.prompt import convention
from nlpu.prompt.complaint import Invalid
from nlpu.runtime.graph.label_gaps import Given
from nlpu.runtime.graph.usage import amount_of, cost_of
from nlpu.runtime.journal.edits import Ancestor
from nlpu.runtime.journal.journal import NoJournal
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.replay import Replay
from nlpu.runtime.journal.writer import History
from nlpu.runtime.ports import Ports
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount, Budget, Purse

Status = Literal["running", "done", "failed", "stopped", "needs_person"]


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
    issued: int = 0  # calls


class RunState:
    """One execution. Owned by the machine's loop; ``handle.Run`` is its public face."""

    fault: HostError | None = None  # of the newest attempt that ended, if it failed
    root: Any  # the scope of its program: runs stand below the graph

    def __init__(
        self,
        ports: Ports,
        number: int,
        *,
        budget: Budget,
        estimates: Mapping[str, int],
        past: Past | None = None,
        replay: bool = False,
        reuse_changed: bool = False,
        source_changed: bool = False,
        ancestor: Ancestor | None = None,
        reads: str = "",
        header: Mapping[str, Any] | None = None,
    ) -> None:
        """``reads``: from where the program was given texts that nobody vouches for, if it was."""
        self.header = {} if header is None else header
        self.convention = convention.read(self.header.get("convention", ""))
        self.ports = ports
        self.number = number
        self.journal = journal = ports.journal
        self.gate: Any = None
        self.purse = Purse(budget)
        self.estimates = dict(estimates)
        self.poor_judges: set[str] = set()  # models that were warned of
        self.begun = False  # its header is committed
        self.status: Status = "running"
        self.error: BaseException | None = None
        self.doom: NlpuError | None = None  # it will end with this, whatever its program does
        self.result: Any = None
        self.counts = Counts()
        self.start_s = ports.outside.now_s()
        self.end_s: float | None = None
        written = NoJournal() if replay else journal
        self.history = History(written, number, past or Past(), self.start_s)
        self.replay = Replay(
            journal, self.history, ancestor=ancestor, resumed=past is not None, only=replay,
            changed=reuse_changed, source_changed=source_changed, dry=ports.dry,
            system=self.header.get("system", ""),
        )  # fmt: skip
        self.reads = reads
        self.lowered = bool(reads)  # whether anything in it has seen something below the user
        self.given: dict[int, Given] = {}  # what nodes were given that can be changed
        self.leaders: dict[bytes, Any] = {}
        self.followers: dict[bytes, list[Any]] = {}
        self.invalid: dict[bytes, tuple[Invalid, ...]] = {}  # of calls that are asked again, by key
        self.blocked: list[tuple[int, int, Any]] = []  # a heap of calls the budget refused
        self.forced: dict[str, list[float]] = {}  # file:line -> [count, seconds]
        self.on_text: Callable[[Any, str], None] | None = None
        self.on_end: list[Callable[[], None]] = []
        self.timers: list[Any] = []
        self._most: dict[tuple[bytes, str, int], Amount] = {}
        self.date_s: Callable[[], float] = lambda: 0.0
        self._charge_past()

    def _charge_past(self) -> None:
        """Count what former lives spent: on outcomes, and on attempts that a kill left open."""
        past = self.replay.past
        for outcome in past.paid:
            self.purse.charge(amount_of(cost_of(outcome.usage)))
        for most in [*past.lost, *past.open]:
            self.purse.charge(most, lost=True)

    def processor(self, name: str | None) -> Processor:
        """Give the processor of that name, or the default one, speaking as the run does.

        Raises UnknownProcessor.
        """
        return self.ports.processors.find(name).speaking(self.convention)

    def key(
        self, position: str, op: Op[Any], processor: Processor, draw: str, texts: tuple[str, ...]
    ) -> bytes:
        """Give a call's key: everything that decides its answer. ``draw``: which sample it is."""
        names = b"".join(map(self.journal.name, texts))
        whole = b"%b|%b|%b|%b" % (op.digest, processor.identity.encode(), draw.encode(), names)
        if self.convention is not convention.FIRST:
            whole += self.convention.digest
        key = blake2b(whole, digest_size=12).digest()
        ancestor = self.replay.ancestor
        return key if ancestor is None else ancestor.key(position, op, key)

    def note(self, position: str, what: str, content: Any) -> None:
        """Journal what the program was told from outside (JSON, not null)."""
        self.history.clock(position, what, content)
        self.ports.outside.soon()

    # -- money ---------------------------------------------------------------------------------

    def most(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
        """The most a call can take. Remembered: most calls of an op are of the same few sizes."""
        which = (op.digest, processor.name, prompt_tokens)
        found = self._most.get(which)
        if found is None:
            found = self._most[which] = self._most_of(op, processor, prompt_tokens)
        return found

    def _most_of(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
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
