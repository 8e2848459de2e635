"""Replaying a trace of page accesses through a cache, under one policy or another.

Theory of operation
-------------------
A trace is the pages that a program's calls read and wrote, in order. The cache holds so many pages;
a page that is not there when it is accessed takes the place of the policy's victim. The policies:

    recency     the page that was written first goes: what a chat without memory keeps
    lru         the page that was longest not used goes
    firmware    the page that a memory's firmware ranks last for what the call is about goes
    belady      the page whose next use is furthest goes: needs the future, and cannot be beaten

Rules
1. The first access of a page (a chunk that comes in, a text just written) is a fault under every
   policy and not counted. The hit rate is that of all later ones.
2. All pages count as one, whatever their length: only then is Belady's choice optimal.
3. Only ``belady`` looks ahead; the firmware's memory holds no page that was not accessed yet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from nlpu import Memory
from nlpu.memory.store.embedders import Embedder

_STEP_S = 60.0  # between two accesses, for firmware that weighs age


class Access(NamedTuple):
    """A page that a call read or wrote, and what the call was about."""

    page: str
    question: str


Trace = Sequence[Access]
Victim = Callable[[Iterable[str], int], str]  # the resident pages, the place in the trace


def hits(trace: Trace, size: int, victim: Victim) -> tuple[int, int]:
    """How many accesses found their page, of how many that were not its first."""
    resident: dict[str, None] = {}
    seen: set[str] = set()
    found = again = 0
    for place, access in enumerate(trace):
        again += access.page in seen
        seen.add(access.page)
        if access.page in resident:
            found += 1
            continue
        if len(resident) >= size:
            del resident[victim(resident, place)]
        resident[access.page] = None
    return found, again


class Uses:
    """Where in a trace its pages are used, and the policies that follow from that alone."""

    def __init__(self, trace: Trace) -> None:
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, access in enumerate(trace):
            self._places[access.page].append(place)

    def recency(self, resident: Iterable[str], place: int) -> str:
        """The oldest page."""
        return min(resident, key=lambda page: self._places[page][0])

    def lru(self, resident: Iterable[str], place: int) -> str:
        """The least recently used."""
        return min(resident, key=lambda page: self.last(page, place))

    def belady(self, resident: Iterable[str], place: int) -> str:
        """The one that is not used for longest, or never again."""
        return max(resident, key=lambda page: self._next(page, place))

    def last(self, page: str, place: int) -> int:
        """Where a page was used last before a place."""
        places = self._places[page]
        return places[bisect_left(places, place) - 1]

    def _next(self, page: str, place: int) -> float:
        places = self._places[page]
        later = bisect_left(places, place)
        return places[later] if later < len(places) else inf


def firmware_hits(
    trace: Trace, size: int, firmware: str, embedder: str | Embedder
) -> tuple[int, int]:
    """As ``hits``, with a store of the pages so far and its firmware for a policy."""
    uses = Uses(trace)
    with (
        TemporaryDirectory() as directory,
        Memory(Path(directory), embedder=embedder, firmware=firmware) as memory,
    ):
        written = 0

        def victim(resident: Iterable[str], place: int) -> str:
            nonlocal written
            for order in range(written, place):
                memory.write(trace[order].page, source="trace", start=0, time_s=order * _STEP_S)
            written = place
            ranked = memory.firmware.search(
                memory.levels, trace[place].question, memory.levels.disk.count(), place * _STEP_S
            )
            rank = {found.page.text: order for order, found in enumerate(ranked)}
            return max(resident, key=lambda p: (rank.get(p, inf), -uses.last(p, place)))

        return hits(trace, size, victim)
