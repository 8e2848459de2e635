"""A driver's end of a batch in a database: it enters the inputs, and reads what came of them.

Rules
1. One process drives a batch: others are told who does.
2. Entering is met by entering again: after a kill, and by the same command, rows stay what they
   were, numbers of runs too.
3. An input that was under way at so many deaths of workers, the last time alone, is given up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from nlpu.errors import HostError, Interrupted, RunBusy
from nlpu.label import UNTRUSTED, label_of
from nlpu.runtime.fleet.driving import gone_on
from nlpu.runtime.fleet.items import Kept
from nlpu.runtime.fleet.plan import Begun, Input
from nlpu.runtime.fleet.share import without
from nlpu.runtime.fleet.workers import burials
from nlpu.runtime.fleet.workers import statements as sql
from nlpu.runtime.fleet.workers.burials import columns, took_of
from nlpu.runtime.fleet.workers.entered import Receipt, kept_id, read_id, receipt_of
from nlpu.runtime.fleet.workers.patient import BatchRows, Patient
from nlpu.runtime.fleet.workers.sealed import seal
from nlpu.runtime.journal.postgres.owners import is_dead, this_process, told
from nlpu.runtime.journal.where import Database

_PAUSE_S: Final = 0.1


class Hand(NamedTuple):
    """A worker as its row tells. said: why it ended, as JSON [kind, message, side]."""

    worker: int
    name: str
    said: str
    alive: bool

    @property
    def has_joined(self) -> bool:
        """Whether it came by itself: a driver's have numbers."""
        return not self.name.isdecimal()


class Desk(BatchRows):
    """Raises RunBusy, StorageFailed."""

    def __init__(self, database: Database, stem: str) -> None:
        self.stem, self._db, self._closed = stem, Patient(database), False
        owner = this_process()
        try:
            self._db.ask(sql.BEGIN, stem=stem)
            self._db.ask(sql.BATCH, stem=stem)
            (journal,) = self.there(self._db.ask(sql.FIND, stem=stem))
            self._ids = {"journal": journal, "lease": database.lease_s, "owner": owner}
            self._drive([owner])
        except BaseException:
            self._db.close()
            raise

    def _drive(self, mine: list[str]) -> None:
        """Rule 1. Raises RunBusy."""
        owner, left_s = self._row(sql.DRIVER)
        if is_dead(owner):
            mine = [*mine, owner]
        if not self._do(sql.DRIVE, mine=mine):
            raise RunBusy(
                f"this batch is driven by {told(owner)}: wait for it, or stop it first (if it is "
                f"dead, that is known in {max(left_s, 0):.0f} s). To lend it a hand: nlpu worker "
                f"{self.stem}"
            )

    def beat(self) -> None:
        """Go on driving it. Raises RunBusy where somebody else does by now."""
        self._drive([str(self._ids["owner"])])

    # -- inputs and outcomes -----------------------------------------------------------------

    def end_others(self, facts: Mapping[str, Any], budget: Mapping[str, Any]) -> None:
        """End workers of a former driver that were told of other limits, or to do otherwise."""
        before = self.facts()
        if before.get("budget", budget) == budget and seal({**before, **facts}) == seal(before):
            return
        self.stop(Interrupted("the batch was begun again with other limits, or on another server"))
        while any(each.alive for each in self.hands()):
            self.beat()
            time.sleep(_PAUSE_S)

    def begin(self) -> None:
        """Want no input but those that are entered from now on, and settle what died."""
        burials.bury(self._db, self._ids, self.stem, died=False)  # whoever killed the driver, too
        self._do(sql.STOP, why="")
        self._do(sql.UNWANT)

    def enter(self, inputs: Sequence[Input]) -> None:
        """Enter inputs (rule 2)."""
        names, nths, indexes, ids, args = map(list, zip(*inputs, strict=True))
        ids = list(map(kept_id, ids))
        given = {"names": names, "nths": nths, "indexes": indexes, "ids": ids}
        self._do(sql.MEET, **given)
        self._do(sql.ENTER, **given, args=args)

    def reopen(self, *, retry: bool) -> None:
        """Have tried again what waited for a person, or went on, and, if so asked, what failed."""
        gone_on.reopen(self._db, self._ids, self.stem)
        self._do(sql.AGAIN, retry=retry)
        if retry:
            self._do(sql.ANEW)
        self.call()

    def outcomes(self, start: int, given: Collection[int], most: int) -> list[tuple[Begun, Kept]]:
        """List outcomes of inputs from ``start`` on, but for those that were given."""
        found = []
        for row in self._do(sql.OUTCOMES, start=start, given=list(given), most=most):
            index, name, nth, id_, run, state, side, body, label, took = row
            kept = Kept(run, state, side, body, label_of(label), took_of(took))
            found.append((Begun(index, read_id(id_), name, nth), kept))
        return found

    def left(self) -> tuple[int, int]:
        """Count the inputs without an outcome, and those of them that living workers have."""
        return tuple(self._do(sql.COUNTS)[0])

    def tally(self) -> dict[str, int]:
        """Count the inputs by how they ended."""
        return dict(self._do(sql.TALLY))

    def receipt(self) -> Receipt:
        """Add up what the runs took, and what each worker did of it; when closed, too."""
        whole = [took_of(took) for (took,) in self._do(sql.TOOK)]
        parts = [
            (name or f"joined {worker}", without(took_of(took), took_of(start)))
            for name, worker, took, start in self._do(sql.TOOK_BY)
        ]
        if self._closed:
            self._db.close()
        return receipt_of(whole, parts)

    # -- workers -----------------------------------------------------------------------------

    def hands(self) -> list[Hand]:
        """List the workers, those that have left, too."""
        return [Hand(*row) for row in self._do(sql.SAID)]

    def bury(self) -> None:
        """Settle the workers that are dead."""
        burials.bury(self._db, self._ids, self.stem)

    def note_death(self, name: str, how: str) -> None:
        """Note how a worker's process ended that did not say why."""
        self._do(sql.DIED, name=name, said=json.dumps(["HostError", how, "host"]))

    def deadly(self) -> list[Any]:
        """List the runs that are to be given up (rule 3), for ``give_up``."""
        return self._do(sql.DEADLY)

    def give_up(self, deadly: Collection[Any]) -> None:
        """Have runs be failures, by what is known of the workers' ends."""
        said = {each.worker: each.said for each in self.hands()} if deadly else {}
        for run, took, deaths in deadly:
            ways = [json.loads(said[each])[1] if said.get(each) else "no word" for each in deaths]
            told = ", ".join(dict.fromkeys(ways))
            why = (
                f"the process that ran it ended with {told}, {len(deaths)} times; the last time "
                "nothing else was under way in it. See what the program does with this input, then "
                "--retry failed (retry=True)"
            )
            body = json.dumps([HostError.__name__, why])
            kept = Kept(run, "failed", "host", body, label=UNTRUSTED, took=took_of(took))
            self._do(sql.GIVE_UP, run=run, **columns(kept))

    def stopped(self) -> list[Any] | None:
        """Why the batch is to end: [kind, message, side]."""
        text = self._row(sql.STOPPED)[0]
        return list(json.loads(text)) if text else None

    def close(self) -> None:
        """Let others drive it. Idempotent."""
        self._closed = True
        self._do(sql.LEAVE)
        self._db.close()
