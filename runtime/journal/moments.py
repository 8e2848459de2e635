"""What rows say by themselves: a run's header, its lives, when its calls were sent and ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nlpu.runtime.journal.store import Row


def header_in(rows: list[Row]) -> dict[str, Any]:
    """The header of a run: its first row."""
    header: dict[str, Any] = rows[0][2]
    return header


class Moment(NamedTuple):
    """When a call was sent or ended: the kind of its row, its number, and ms in that life.

    Of a ``resume`` the ms are its date: a new life begins.
    """

    kind: str
    number: int
    ms: int


def moments_of(rows: Iterable[Row]) -> Iterator[Moment]:
    """The moments of a run's calls, in order. A cancelled one ended no earlier than it says."""
    ms = 0
    for row in rows:
        kind = row[0]
        if kind == "resume":
            ms = 0
            yield Moment(kind, 0, int(row[2] * 1000))
        elif kind in ("issue", "attempt", "result", "failure", "cancel"):
            ms = ms if kind == "cancel" else row[-1]
            yield Moment(kind, row[2], ms)


def lives_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each life of a run."""
    lives: list[list[Row]] = [[]]
    for row in rows:
        if row[0] == "resume":
            lives.append([])
        lives[-1].append(row)
    return lives
