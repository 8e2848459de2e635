"""What former lives of a batch left: what has ended, what may go on, and what is spent.

Theory of operation
-------------------
What has ended is among the items. All other runs of the journal are read, in one pass: those that
were under way at the end of the last life, and those whose end was not kept any more. So are those
that failed: to be tried again, or since somebody has gone on with one alone (``nlpu resume``).

Rules
1. A batch goes on with the program and the models that it was begun with, or says so.
2. All that was spent is known before anything new is, and counted once: what is kept of an input
   has what its earlier runs took.
3. Other runs may be in the journal, of a program run beside the batch, say. They are not its.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpu.errors import JournalDamaged, Usage
from nlpu.runtime.fleet.items import SUFFIX, UNKEPT, Items, Kept
from nlpu.runtime.fleet.neighbours import differing, neighbours_of
from nlpu.runtime.fleet.plan import Plan
from nlpu.runtime.fleet.share import NO_CALLS, Took, summed, took_in, without
from nlpu.runtime.journal.file import is_there
from nlpu.runtime.journal.header import source_digest
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.resume import log_of

if TYPE_CHECKING:
    from nlpu.runtime.loop_thread import Station

_CHANGES = {
    "program": "the batch {name} is of another program",
    "source": "the program of the batch {name} has changed since it began",
    "neighbours": "what the program of the batch {name} imports has changed since: {which}",
    "processors": "the batch {name} was begun on another model",
}
_ANYHOW = (
    "with --changed (changed=True) it goes on all the same, and results that are there stay; "
    "to begin anew: another --out or --run-dir (another name=)"
)


class Unfinished(NamedTuple):
    """A run that may go on, what it took so far, and what its input's runs took before it."""

    number: int
    past: Past
    texts: Mapping[int, str]
    took: Took
    before: Took

    def went_on(self, kept: Kept | None) -> bool:
        """Whether this is the run of a kept failure, and it has come further since."""
        if kept is None or kept.run != self.number or kept.side == UNKEPT:
            return False
        return self.past.end is None or self.past.end.status != "failed"


class Former(NamedTuple):
    """The items, the runs that may go on by name and number of their input, and what is spent.

    begun: how many inputs there were. beside: what the program imports beside it, by digest.
    """

    items: Items
    unfinished: dict[tuple[str, int], Unfinished]
    took: Took
    begun: int = 0
    beside: Mapping[str, str] = {}

    def check_new(self, index: int, plan: Plan) -> None:
        """Raise Usage where an input that never began shows a stream to be another.

        In a former life inputs began in their order, so a stream's first ones are those that began.
        """
        if plan.waits and not plan.changed and index < self.begun:
            raise Usage(
                f"input {index + 1} on stdin is none of the {self.begun:,} that this batch began "
                "with, so it is another stream: with --changed it goes on in the same batch; or "
                "name another --out or --run-dir, for a batch of its own"
            )


def taken_up(station: Station, program: Callable[..., Any], name: str, *, changed: bool) -> Former:
    """Take the batch of that name, whether it is there or begins.

    Raises Usage, RunBusy, JournalDamaged, StorageFailed, and what opening engines does.
    """
    if station.run_dir is None:
        raise Usage("a batch that has a name is kept: give the computer a run_dir=")
    if not isinstance(station.run_dir, Path):
        raise Usage(
            "a batch that has a name is kept in a folder (give the computer a run_dir=), or in a "
            "database by workers: nlpu.Fleet(program, inputs, store=..., name=...)"
        )
    if not (name.isascii() and name.isalnum()):
        raise Usage(f"{name!r} cannot name a batch: take letters and digits")
    path = station.run_dir / f"{name}.db"
    items = Items(path.with_suffix(SUFFIX))
    try:
        numbers = _to_read(path, items)
        found = _found(path, name, numbers, items)
        called = getattr(program, "__name__", "program")
        now: dict[str, Any] = {"program": called, "source": source_digest(program)}
        now["neighbours"] = neighbours_of(program)
        before = _before(items, found)
        _check(name, before, changed, now)
        _open(station, name, path, numbers)
        station.started = max(station.started, *items.runs(), 0)  # after a loss of power
        now["processors"] = station.facts({})["processors"]
        _check(name, before, changed, now)
        items.note_facts(**now)
        return found._replace(beside=now["neighbours"])
    except BaseException:
        items.close()
        raise


def _to_read(path: Path, items: Items) -> list[int]:
    known = items.runs()
    if not is_there(path):
        if known:
            raise JournalDamaged(
                f"the journal {path} of this batch is gone; restore it, or remove {items.path} to "
                "begin the batch anew"
            )
        return []
    with closing(Journal(path, read_only=True, run=0)) as journal:
        found = set(journal.runs())
    return sorted((found - known) | (found & items.failed()))


def _open(station: Station, name: str, path: Path, numbers: list[int]) -> None:
    if station.is_open and station.stem != name:
        raise Usage(
            f"this computer has the journal {station.stem} open: for the batch {name} make another"
        )
    station.open(name, new=not is_there(path), run=numbers or 0)


def _before(items: Items, found: Former) -> dict[str, Any]:
    """What was noted of the batch; where that was removed, what its last run says."""
    facts = items.facts()
    if facts or not found.unfinished:
        return facts
    last = max(found.unfinished.values(), key=lambda each: each.number).past.header
    facts = {what: last[what] for what in ("source", "processors")}
    if "beside" in last["each"]:
        facts["neighbours"] = last["each"]["beside"]
    return facts


def _check(name: str, before: Mapping[str, Any], changed: bool, now: Mapping[str, Any]) -> None:
    """Raises Usage (rule 1)."""
    for what, fact in now.items():
        was = before.get(what, fact)  # an older batch noted less
        if not changed and was != fact:
            which = differing(was, fact) if what == "neighbours" else ""
            raise Usage(f"{_CHANGES[what].format(name=name, which=which)}; {_ANYHOW}")


def _found(path: Path, name: str, numbers: list[int], items: Items) -> Former:
    """Read the runs that may go on, by a reader of its own: each is read again when it does."""
    unfinished: dict[tuple[str, int], Unfinished] = {}
    earlier: dict[tuple[str, int], Took] = {}  # of inputs that have an item: by runs before its own
    every = [*items.took()]
    for log in _logs(path, numbers):
        past, number = past_in(log), log.run
        each = past.header.get("each")
        if each is None or each.get("batch", name) != name:  # rule 3
            continue
        key = past.header.get("args_name", ""), each["nth"]
        kept, took, other = items.find(*key), took_in(past), unfinished.get(key)
        if kept is not None and number < kept.run:
            earlier[key] = summed((earlier.get(key, NO_CALLS), took))
            continue
        if kept is not None and number == kept.run:  # it may have gone on since
            before = earlier.get(key, NO_CALLS)
            every += [before, without(took, kept.took)]
        else:
            every.append(took)
            before = NO_CALLS if kept is None else kept.took
            before = before if other is None else summed((other.before, other.took))
        unfinished[key] = Unfinished(number, past, log.texts, took, before)
    begun = sum(items.tally().values()) + sum(items.find(*key) is None for key in unfinished)
    return Former(items, unfinished, summed(every), begun)


def _logs(path: Path, numbers: list[int]) -> list[RunLog]:
    if not numbers:
        return []
    with closing(Journal(path, read_only=True, run=numbers)) as journal:
        return [log_of(journal, number) for number in numbers]
