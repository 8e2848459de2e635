"""A worker's loop: claim runs, carry them out on one computer, tell what came of them.

Theory of operation
-------------------
It is a batch's loop (``runtime.fleet.batch``) whose inputs are claimed and whose outcomes are told
to the database: no order, nothing held. Several times a second it says that it lives, hears whether
the batch is to end, buries workers that are dead, and has its part of what all share set anew.

Rules
1. One run of an input is under its number in the batch, whoever carries it out: names are those of
   a batch of one process.
2. What would fail every input stops the batch for all workers, as it would stop a batch of one.
3. It ends when every input has an outcome; until then it waits for what others leave behind.
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
from nlpu.runtime.handle import Run, when_ended
from nlpu.runtime.journal.header import new_stem
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.naming import run_name

BEAT_S: Final = 0.2
_KEEP_S: Final = 1.0  # between looks for the dead
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
    ) -> None:
        self._computer, self._program, self._claims = computer, program, claims
        self._commons, self._header, self._changed = commons, dict(header or {}), changed
        opened = computer.processors.values()
        self._at_once = at_once or 2 * max(each.max_in_flight for each in opened)
        self._parts = 2 * workers
        self._live: dict[Run, tuple[Work, Begun]] = {}
        self._ended: SimpleQueue[Run] = SimpleQueue()
        self._faults = 0
        self._beat_s = self._kept_s = 0.0
        self._left = False  # whether it has claimed since the last beat
        self.ended = 0  # how many outcomes were told
        self.leaving = False  # set by whoever wants it to end: its runs are left to others

    def carry_out(self) -> None:
        """Work until nothing is left. Raises what stops it."""
        try:
            while not self.leaving:
                self._tend()
                if not self._live and self._claims.is_over():
                    return
                self._wait()
        except NlpuError as error:
            if not isinstance(error, StorageFailed | RunBusy):  # others may go on
                self._claims.stop(error)
            raise
        finally:
            for run in list(self._live):
                run.stop()
            self._drain()

    def _tend(self) -> None:
        """Say that it lives, hear what is new, and claim what there is room for."""
        now = time.monotonic()
        if now >= self._beat_s:
            keep = now >= self._kept_s
            stopped = self._claims.beat(keep=keep)
            if stopped is not None:
                raise stopped
            if keep:
                self._kept_s = now + _KEEP_S
                self._claims.bury()
            self._commons.beat(self._computer.station)
            self._beat_s, self._left = now + BEAT_S, False
        room = self._at_once - len(self._live)
        if any(work.alone for work, _ in self._live.values()):
            room = 0
        if not self._left and room > self._at_once // 8:
            live = [work.run for work, _ in self._live.values()]
            works = self._claims.claim(live, room, self._parts)
            self._left = True  # no more until a run ends, or the next beat
            for work in works:
                self._begin(work)

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
            if self._live:
                pause_s = max(self._beat_s - time.monotonic(), 0)
                self._take(self._ended.get(timeout=pause_s))
            else:
                time.sleep(BEAT_S)
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
        self._left = False
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
