"""One limit of requests in flight for a server, shared by the workers that ask it.

Theory of operation
-------------------
A server's lane is as wide as one computer would make it. A worker says how many calls it has, under
way and waiting, and is given its share: all that it wants where there is room for all, else as much
as the others; what nobody wants is dealt out evenly, so that a call that comes finds room. A server
that has no room for a call of one (429) has none for others': that is called out, and all halve
their lanes, as that one does, and creep up again by their own answers.

Rules
1. The shares of the workers that are alive never add up to more than the lane: one grows by what
   others have given back, and who must give back does so as its calls end.
2. Workers of different batches share a server's lane, if they are kept in one database.
3. Refusals that several meet before they have heard of each other's are one: each halves once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nlpu.postgres.connection import Connection
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.scheduler.queue import ProcessorQueue

CUT: Final = "cut"  # what is called out where a server had no room: how often by now, and which


class Got(NamedTuple):
    """What a worker holds of a lane, may use of that, and how often there was no room for all."""

    held: int
    share: int
    cuts: int


class Place(NamedTuple):
    """What a worker wants of a lane, and its share."""

    worker: int
    wants: int
    share: int


def fair(most: int, wants: Sequence[int]) -> list[int]:
    """Share out a lane: by what each wants, up to what is even; then what is left, evenly."""
    shares, order = [0] * len(wants), sorted(range(len(wants)), key=lambda n: wants[n])
    left = most
    for place, which in enumerate(order):
        shares[which] = min(wants[which], left // (len(order) - place))
        left -= shares[which]
    for place, which in enumerate(order):
        shares[which] += left // len(order) + (place < left % len(order))
    return shares


def share(most: int, others: Sequence[Place], mine: Place, uses: int) -> tuple[int, int]:
    """Give what a worker holds from now on, and how much of it may be used (rule 1).

    uses: what may be in flight at it right now. What it gives back is held until the next time,
    when no more than that was.
    """
    every = sorted([*others, mine])  # all reckon alike, whoever asks
    target = fair(most, [each.wants for each in every])[every.index(mine)]
    free = most - sum(each.share for each in others)
    held = max(min(target, free), min(uses, mine.share), 0)
    return held, min(target, held)


@dataclass(slots=True)
class Lane:
    """A worker's end of a lane: of the computer's loop, but for ``ask``."""

    server: str
    queue: ProcessorQueue
    most: int
    held: int = 0  # of the lane, in the database
    share: int = 0  # of that, may be used
    cuts: int = -1  # of all workers, that were seen
    cut_s: float = 0.0
    said: tuple[int, int] | None = None  # what it wants and holds, as the database has it

    @property
    def was_cut(self) -> bool:
        """Whether the server had no room for it since the last look: others are to know."""
        return self.queue.cut_s > self.cut_s

    def look(self) -> dict[str, Any]:
        """Say what it wants, and whether the server had no room since the last look."""
        queue, cut = self.queue, self.was_cut
        self.cut_s = max(self.cut_s, queue.cut_s)
        wants = min(len(queue.attempts) + len(queue.calls) + len(queue.backing_off), self.most)
        uses = max(len(queue.attempts), self.share)
        return {"wants": wants, "cuts": int(cut), "uses": uses}

    def take(self, got: Got, seen: Mapping[str, Any], now_s: float) -> None:
        """Take its share, and slow down if the server had no room for others."""
        queue, was, (held, share, cuts) = self.queue, self.share, got
        self.share, self.held, self.said = share, held, (seen["wants"], held)
        queue.processor.max_in_flight = share
        free = queue.limit >= was
        queue.limit = float(share) if free else min(queue.limit, float(share))
        if seen["cuts"]:  # rule 3; a later one may have been heard meanwhile
            self.cuts = max(self.cuts, cuts)
        self.hear(cuts, now_s)

    def hear(self, cuts: int, now_s: float) -> None:
        """Slow down if there was no room since the last cut that is known, of so many by now."""
        queue, is_new = self.queue, self.cuts >= 0 and cuts > self.cuts
        self.cuts = max(self.cuts, cuts)
        if is_new and not self.was_cut:
            queue.limit = max(min(1.0, float(self.share)), queue.limit / 2)
        if is_new:
            queue.cut_s = self.cut_s = now_s

    def told(self, said: str) -> int | None:
        """Read what was called out: how often there was no room at this server by now."""
        what, _, rest = said.partition(" ")
        cuts, _, server = rest.partition(" ")
        return int(cuts) if what == CUT and server == self.server else None


def ask(db: Connection, ids: Mapping[str, Any], lane: Lane, seen: Mapping[str, Any]) -> Got:
    """Say what a worker wants of a lane, and have it shared anew."""
    asked = {**ids, "server": lane.server, "most": lane.most, **seen}
    found = db.execute(sql.LANE.encode(), asked).fetchall()
    is_cut = bool(seen["cuts"]) and (not found or found[0][0] <= lane.cuts)  # rule 3
    if is_cut or not found:
        found = db.execute(sql.LANE_ANEW.encode(), {**asked, "cuts": int(is_cut)}).fetchall()
    ((cuts,),) = found
    if is_cut:
        db.execute(sql.CALL.encode(), {"said": f"{CUT} {cuts} {lane.server}"})
    others = [Place(*row) for row in db.execute(sql.PLACES.encode(), asked).fetchall()]
    held, used = share(
        lane.most, others, Place(ids["worker"], seen["wants"], lane.held), seen["uses"]
    )
    if (seen["wants"], held) != lane.said:
        db.execute(sql.PLACE.encode(), {**asked, "share": held})
    return Got(held, used, int(cuts))
