"""A worker's loop: claim runs, carry them out on one computer, tell what came of them.

Theory of operation
-------------------
It is a batch's loop (``runtime.fleet.batch``) whose inputs are claimed and whose outcomes are told
to the database: no order, nothing held. When its turn comes, or it is called (``pace``), it says
that it lives, hears whether the batch is to end, buries workers that are dead, and has its part of
what all share set anew.

Rules
1. One run of an input is under its number in the batch, whoever carries it out: names are those of
   a batch of one process.
2. What would fail every input stops the batch for all workers, as it would stop a batch of one.
3. It ends when every input has an outcome; until then it waits for what others leave behind.
4. Where nothing was to be claimed, it is not asked again before the next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from nlpu.errors import (
    HostError,
    Interrupted,
    JournalDamaged,
    NlpuError,
    RunBusy,
    Stopped,
    StorageFailed,
    root_of,
)
from nlpu.runtime.computer import Computer
from nlpu.runtime.fleet.outcomes import outcome_of
from nlpu.runtime.fleet.plan import Begun
from nlpu.runtime.fleet.share import Common, without
from nlpu.runtime.fleet.workers.claims import Claims, Work
from nlpu.runtime.fleet.workers.common import Commons
from nlpu.runtime.fleet.workers.entered import arguments_of
from nlpu.runtime.fleet.workers.pace import Pace
from nlpu.runtime.handle import Run, stop_all, when_ended
from nlpu.runtime.journal.header import new_stem
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.naming import run_name

_FEWEST: Final = 8  # failures of the host in a row that stop a batch


class WorkingComputer(Computer):
    """A computer whose runs are given their numbers."""

    @property
    def station(self) -> Station:
        """Its loop, and what it keeps runs in."""
        return self._station

    def start_as(self, number: int, program: Callable[..., Any], *args: Any, **kwargs: Any) -> Run:
        """Start a run as that of a number."""
        self._station.open()
        self._station.started = number - 1
        return self.start(program, *args, **kwargs)


class Shift:
    """What one worker does of a batch."""

    def __init__(
        self,
        computer: WorkingComputer,
        program: Callable[..., Any],
        claims: Claims,
        commons: Commons,
        *,
        at_once: int = 0,
        workers: int = 1,
        header: Mapping[str, Any] | None = None,
        changed: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._computer, self._program, self._claims = computer, program, claims
        self._commons, self._header, self._changed = commons, dict(header or {}), changed
        opened = computer.processors.values()
        self._at_once = at_once or 2 * max(each.max_in_flight for each in opened)
        self._parts = 2 * workers
        self._live: dict[Run, tuple[Work, Begun]] = {}
        self._ended: SimpleQueue[Run] = SimpleQueue()
        self._faults = 0
        self._now, self._pace = now, Pace(claims.worker, claims.database.lease_s)
        self._said = list[str]()  # what was called out
        self._left = self._none = False  # whether it has claimed since, and found nothing
        self.ended = 0  # how many outcomes were told
        self.leaving = False  # set by whoever wants it to end: its runs are left to others

    def carry_out(self) -> None:
        """Work until nothing is left. Raises what stops it."""
        try:
            while not self.leaving:
                if self._tend() and not self._live and self._claims.is_over():
                    return
                self._wait()
        except NlpuError as error:
            if not isinstance(error, StorageFailed | RunBusy):  # others may go on
                self._claims.stop(error)
            raise
        finally:
            stop_all(list(self._live))
            self._drain()

    def _tend(self) -> bool:
        """Look about, and claim what there is room for; gives whether nothing was to be had."""
        now = self._now()
        if self._pace.ticks(now):
            self._tick(now)
        room = self._at_once - len(self._live)
        if any(work.alone for work, _ in self._live.values()):
            room = 0
        if self._left or room <= self._at_once // 8:
            return False
        live = [work.run for work, _ in self._live.values()]
        works = self._claims.claim(live, room, self._parts)
        self._left, self._none = True, not works
        for work in works:
            self._begin(work)
        return self._none

    def _tick(self, now: float) -> None:
        """See what has come up; look at the database if that, or its turn, is a reason to."""
        self._left = self._none  # rule 4
        station = self._computer.station
        heard, self._said = self._said + self._claims.hear(), []
        called = [self._claims.is_called(each) for each in heard]
        called += [self._commons.hear(each, station) for each in heard]
        looks = any(called) or self._pace.looks(now)
        if looks:
            self._beat(now)
            self._left = self._none = False
        if looks or self._commons.is_pressed:
            self._commons.beat(station, self._heed)
        if self._pace.minds_kin(now) and self._claims.has_dead_kin():
            self._claims.bury()

    def _heed(self) -> None:
        """While the computer's loop is busy: go on saying that it lives, and hearing whether."""
        heard, now = self._claims.hear(), self._now()
        self._said += heard
        if any(map(self._claims.is_called, heard)) or self._pace.looks(now):
            self._beat(now)

    def _beat(self, now: float) -> None:
        """Say that it lives, and hear what is new."""
        seen = self._claims.beat()
        self._pace.looked(now, seen.alive)
        if seen.stopped is not None:
            raise seen.stopped
        if seen.late:
            self._claims.bury()

    def _begin(self, work: Work) -> None:
        """Start its run, or go on with it (rule 1)."""
        args, kwargs = arguments_of(self._program, work.args)
        computer, whole = self._computer, self._commons.purse
        past = without(work.took, work.before)
        begun = Begun(work.at, work.id, work.name, work.nth, work.before, work.run, past)
        each = {"index": work.at, "nth": work.nth, "id": work.id, "batch": self._claims.stem}
        each["one"] = new_stem()
        if work.begun:
            run = computer.resume(
                run_name(computer.station.stem, work.run),
                self._program,
                *args,
                **kwargs,
                budget=Common(whole, past),
                changed=self._changed or work.failed,
            )
        else:
            run = computer.start_as(
                work.run,
                self._program,
                *args,
                **kwargs,
                budget=Common(whole),
                header={**self._header, "each": each},
            )
        self._live[run] = work, begun
        when_ended(run, self._ended.put)

    # -- outcomes ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Take the outcomes that are there, or the next, until it is time to say something."""
        with suppress(Empty):
            pause_s = max(self._pace.tick_s - self._now(), 0)
            if self._live:
                self._take(self._ended.get(timeout=pause_s))
            else:
                self._said += self._claims.hear(pause_s)
            for _ in range(self._at_once // 8):
                self._take(self._ended.get_nowait())

    def _drain(self) -> None:
        """Tell of runs that ended as the others were stopped."""
        with suppress(Empty, NlpuError):
            while True:
                self._take(self._ended.get_nowait())

    def _take(self, run: Run) -> None:
        """A run has ended: its outcome is told, if it ended for good."""
        work, begun = self._live.pop(run)
        self._left = self._none and bool(self._live)  # with no other it may have one that is alone
        error, root = run.error, root_of(run.error)
        if isinstance(error, Interrupted) and run.status == "stopped":
            return
        if isinstance(error, Stopped) and run.status != "needs_person":
            raise error
        if isinstance(root, StorageFailed | JournalDamaged | RunBusy):  # its end is kept nowhere
            raise root
        _, kept = outcome_of(run, begun, self._program)
        self._claims.end(work.run, kept)
        self.ended += 1
        self._faults = self._faults + 1 if isinstance(root, HostError) else 0
        if self._faults >= max(_FEWEST, self._at_once):
            raise HostError(
                f"{self._faults} inputs in a row failed by no fault of theirs, the last: {root}; "
                "repair that, then go on with --retry failed (retry=True)"
            )
