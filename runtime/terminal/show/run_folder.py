"""A folder of runs, listed without holding any of them: whatever else lies there.

Theory of operation
-------------------
A journal is verified as by whoever opens it, row by row and text by text, but nothing of it is kept
except sums: what a run has of memory does not grow with its calls. Of arguments and results the
beginnings are read again at the end.

Rules
1. Each file for itself: one that is damaged, cannot be read or never was a journal is listed as
   what it is, and others are listed all the same. Nothing is opened that might never end.
2. The runs of a batch are one line, unless ``every`` one is asked for.
3. With a limit, files are read from the one that changed last, until none that is left can hold a
   run that began later than those that were found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nlpu.errors import JournalDamaged, NlpuError, described
from nlpu.printing import counted, one_line
from nlpu.runtime.journal.file import stranger
from nlpu.runtime.journal.places import journals, reading
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.tally import Tally
from nlpu.runtime.journal.where import Place, Where
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.terminal.show.archive import SESSION, Record, changed_s, record_of
from nlpu.runtime.terminal.show.skim import BEGINNING, Skim, SkimFile

_WIDTH = 200


@dataclass(slots=True)
class Summary:
    """Hold what is listed of a run. ``record`` has no calls."""

    record: Record
    calls: int = 0
    nlops: float = 0.0
    arguments: str = ""
    result: str = ""
    error: str = ""


def summaries(
    run_dir: Place, limit: int | None = None, *, every: bool = False, of: str = ""
) -> tuple[list[Summary], int]:
    """List the runs of a directory, newest first, and say how many files were not read (rule 3).

    of: the one journal that is read. Raises Usage.
    """
    paths = [path for path in journals(run_dir) if of in ("", path.stem)]
    paths.sort(key=changed_s, reverse=True)
    found: list[Summary] = []
    with reading(run_dir) as db:
        for at, path in enumerate(paths):
            if limit is not None and _is_enough(found, limit, changed_s(path)):
                return _newest(found)[:limit], len(paths) - at
            found += skimmed(path, db) if every else _folded(skimmed(path, db))
    return _newest(found)[:limit], 0


def _folded(found: list[Summary]) -> list[Summary]:
    """The runs of a batch as one (rule 2)."""
    each = [one for one in found if "each" in one.record.past.header]
    if len(each) < 2:
        return found
    inputs = last_of_each(each)
    counts = Counter(one.record.status for one in inputs)
    first, statuses = each[0].record, ("damaged", "running", "stopped", "needs_person", "failed")
    status = next((status for status in statuses if counts[status]), "done")
    until_s = max(one.record.started_s + one.record.seconds for one in each)
    seconds = round(until_s - first.started_s, 3)
    batch = Summary(
        replace(first, name=f"{first.path.stem}.*", status=status, seconds=seconds),
        sum(one.calls for one in each),
        sum(one.nlops for one in each),
        counted(len(inputs), "input"),
        ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items()),
    )
    return [batch, *(one for one in found if "each" not in one.record.past.header)]


def last_of_each(found: list[Summary]) -> list[Summary]:
    """The runs without those of a batch whose input was run once more since."""
    last: dict[Any, Summary] = {}
    for one in sorted(found, key=lambda one: one.record.number):
        header = one.record.past.header
        name = header.get("args_name") if "each" in header else None
        last[(name, header["each"].get("nth")) if name else one.record.name] = one
    return list(last.values())


def _newest(found: Iterable[Summary]) -> list[Summary]:
    return sorted(found, key=lambda each: (each.record.started_s, each.record.name), reverse=True)


def _is_enough(found: list[Summary], limit: int, changed: float) -> bool:
    """Whether none that changed last at that date can come before those found."""
    return len(found) >= limit and _newest(found)[limit - 1].record.started_s >= changed


def skimmed(path: Where, db: Any = None) -> list[Summary]:
    """List the runs of one journal, or say what is wrong with it."""
    status, why = "damaged", ""
    try:
        kind = stranger(path) if isinstance(path, Path) else ""
        if not kind:
            return _skimmed(path, db)
        status, why = "no journal", f"{path} is {kind} and no journal"
    except JournalDamaged as error:
        why = str(error)
    except NlpuError as error:
        status, why = "unreadable", str(error)
    except Exception as error:  # rule 1
        status, why = "unreadable", f"{path} cannot be read: {described(error)}"
    past = Past(header={"program": "?", "started_s": changed_s(path)})
    return [Summary(Record(path.stem, past, texts={}, status=status, seconds=0.0, damage=why))]


def _skimmed(path: Where, db: Any) -> list[Summary]:
    journal: Any
    if isinstance(path, Path):
        journal = SkimFile(path)
    else:
        from nlpu.runtime.terminal.show.seat_skim import SeatSkim  # psycopg, too

        journal = SeatSkim(path, db)
    try:
        return [_summary(journal, path, *each) for each in sorted(journal.sums.items())]
    finally:
        journal.close()


def _summary(journal: Skim, path: Where, number: int, tally: Tally) -> Summary:
    past = tally.past
    given, whole = _beginning(journal, number, past.header.get("args", 0))
    gave, _ = _beginning(journal, number, past.end.text if past.end is not None else 0)
    record, error = record_of(path, number, past), past.end.error if past.end is not None else None
    if record.program == SESSION and error and error[0] == "Interrupted":
        error = None  # it is how a console is left
    return Summary(
        record,
        calls=tally.calls,
        nlops=tally.tokens / TOKENS_PER_NLOP,
        arguments=told_arguments(given) if whole else one_line(f"{given[2:]} …", _WIDTH),
        result=one_line(gave, _WIDTH),
        error=one_line(": ".join(error), _WIDTH) if error else "",
    )


def _beginning(journal: Skim, run: int, number: int) -> tuple[str, bool]:
    """Give the beginning of a text of a run, and tell whether it is all."""
    body, length = journal.start_of(run, number)
    return body.decode("utf-8", "ignore"), length <= BEGINNING


def told_arguments(text: str) -> str:
    """Write arguments on one line, from the JSON that they are kept as."""
    try:
        args, named = json.loads(text)
        told = [*map(_json, args), *(f"{name}={_json(each)}" for name, each in named.items())]
    except (ValueError, TypeError, AttributeError):
        return one_line(text, _WIDTH)
    return one_line(", ".join(told), _WIDTH)


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
