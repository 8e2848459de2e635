"""A folder of runs, listed without holding any of them: whatever else lies there.

Theory of operation
-------------------
A journal is verified as by whoever opens it, row by row and text by text, but nothing of it is kept
except sums: what a run has of memory does not grow with its calls. Of arguments and results the
beginnings are read again at the end.

Rules
1. Each file for itself: one that is damaged, cannot be read or never was a journal is listed as
   what it is, and others are listed all the same. Nothing is opened that might never end.
2. With a limit, files are read from the one that changed last, until none that is left can hold a
   run that began later than those that were found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlpu.errors import JournalDamaged, NlpuError, Usage, described
from nlpu.printing import one_line
from nlpu.runtime.journal.file import journals, stranger
from nlpu.runtime.journal.journal import Journal, Row
from nlpu.runtime.journal.records import Past, fold
from nlpu.runtime.journal.rows import check, check_run, odd
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.terminal.show.archive import Record, changed_s, record_of

_BEGINNING = 1000  # bytes of a text
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


@dataclass(slots=True)
class _Tally:
    """The sums of one run, as ``history`` would fold its rows."""

    past: Past = field(default_factory=Past)
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    issues: int = 0
    names: set[tuple[str, int]] = field(default_factory=set)  # ops and processors with a row
    keys: dict[int, str] = field(default_factory=dict)  # of calls in flight
    again: dict[str, int] = field(default_factory=dict)  # tokens by key, where the host failed

    def take(self, row: Row) -> bool:
        """Add a row; False where none before it leads to it."""
        kind = row[0]
        if kind in ("op", "on"):
            self.names.add((kind, row[2]))
        elif kind in ("issue", "taken"):
            self.issues = max(self.issues, row[2])
            if kind == "issue":
                self.keys[row[2]] = row[6]
            return self._knows(row[4:6])
        elif kind == "shared":
            return self._knows(row[3:5])
        elif kind in ("attempt", "again", "result", "failure"):
            if kind in ("result", "failure"):
                self._ended(row, row[4] if kind == "result" else row[6])
            return bool(0 < row[2] <= self.issues)
        else:
            self._rest(kind, row)
        return True

    def _knows(self, numbers: list[int]) -> bool:
        return set(zip(("op", "on"), numbers, strict=True)) <= self.names

    def _rest(self, kind: str, row: Row) -> None:
        if kind in ("run", "resume", "end"):
            fold(self.past, [row])
            self.seconds += row[5]["seconds"] if kind == "end" else 0
        if kind == "resume":
            self.keys.clear()
        elif kind == "cancel":
            self.keys.pop(row[2], None)

    def _ended(self, row: Row, usage: list[int]) -> None:
        key, tokens = self.keys.pop(row[2], ""), usage[1] if len(usage) > 1 else 0
        before = self.again.pop(key, None)
        self.calls += before is None
        self.tokens += tokens - (before or 0)
        if row[0] == "failure" and row[5] == "host":
            self.again[key] = tokens


class _Skim(Journal):
    """A journal of which sums are kept."""

    def __init__(self, path: Path) -> None:
        self.runs: dict[int, _Tally] = {}
        super().__init__(path, read_only=True)

    def _keep_text(self, number: int, name: bytes, body: bytes) -> None:
        """Nothing of it."""

    def _keep_row(self, row: Row) -> None:
        check(self, self._seq, row, range(1, self._met + 1))
        check_run(self, self._seq, row, self.runs)
        if not self.runs.setdefault(row[1], _Tally()).take(row):
            raise odd(self, self._seq, row)

    def beginning(self, number: int) -> tuple[str, bool]:
        """Read the beginning of a text, and tell whether it is all."""
        query = "SELECT substr(body, 1, ?), length(body) FROM text WHERE id = ?"
        body, length = self._db.execute(query, (_BEGINNING, number)).fetchone() or (b"", 0)
        return body.decode("utf-8", "ignore"), length <= _BEGINNING


def summaries(run_dir: Path, limit: int | None = None) -> tuple[list[Summary], int]:
    """List the runs of a directory, newest first, and say how many files were not read (rule 2).

    Raises Usage.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise Usage(f"{run_dir} is no directory; --run-dir names the one where runs are journaled")
    paths = sorted(journals(run_dir), key=changed_s, reverse=True)
    found: list[Summary] = []
    for at, path in enumerate(paths):
        if limit is not None and _is_enough(found, limit, changed_s(path)):
            return _newest(found)[:limit], len(paths) - at
        found += skimmed(path)
    return _newest(found)[:limit], 0


def _newest(found: Iterable[Summary]) -> list[Summary]:
    return sorted(found, key=lambda each: (each.record.started_s, each.record.name), reverse=True)


def _is_enough(found: list[Summary], limit: int, changed: float) -> bool:
    """Whether none that changed last at that date can come before those found."""
    return len(found) >= limit and _newest(found)[limit - 1].record.started_s >= changed


def skimmed(path: Path) -> list[Summary]:
    """List the runs of one file, or say what is wrong with it."""
    status, why = "damaged", ""
    try:
        kind = stranger(path)
        if not kind:
            return _skimmed(path)
        status, why = "no journal", f"{path} is {kind} and no journal"
    except JournalDamaged as error:
        why = str(error)
    except NlpuError as error:
        status, why = "unreadable", str(error)
    except Exception as error:  # rule 1
        status, why = "unreadable", f"{path} cannot be read: {described(error)}"
    past = Past(header={"program": "?", "started_s": changed_s(path)})
    return [Summary(Record(path.stem, past, {}, status, 0.0, why))]


def _skimmed(path: Path) -> list[Summary]:
    journal = _Skim(path)
    try:
        return [_summary(journal, path, *each) for each in sorted(journal.runs.items())]
    finally:
        journal.close()


def _summary(journal: _Skim, path: Path, number: int, tally: _Tally) -> Summary:
    past = tally.past
    given, whole = journal.beginning(past.header.get("args", 0))
    gave, _ = journal.beginning(past.end[3] if past.end is not None else 0)
    error = past.end[4] if past.end is not None else None
    return Summary(
        record_of(path, number, past, tally.seconds), tally.calls, tally.tokens / TOKENS_PER_NLOP,
        told_arguments(given) if whole else one_line(f"{given[2:]} …", _WIDTH),
        one_line(gave, _WIDTH), one_line(": ".join(error), _WIDTH) if error else "",
    )  # fmt: skip


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
