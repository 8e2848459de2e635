"""When a run's calls were under way, from its journal.

Theory of operation
-------------------
The journal notes when a call was sent, when it was sent again, and when it ended, in milliseconds
of the life of the run in which that happened. Here each call becomes a flight for each life in
which it was under way. A slot is a line of the timeline: a flight takes the lowest that is free, so
there are as many slots as calls were ever in flight at once.

Rules
1. Times are ms of the run: its lives one after another, without the pauses between them.
2. A call that waits for another attempt is in flight: the journal does not say when a fault came.
3. What a kill cut off ends with the last that is known of its life.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import accumulate

from nlpu.runtime.journal.moments import Moment, moments_of
from nlpu.runtime.journal.records import PastCall
from nlpu.runtime.terminal.show.archive import Record

_ENDS = {"result": "done", "failure": "failed", "cancel": "cancelled"}


@dataclass(frozen=True, slots=True)
class Flight:
    """One call under way in one life. ``date_ms``: when it was sent, since 1970."""

    call: PastCall
    start_ms: int
    end_ms: int
    date_ms: int
    ended: str  # done | failed | cancelled | open: under way when its life ended, or still
    resent_ms: tuple[int, ...] = ()
    slot: int = 0


@dataclass(slots=True)
class _Fold:
    """Flights being put together. ``offset_ms``: where this life begins in the run."""

    calls: dict[int, PastCall]
    date_ms: int
    offset_ms: int = 0
    last_ms: int = 0
    under_way: dict[int, Flight] = field(default_factory=dict)
    ended: list[Flight] = field(default_factory=list)

    def take(self, moment: Moment) -> None:
        if moment.kind == "resume":
            self.cut_off()
            self.date_ms, self.offset_ms, self.last_ms = moment.ms, self.last_ms, self.last_ms
            return
        at = self.last_ms = self.offset_ms + moment.ms
        flight = self.under_way.get(moment.number)
        if moment.kind in _ENDS:
            if flight is not None:  # a call may be dropped that was sent in an earlier life only
                del self.under_way[moment.number]
                self.ended.append(replace(flight, end_ms=at, ended=_ENDS[moment.kind]))
        elif flight is None:
            call, date_ms = self.calls[moment.number], self.date_ms + moment.ms
            self.under_way[moment.number] = Flight(call, at, at, date_ms, "open")
        else:
            again = (*flight.resent_ms, at)
            self.under_way[moment.number] = replace(flight, resent_ms=again)

    def cut_off(self) -> None:
        self.ended += [replace(flight, end_ms=self.last_ms) for flight in self.under_way.values()]
        self.under_way.clear()


@dataclass(frozen=True, slots=True)
class Timeline:
    """All flights of a run by their start, each in a slot, and when its last life began.

    life_ms: in ms of the run; life_date_ms: since 1970.
    """

    flights: list[Flight]
    life_ms: int
    life_date_ms: int

    def now_ms(self, date_s: float) -> int:
        """A date of the last life as ms of the run."""
        return self.life_ms + max(0, int(date_s * 1000) - self.life_date_ms)

    def in_flight(self) -> list[tuple[int, int]]:
        """How many were in flight, whenever that changed: (ms, count)."""
        changes: Counter[int] = Counter()
        for flight in self.flights:
            changes[flight.start_ms] += 1
            changes[flight.end_ms] -= 1
        times = sorted(changes)
        return list(zip(times, accumulate(changes[at] for at in times), strict=True))


def timeline_of(record: Record) -> Timeline:
    """When the calls of a run were under way."""
    folded = _Fold(record.past.numbered, int(record.started_s * 1000))
    for moment in moments_of(record.rows):
        folded.take(moment)
    folded.cut_off()
    flights = _in_slots(sorted(folded.ended, key=lambda f: (f.start_ms, f.call.number)))
    return Timeline(flights, folded.offset_ms, folded.date_ms)


def _in_slots(flights: list[Flight]) -> list[Flight]:
    free: list[int] = []
    busy: list[tuple[int, int]] = []  # (when it ends, slot)
    out: list[Flight] = []
    for flight in flights:
        while busy and busy[0][0] <= flight.start_ms:
            heappush(free, heappop(busy)[1])
        slot = heappop(free) if free else len(busy)
        heappush(busy, (flight.end_ms, slot))
        out.append(replace(flight, slot=slot))
    return out
