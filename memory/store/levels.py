"""The levels as one: what firmware looks things up in, with every access counted.

Theory of operation
-------------------
    window    the pages that were handed out last, up to a size in tokens; what is wanted again and
              still there is a hit, anything else a fault that moves its tokens in
    vectors   candidates by meaning; a hit is a candidate that was handed out, a fault a page that
              was handed out though the index did not give it
    disk      pages by number, candidates by words, neighbours, times

Rules
1. Every page that is handed out is counted, and every look-up by words, meaning or number.
2. Counters outlive the process: they are kept with the store when it is closed.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict, deque
from collections.abc import Iterable
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from nlpu.errors import BadOperand, StorageFailed, Usage
from nlpu.memory.store.counters import Counters
from nlpu.memory.store.embedders import Embedder
from nlpu.memory.store.index import Index
from nlpu.memory.store.page import OWN, Among, Page
from nlpu.memory.store.postgres.names import Place
from nlpu.memory.store.queries import words_of
from nlpu.memory.store.serial import Turns
from nlpu.memory.store.store import Disk

if TYPE_CHECKING:
    from nlpu.memory.store.postgres.pages import PostgresPages

_RESIDENT_TOKENS = 2048
_LOOKS_KEPT = 1000  # for consolidation


def rough_tokens(text: str) -> int:
    """About how many tokens a text has, where no tokenizer is at hand."""
    return len(text.encode("utf-8", "replace")) // 4 + 1


class Levels:
    """Disk, vectors and what is resident. ``among``: what look-ups here give."""

    among: Among = "all"

    def __init__(
        self, place: Place, embedder: str | Path | Embedder | None = None, *, new: bool = True
    ) -> None:
        self.counters = {name: Counters() for name in ("window", "vectors", "disk")}
        self.disk, self.index = opened(place, embedder, self.counters["vectors"], new=new)
        self.turns = Turns()
        self._resident: OrderedDict[int, int] = OrderedDict()
        self._candidates: set[int] = set()
        self.is_closed = False
        self._handed_out: deque[list[int]] = deque(maxlen=_LOOKS_KEPT)

    def close(self) -> None:
        """Keep the counters and release everything. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.turns.is_foreign:  # what is open is not this process's
            return
        try:
            self.index.close()
            self.disk.set_fact("counters", json.dumps(self.totals()))
        finally:
            self.disk.close()

    def only(self, among: Among) -> Levels:
        """The same levels, for one look-up: it gives such pages alone. Raises Usage."""
        if among not in get_args(Among):
            raise Usage(f"among is one of {', '.join(get_args(Among))}, not {among!r}")
        view = copy(self)
        view.among, view._candidates = among, set()
        return view

    # -- what firmware asks ---------------------------------------------------------------------

    def wants(self, page: Page) -> bool:
        """Whether the page is among those that are looked through."""
        return self.among == "all" or (page.source in OWN) == (self.among == "own")

    def by_words(self, question: str, most: int) -> dict[int, float]:
        """Pages that share words with the question, and their BM25; best first."""
        with self.counters["disk"].timed(reads=1):
            return self.disk.matching(telling_words(question), most, self.among)

    def by_meaning(self, question: str, most: int) -> dict[int, float]:
        """Pages near the question, and their cosines; nearest first."""
        besides = self.disk.besides(self.among)
        found = self.turns.take(lambda: self.index.nearest(question, most, besides))
        self._candidates |= set(found)
        return found

    def cosines(self, question: str, numbers: Iterable[int]) -> dict[int, float]:
        """How near given pages are to the question."""
        return self.turns.take(lambda: self.index.cosines(question, numbers))

    def newest(self, most: int) -> dict[int, Page]:
        """The pages of the last time, newest first."""
        return self.pages(self.disk.newest(most, self.among))

    def between(self, start_s: float, stop_s: float, most: int) -> dict[int, Page]:
        """The pages of a span of time, oldest first."""
        return self.pages(self.disk.between(start_s, stop_s, most, self.among))

    def pages(self, numbers: Iterable[int]) -> dict[int, Page]:
        """Pages by number."""
        with self.counters["disk"].timed(reads=1):
            return self.disk.pages(numbers)

    def pages_again(self, numbers: Iterable[int]) -> dict[int, Page]:
        """The pages that a run has noted. Raises BadOperand if one of them has been forgotten."""
        pages = self.pages(wanted := list(numbers))
        for number in wanted:
            if number not in pages:
                raise BadOperand(
                    f"page {number}, which this run has read, has been forgotten since; so it "
                    "cannot be resumed, replayed or edited: start it anew"
                )
        return pages

    def hand_out(self, sizes: dict[int, int]) -> None:
        """Count the pages of one look-up, with their tokens, as they go to whoever asked."""
        self._handed_out.append(list(sizes))
        for number, tokens in sizes.items():
            self._count(number, tokens)
        self._candidates.clear()

    def take_handed_out(self) -> list[list[int]]:
        """The pages of each look-up since this was last asked, oldest look-up first."""
        handed = list(self._handed_out)
        self._handed_out.clear()
        return handed

    def _count(self, number: int, tokens: int) -> None:
        window, vectors = self.counters["window"], self.counters["vectors"]
        window.reads += 1
        if number in self._resident:
            window.hits += 1
            self._resident.move_to_end(number)
        else:
            window.faults += 1
            window.tokens += tokens
            self._resident[number] = tokens
            self.counters["disk"].tokens += tokens
            while sum(self._resident.values()) > _RESIDENT_TOKENS and len(self._resident) > 1:
                self._resident.popitem(last=False)
        if self._candidates:
            vectors.hits += number in self._candidates
            vectors.faults += number not in self._candidates

    def totals(self) -> dict[str, dict[str, Any]]:
        """All counters, with those of former processes."""
        now = {name: asdict(counters) for name, counters in self.counters.items()}
        try:
            before = json.loads(self.disk.fact("counters", "{}"))
            for name, did in now.items():
                past = before.get(name, {})
                now[name] = {key: value + past.get(key, 0) for key, value in did.items()}
        except (AttributeError, StorageFailed, TypeError, ValueError) as error:
            note = "the counters of the memory %s begin anew: what was kept cannot be read (%s)"
            logging.getLogger("memory").warning(note, self.disk.path, error)
        return now

    def table(self) -> list[dict[str, Any]]:
        """One row for each level, nearest first: what it holds and did."""
        sizes = {
            "window": len(self._resident),
            "disk": self.disk.count(),
            "vectors": self.index.count(),
        }
        rows = []
        for name, did in self.totals().items():
            wanted = did["hits"] + did["faults"]
            row = {"level": name, "pages": sizes[name], **did, "seconds": round(did["seconds"], 3)}
            rows.append({**row, "hit_rate": round(did["hits"] / wanted, 3) if wanted else None})
        return rows

    def forget(self, numbers: list[int]) -> None:
        """Forget pages on every level."""
        self.index.forget(numbers)
        self.disk.remove(numbers)


def opened(
    place: Place, embedder: str | Path | Embedder | None, counters: Counters, *, new: bool
) -> tuple[Disk | PostgresPages, Index]:
    """Open the pages of a memory, and their index; ``new``: make them where there are none.

    Raises Usage, RunBusy, StorageFailed.
    """
    if not isinstance(place, Path):
        from nlpu.memory.store.postgres.index import opened_in  # here: an extra

        return opened_in(place, embedder, counters, new=new)
    if not new and not (place / "memory.db").is_file():
        raise Usage(f"there is no memory in {place}; make one: nlpu memory ingest FILE...")
    disk = Disk(place)
    try:
        return disk, Index(place, disk, embedder, counters)
    except BaseException:
        disk.close()
        raise


_COMMON_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have he her hers him "
    "his how i if in into is it its just me my of on or our she should so some than that the their "
    "them then there they this to too us was we were what when where which who whom whose why will "
    "with would you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())


def telling_words(question: str) -> list[str]:
    """The words of a question that tell something; all of them if none does."""
    words = words_of(question)
    return [word for word in words if word not in _COMMON] or words
