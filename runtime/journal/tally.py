"""What a run comes to, row by row, with nothing of its calls kept but those in flight.

Rules
1. A row that none before it leads to is told: whoever wrote it, no run did.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nlpu.runtime.journal.records import Past, fold
from nlpu.runtime.journal.store import Row


@dataclass(slots=True)
class Tally:
    """The sums of one run, as ``records`` would fold its rows."""

    past: Past = field(default_factory=Past)
    calls: int = 0
    tokens: int = 0
    issues: int = 0
    rows: int = 0
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
