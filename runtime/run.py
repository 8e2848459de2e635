"""A run's state: what it may spend and has spent, what its former lives did, how it ends.

Rules
1. It is plain state below the graph and the scheduler: it knows neither nodes nor who drives them.
2. What is asked of the machine for a run is asked by its ``ports``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from nlpu.errors import NlpuError
from nlpu.eval.recipes import Chosen
from nlpu.processor import Processor
from nlpu.prompt import convention
from nlpu.reliability import Reliability
from nlpu.runtime.graph.label_gaps import Given
from nlpu.runtime.graph.usage import Counts, amount_of, cost_of
from nlpu.runtime.journal.edits import Ancestor
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.replay import Replay
from nlpu.runtime.journal.store import NoJournal, RunLog
from nlpu.runtime.journal.writer import History
from nlpu.runtime.ports import Ports
from nlpu.runtime.scheduler.budget import Budget

Status = Literal["running", "done", "failed", "stopped", "needs_person"]


class RunState:
    """One execution. Owned by the machine's loop; ``handle.Run`` is its public face."""

    root: Any  # the scope of its program: runs stand below the graph

    def __init__(
        self,
        ports: Ports,
        journal: RunLog,
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
        given = self.header.get("reliability")
        self.reliability = None if given is None else Reliability(**given)
        self.sheets: tuple[str, ...] = tuple(self.header.get("sheets", ()))
        self.chosen: dict[str, Chosen] = {}  # how what must be reliable is asked, by position
        self.unplanned: dict[str, NlpuError] = {}  # why not, by position
        self.steps = 0  # of those that must be right together
        self.ports = ports
        self.number = journal.run
        self.journal = journal
        self.ledger = budget.ledger()
        self.estimates = dict(estimates)
        self.begun = False  # its header is committed
        self.status: Status = "running"
        self.error: BaseException | None = None
        self.doom: NlpuError | None = None  # it will end with this, whatever its program does
        self.result: Any = None
        self.counts = Counts()
        self.start_s = ports.outside.now_s()
        self.end_s: float | None = None
        written = RunLog(NoJournal(), journal.run) if replay else journal
        self.history = History(written, past or Past(), self.start_s)
        self.replay = Replay(
            journal,
            self.history,
            ancestor=ancestor,
            resumed=past is not None,
            only=replay,
            changed=reuse_changed,
            source_changed=source_changed,
            dry=ports.dry,
            system=self.header.get("system", ""),
        )
        self.reads = reads
        self.lowered = bool(reads)  # whether anything in it has seen something below the user
        self.given: dict[int, Given] = {}  # what nodes were given that can be changed
        self.forced: dict[str, list[float]] = {}  # file:line -> [count, seconds]
        self.on_end: list[Callable[[], None]] = []
        self.timers: list[Any] = []
        self.date_s: Callable[[], float] = lambda: 0.0
        self._charge_past()

    def _charge_past(self) -> None:
        """Count what former lives spent: on outcomes, and on attempts that a kill left open."""
        past = self.replay.past
        for outcome in past.paid:
            self.ledger.charge(amount_of(cost_of(outcome.usage)))
        for most in [*past.lost, *past.open]:
            self.ledger.charge(most, lost=True)

    def processor(self, name: str | None) -> Processor:
        """Give the processor of that name, or the default one, speaking as the run does.

        Raises UnknownProcessor.
        """
        return self.ports.processors.find(name).speaking(self.convention)

    def note(self, position: str, what: str, content: Any) -> None:
        """Journal what the program was told from outside (JSON, not null)."""
        self.history.clock(position, what, content)
        self.ports.outside.soon()
