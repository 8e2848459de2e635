"""A crew: a batch whose runs are carried out by many processes, on one machine or many.

Theory of operation
-------------------
Whoever makes it drives the batch: inputs are entered into the database, workers begun, and what
came of inputs is read there and given, as a batch of one process gives it. Nothing of that is kept
by the driver: if it dies the workers go on, and the same again meets all that there is.

    enter     inputs, as rows; those that are there stay what they are
    keep up   as many workers as asked for; who dies is followed by another
    give      items, in the order of the inputs

Rules
1. A fleet is under a name: the same program, inputs and name go on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from nlpu.errors import (
    DeadlineExceeded,
    Interrupted,
    NlpuError,
    ProgramError,
    RunBusy,
    StorageFailed,
    Usage,
    failure_of,
)
from nlpu.printing import counted
from nlpu.runtime.fleet.driving.keeper import Hands, Keeper
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.fleet.neighbours import neighbours_of
from nlpu.runtime.fleet.outcomes import known
from nlpu.runtime.fleet.plan import Begun, Counts, Entry, Input, Plan, Steps, in_turn
from nlpu.runtime.fleet.share import total
from nlpu.runtime.fleet.workers.entered import Receipt, inputs_of
from nlpu.runtime.fleet.workers.sealed import check_same, mark, seal
from nlpu.runtime.journal.header import LIMITS, source_digest
from nlpu.runtime.journal.where import Database
from nlpu.runtime.naming import run_name
from nlpu.value import inside

if TYPE_CHECKING:
    from nlpu.runtime.fleet.driving.desk import Desk

_CHUNK: Final = 256  # inputs that are entered, and items that are read, at once
_LOOK_S: Final = 0.15
_TEND_S: Final = 1.0
_CLOSING_S: Final = 10.0


class Crew(Steps):
    """A batch as its driver holds it: it is gone through as ``fleet.batch.Batch`` is.

    Attributes:
        counts: How far it is.
        error: Why it was stopped before its end, if it was.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        entries: Iterable[Entry | None],
        plan: Plan,
        database: Database,
        facts: Mapping[str, Any],
        hands: Hands,
        workers: int,
    ) -> None:
        self.counts = Counts()
        self.error: NlpuError | None = None
        self._program, self._entries = program, entries
        plan.budget.check_prices(facts.get("price"))
        self._plan = in_turn(program, plan, workers)
        self._database, self._facts = database, facts
        self._keeper, self._workers = Keeper(hands, workers, seal(facts)), workers
        self._desk: Desk | None = None
        self._total, self._next, self._left = 0, 0, 0
        self._given: set[int] = set()  # of later inputs, where the order is theirs
        self._tend_s, self._begun = 0.0, False
        self._end_s = inf

    def __repr__(self) -> str:
        failed = f", {self.counts.failed} of them failed" if self.counts.failed else ""
        of = (
            f"{self.counts.ended:,} of {self._total:,} inputs have ended"
            if self._begun
            else "not begun"
        )
        return f"Fleet({self._plan.name}, {counted(self._workers, 'worker')}: {of}{failed})"

    @property
    def desk(self) -> Desk:
        """The open batch."""
        assert self._desk is not None
        return self._desk

    @property
    def ended(self) -> bool:
        """Whether it gives nothing more."""
        return self.error is not None or (self._begun and self._next >= self._total)

    # -- going on ----------------------------------------------------------------------------

    def open(self) -> None:
        """Take it up where it was. Idempotent. Raises RunBusy, Usage, StorageFailed."""
        if self._desk is not None:
            return
        from nlpu.runtime.fleet.driving.desk import Desk  # it needs psycopg
        from nlpu.runtime.journal.postgres.database import reach

        reach(self._database)  # nothing is begun: it is not waited for
        self._desk = Desk(self._database, self._plan.name)
        try:
            self._check_same()
        except BaseException:
            self._desk.close()
            self._desk = None
            raise

    def _check_same(self) -> None:
        """Raises Usage for another program under the batch's name, or one that has changed."""
        before, now = self.desk.facts(), self._facts["header"]["program"]
        was = before.get("header", {}).get("program", now)
        if was != now:
            raise Usage(f"the batch {self._plan.name} is of another program, {was}; name another")
        if not self._plan.changed:  # all may be done, and no worker come that would notice
            check_same(before, self._source(), self._plan.name)

    def _source(self) -> dict[str, Any]:
        """What the program is now, and what it imports beside it."""
        program = self._program
        return {"source": source_digest(program), "neighbours": neighbours_of(program)}

    @property
    def receipt(self) -> Receipt:
        """What the inputs with an outcome took, and runs that workers left; by worker, too."""
        return self.desk.receipt()

    def facts(self) -> dict[str, Any]:
        """What was noted of the batch."""
        return self.desk.facts()

    def note_facts(self, **facts: Any) -> None:
        """Note what is to be known of it in later lives."""
        self.desk.note(**facts)

    def enter(self) -> None:
        """Enter the inputs, and let workers come. Raises Usage."""
        plan, desk = self._plan, self.desk
        budget = {name: getattr(plan.budget, name) for name in LIMITS}
        desk.end_others(self._facts, budget)
        at_once = plan.at_once and max(1, plan.at_once // self._workers)
        desk.note(
            **self._facts,
            **self._source(),
            own=mark(self._facts),
            budget=budget,
            at_once=at_once,
            workers=self._workers,
            changed=plan.changed,
        )
        if plan.budget.seconds is not None:
            self._end_s = time.monotonic() + plan.budget.seconds
        desk.begin()
        chunk: list[Input] = []
        for each in inputs_of(self._program, self._entries):
            chunk.append(each)
            self._total += 1
            self._stay()  # inputs may come slowly
            if len(chunk) == _CHUNK:
                desk.enter(chunk)
                chunk.clear()
        if chunk:
            desk.enter(chunk)
        desk.reopen(retry=plan.retry)
        self._begun, self._tend_s = True, 0.0

    def step(self, timeout_s: float = inf) -> list[Item]:
        """Give the items that are there, or wait for some. Raises StorageFailed, RunBusy."""
        if inside() is not None:
            raise ProgramError("a program cannot wait for a batch; issue ops, or spawn programs")
        self.open()
        if not self._begun:
            self.enter()
        end_s = time.monotonic() + timeout_s
        while True:
            self._tend()
            items = self._items()
            if items or self.ended or time.monotonic() >= end_s:
                return items
            time.sleep(min(_LOOK_S, max(end_s - time.monotonic(), 0)))

    def _items(self) -> list[Item]:
        """The outcomes that are next, or as they come."""
        found = self.desk.outcomes(self._next, self._given, _CHUNK)
        if self._plan.ordered:
            found = [each for at, each in enumerate(found, self._next) if each[0].at == at]
        items = [self._item(begun, kept) for begun, kept in found]
        self._given |= {item.index for item in items}
        while self._next in self._given:
            self._given.remove(self._next)
            self._next += 1
        return items

    def _item(self, begun: Begun, kept: Any) -> Item:
        item = known(begun, kept, run_name(self._plan.name, kept.run), self._program)
        setattr(self.counts, item.status, getattr(self.counts, item.status) + 1)
        self.counts.cost = total((self.counts.cost, item.cost))
        return item

    # -- workers -----------------------------------------------------------------------------

    def _tend(self) -> None:
        """Stay the driver, hear why the batch is to end, and keep the workers up."""
        if time.monotonic() >= self._end_s:
            self.stop(
                DeadlineExceeded(f"the batch's {self._plan.budget.seconds:g} seconds ran out")
            )
        if self.error is not None or not self._stay():
            return
        self._hear()
        left, self.counts.in_flight = self.desk.left()
        if left < self._left:
            self._keeper.deaths = 0  # something comes of it
        self._left = left
        if self.error is None and left:
            error = self._keeper.keep_up(self.desk)
            if error is not None:
                self.stop(error)

    def _stay(self) -> bool:
        """Stay the driver, if that is due; gives whether it was. Raises RunBusy."""
        now = time.monotonic()
        if now < self._tend_s:
            return False
        self._tend_s = now + _TEND_S
        try:
            self.desk.beat()
        except RunBusy as followed:
            self.error = followed  # another drives it by now: nobody is stopped
            raise
        return True

    def _hear(self) -> None:
        why = self.desk.stopped()
        if why is not None:
            self.error = failure_of(*why)

    def stop(self, error: NlpuError) -> None:
        """End what goes on, resumable; ``error`` says why. Idempotent."""
        if self.error is None and not self.ended:
            self.error = error
            if self._desk is not None:
                hands = self._desk.hands()
                self.counts.joined = sum(each.alive and each.has_joined for each in hands)
                self._desk.stop(self._as_told(error))

    def _as_told(self, error: NlpuError) -> NlpuError:
        """Why workers end: who joined one by hand did not interrupt it."""
        if not isinstance(error, Interrupted):
            return error
        return Interrupted(
            f"whoever drives the batch {self._plan.name} stopped it ({error}); when it goes on, so "
            f"can this worker: nlpu worker {self._plan.name}"
        )

    def close(self) -> None:
        """Stop what goes on, and let others drive the batch. Idempotent."""
        self.stop(Interrupted("the batch was left before its end; under its name it goes on"))
        if self._desk is not None:
            if self.error is None:
                self._desk.call()  # it is over: none is to wait for its next look
            self._keeper.hands.close(_CLOSING_S)
            if not isinstance(self.error, StorageFailed):
                self._tell_all()
            self._desk.close()

    def _tell_all(self) -> None:
        """Have the counts be those of the database: of a stopped batch, not all was given."""
        receipt = self.receipt
        self.counts.lost = receipt.lost
        if self.error is not None and self._begun:
            self.counts.meet(self.desk.tally(), receipt.answered)
