"""A batch: one program over many inputs, a run for each, as many at once as is good.

Theory of operation
-------------------
Inputs are read when there is room for another run, so neither they nor the runs are ever held all
at once. A run that has ended gives an ``Item``. A batch with a name has a journal of that name for
all its runs, and beside it what became of its inputs (``items``): under the same name it goes on.

    an input that has ended         is given as it is kept
    one whose run was stopped       its run goes on: what was answered is met in the journal
    one that was gone on with alone (``nlpu resume``) is given as that ended, or goes on
    one that never began            is run

Rules
1. It stands on what any caller of a computer has: start, resume, stop. Nothing below knows of it.
2. At most ``at_once`` runs go on. Outcomes wait for an earlier input's: neither many nor long ones.
3. An input's failure is its item's. What would fail every input stops the batch: a budget that is
   spent, storage that cannot be written, as many failures of the host in a row as runs at once.
4. One thread drives it; whoever asks for items makes it begin runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from nlpu.errors import (
    DeadlineExceeded,
    HostError,
    Interrupted,
    JournalDamaged,
    NlpuError,
    ProgramError,
    Stopped,
    StorageFailed,
    Usage,
    root_of,
)
from nlpu.printing import counted, one_line
from nlpu.runtime.fleet.former import Former, taken_up
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.fleet.items import Items, Kept
from nlpu.runtime.fleet.outcomes import known, outcome_of, recorded
from nlpu.runtime.fleet.plan import Begun, Counts, Entry, Plan, Steps, in_turn
from nlpu.runtime.fleet.share import NO_CALLS, Common, less, total
from nlpu.runtime.handle import Run, stop_all, when_ended
from nlpu.runtime.journal.header import args_text, new_stem
from nlpu.runtime.journal.own import text_name
from nlpu.runtime.keywords import arranged
from nlpu.runtime.naming import run_name
from nlpu.runtime.scheduler.budget import BudgetLedger
from nlpu.value import inside

if TYPE_CHECKING:
    from nlpu.runtime.loop_thread import Station

MOST_AHEAD = 4096
_MOST_HELD = 32 * 2**20  # characters of results that wait
_AT_A_STEP = 64  # items of former lives
_FEWEST = 8  # failures of the host in a row that stop a batch


class Starts(Protocol):
    """What a batch asks of a computer (rule 1)."""

    @property
    def processors(self) -> Mapping[str, Any]:
        """The opened processors by name."""

    def start(self, program: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Run:
        """Start a run."""

    def resume(self, name: str, program: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Run:
        """Go on with one."""


class Batch(Steps):
    """Iterate over it, with ``for`` or ``async for``, for the items; it begins with the first.

    One that is stopped before its end gives the items that there are, and raises why.

    Attributes:
        counts: How far it is.
        error: Why it was stopped before its end, if it was.
    """

    def __init__(
        self,
        computer: Starts,
        station: Station,
        program: Callable[..., Any],
        entries: Iterable[Entry | None],
        plan: Plan,
    ) -> None:
        plan.budget.check_prices(station.prices)
        self.counts = Counts()
        self.error: NlpuError | None = None
        self._computer, self._station, self._program = computer, station, program
        self._entries, self._plan = iter(entries), in_turn(program, plan)
        self._former: Former | None = None
        self._at_once = 0
        self._whole = BudgetLedger(plan.budget)
        self._live: dict[Run, Begun] = {}
        self._ended: SimpleQueue[Run | None] = SimpleQueue()  # None: its seconds are over
        self._held: dict[int, Item] = {}  # by index: outcomes of inputs behind one that runs
        self._held_size = 0  # characters of their results
        self._seen: Counter[str] = Counter()  # names
        self._next = self._read = 0  # the index to give next, and how many inputs were read
        self._faults = 0  # of the host, in a row
        self._exhausted = False

    def __repr__(self) -> str:
        what = getattr(self._program, "__name__", "a program")
        told = f"{counted(self.counts.ended, 'input')} ended"
        return f"Batch({one_line(what, 40)}, {told}; iterate over it for its items)"

    @property
    def ended(self) -> bool:
        """Whether it gives nothing more."""
        over = self._exhausted or self.error is not None
        return over and not (self._live or self._held)

    # -- going on ----------------------------------------------------------------------------

    def open(self) -> None:
        """Take it up where it was. Idempotent; for what it raises see ``step``."""
        plan = self._plan
        if self._former is not None:
            return
        former = Former(Items(None), {}, NO_CALLS)
        if plan.name:
            former = taken_up(self._station, self._program, plan.name, changed=plan.changed)
        self._whole.charge(former.took.answered)
        self._whole.charge(former.took.lost, lost=True)
        # As many as calls at once, and as many again: one always waits to be sent.
        opened = self._computer.processors.values()
        self._at_once = plan.at_once or 2 * max(each.max_in_flight for each in opened)
        seconds = plan.budget.seconds
        if seconds is not None:
            self._station.call(partial(self._end_later, seconds))
        self._former = former

    def _end_later(self, seconds: float) -> None:
        self._station.kernel.outside.loop.call_later(seconds, self._ended.put, None)

    def facts(self) -> dict[str, Any]:
        """What was noted of the batch, in this life and in former ones."""
        assert self._former is not None  # it is open
        return self._former.items.facts()

    def note_facts(self, **facts: Any) -> None:
        """Note what is to be known of it in later lives; plain data."""
        assert self._former is not None  # it is open
        self._former.items.note_facts(**facts)

    def step(self, timeout_s: float = inf) -> list[Item]:
        """Begin what there is room for, wait for an outcome, and give the items that are next.

        Raises Usage, RunBusy, JournalDamaged, StorageFailed, and what opening engines does.
        """
        if inside() is not None:
            raise ProgramError("a program cannot wait for a batch; issue ops, or spawn programs")
        self.open()
        assert self._former is not None
        fresh: list[Item] = []
        self._feed(fresh)
        if not fresh:
            self._wait(timeout_s, fresh)
            self._feed(fresh)
        self._former.items.commit()
        self.counts.in_flight, self.counts.lost = len(self._live), self._whole.lost
        if self.error is not None and not self._live:
            self._tell_all()
        return self._in_order(fresh)

    def stop(self, error: NlpuError, fresh: list[Item] | None = None) -> None:
        """End what goes on, resumable; ``error`` says why. Idempotent."""
        if fresh is None and self._former is not None and self.ended:
            return
        self.error = self.error or error
        stop_all(list(self._live))
        if fresh is None and self._former is not None:
            for run in list(self._live):  # an interrupt may have lost what the queue held
                self._take(run, [])
            self._held.clear()
            self._former.items.commit()
            self._tell_all()

    def _tell_all(self) -> None:
        """Have the counts of a stopped batch be what is kept and spent, whether given or not."""
        assert self._former is not None
        made = self.counts.ended - self.counts.known
        spent = less(self._whole.spent, self._whole.lost)
        self.counts.meet(self._former.items.tally(), spent)
        self.counts.known, self.counts.lost = self.counts.ended - made, self._whole.lost

    def close(self) -> None:
        """Stop what goes on, and let another computer take the batch up. Idempotent."""
        self.stop(Interrupted("the batch was left before its end; under its name it goes on"))
        if self._former is not None:
            self._former.items.close()

    def _wait(self, timeout_s: float, fresh: list[Item]) -> None:
        """Take the outcomes that are there, or the next one."""
        with suppress(Empty):
            if self._live:
                self._take(self._ended.get(timeout=None if timeout_s == inf else timeout_s), fresh)
            for _ in range(self._at_once // 8):  # then others begin in their places
                self._take(self._ended.get_nowait(), fresh)

    def _in_order(self, fresh: list[Item]) -> list[Item]:
        if not self._plan.ordered:
            return fresh
        self._held.update((item.index, item) for item in fresh)
        self._held_size += sum(len(item.text) for item in fresh)
        given = []
        while self._next in self._held:
            given.append(self._held.pop(self._next))
            self._held_size -= len(given[-1].text)
            self._next += 1
        if self.error is not None and not self._live:  # what stands before them never comes
            self._held.clear()
        return given

    def _feed(self, fresh: list[Item]) -> None:
        while self._has_room(len(fresh)) and not (self._plan.waits and self._is_ready(fresh)):
            try:
                entry = next(self._entries)
                if entry is None:
                    return
                item = self._begin(self._read, entry)
            except StopIteration:
                self._exhausted = True
                return
            except NlpuError as error:  # an input that is none
                self.stop(error, fresh)
                return
            self._read += 1
            if item is not None:
                self.counts.known += 1
                self._count(item, fresh)

    def _is_ready(self, fresh: list[Item]) -> bool:
        """Whether there are outcomes, which a wait for the next input would hold back."""
        return bool(fresh) or not self._ended.empty()

    def _has_room(self, fresh: int) -> bool:
        goes_on = not self._exhausted and self.error is None and fresh < _AT_A_STEP
        ahead = self._read - self._next if self._plan.ordered else 0
        waits = ahead >= MOST_AHEAD or self._held_size >= _MOST_HELD
        return goes_on and len(self._live) < self._at_once and not waits

    def _count(self, item: Item, fresh: list[Item]) -> None:
        setattr(self.counts, item.status, getattr(self.counts, item.status) + 1)
        self.counts.cost = total((self.counts.cost, item.cost))
        fresh.append(item)

    # -- one input ---------------------------------------------------------------------------

    def _begin(self, index: int, entry: Entry) -> Item | None:
        """The input's item if it has ended; else it has a run from now on."""
        assert self._former is not None
        args, kwargs = arranged(self._program, entry.args, entry.kwargs)
        begun = self._named(index, entry, args_text(args, kwargs))
        kept = self._former.items.find(begun.name, begun.nth)
        left = self._former.unfinished.pop((begun.name, begun.nth), None)
        went_on = False
        if left is not None and (kept is None or kept.run <= left.number):
            ended = recorded(left)
            went_on = left.went_on(kept)
            if ended is not None and not (went_on or (kept and kept.is_failing_as(ended))):
                self._former.items.keep(begun.name, begun.nth, ended)
                kept = ended
        is_last = kept is not None and (left is None or kept.run == left.number)
        retries = went_on or (left is not None and self._plan.retry)
        if kept is not None and is_last and not (retries and kept.status == "failed"):
            return self._as_kept(begun, kept)
        if kept is not None and is_last and kept.side == "model" and not went_on:
            begun = begun._replace(before=kept.took, run=kept.run)
            left = None  # as its journal has the failure, it would be met again
        if left is None:
            if kept is None:
                self._former.check_new(index, self._plan)
            each = {"index": index, "nth": begun.nth, "id": entry.id, "batch": self._plan.name}
            each["one"] = new_stem()  # see drivers.dispatch: another batch may have its name
            each |= {"beside": beside} if (beside := self._former.beside) else {}
            run = self._computer.start(
                self._program,
                *args,
                **kwargs,
                budget=Common(self._whole),
                header={**self._plan.facts, "each": each},
            )
        else:
            begun = begun._replace(before=left.before, run=left.number, past=left.took)
            if is_last:
                self._former.items.forget(begun.name, begun.nth)
            run = self._computer.resume(
                run_name(self._station.stem, left.number),
                self._program,
                *args,
                **kwargs,
                budget=Common(self._whole, left.took),
                changed=self._plan.changed or (kept is not None and not went_on),
            )
        self._live[run] = begun
        when_ended(run, self._ended.put)
        return None

    def _named(self, index: int, entry: Entry, text: str | None) -> Begun:
        """The input by its content. Raises Usage."""
        if not self._plan.name:
            return Begun(index, entry.id, "", self._station.started)  # which no other is
        if text is None:
            raise Usage(
                f"input {index + 1} has no JSON form, by which a batch with a name knows it again; "
                "give texts, numbers, lists, dicts or pydantic models, or no name"
            )
        name = text_name(text)
        self._seen[name] += 1
        return Begun(index, entry.id, name, self._seen[name] - 1)

    # -- outcomes ----------------------------------------------------------------------------

    def _take(self, run: Run | None, fresh: list[Item]) -> None:
        """A run has ended: its item is kept, if it ended for good."""
        if run is None:
            seconds = self._plan.budget.seconds
            self.stop(DeadlineExceeded(f"the batch's {seconds:g} seconds ran out"), fresh)
            return
        begun = self._live.pop(run, None)
        if begun is None:  # it was taken at a stop
            return
        error, root = run.error, root_of(run.error)
        if isinstance(error, Stopped) and run.status != "needs_person":
            self.stop(error, fresh)
            return
        if isinstance(root, StorageFailed | JournalDamaged):  # its end is kept nowhere
            self.stop(root, fresh)
            return
        item, kept = outcome_of(run, begun, self._program)
        assert self._former is not None
        if item.status != "needs_person":
            self._former.items.keep(begun.name, begun.nth, kept)
        self._count(item, fresh)
        self._faults = self._faults + 1 if isinstance(root, HostError) else 0
        if self._faults >= max(_FEWEST, self._at_once):
            why = (
                f"{self._faults} inputs in a row failed by no fault of theirs, the last: {root}; "
                "repair that, then go on with --retry failed (retry=True)"
            )
            self.stop(HostError(why), fresh)

    def _as_kept(self, begun: Begun, kept: Kept) -> Item:
        name = run_name(self._station.stem, kept.run) if kept.run else ""
        return known(begun, kept, name, self._program)
