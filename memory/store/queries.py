"""What can be asked of the disk level: pages by number, source, time, credit and words.

Theory of operation
-------------------
Queries alone; ``memory.store.store`` writes what they read. All of them go through ``_all``: one at
a time, and a fault of the file is a typed one.

Rules
1. Nothing here changes the file.
2. A stored label that cannot be read is untrusted. Any other page that is not what was stored is
   StorageFailed: neither another error, nor another page.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import regex

from nlpu.errors import StorageFailed
from nlpu.label import label_of
from nlpu.memory.store import words as script
from nlpu.memory.store.page import CONDENSED, OWN, TIMES_S, Among, Page, blob_hash

_COLUMNS = "id, address, blob, text, source, start, stop, time_s, label, importance, credit, links"
PAGES = f"SELECT {_COLUMNS} FROM page LEFT JOIN blob ON blob.hash = page.blob"
AMONG = {"all": "TRUE", "documents": f"source NOT IN {OWN}", "own": f"source IN {OWN}"}
_WORD = regex.compile(r"\w+")  # with the marks on its letters, as ``re`` does not
COMMON_PAGES = 3000  # a word in more pages tells little, if the question has others
_AT_ONCE = 500  # values in one SQL list


class Reading:
    """The reads of an open store of pages."""

    path: Any  # where it is, as it is told
    _db: Any
    _thread: threading.RLock
    _pages = PAGES
    _no_links, _each_link = "'[]'", "json_each(made.links) AS link"
    _bytes = "length(CAST(text AS BLOB))"

    def fact(self, name: str, default: Any = None) -> Any:
        """A value kept with ``set_fact``, of the default's kind, if one is given."""
        found = self._all("SELECT value FROM fact WHERE name = ?", (name,))
        value = self._value(name, found[0][0]) if found else default
        if default is not None and type(value) is not type(default):
            raise self._damaged(f"its fact {name!r} is not what was stored")
        return value

    def listed(self, name: str) -> list[str]:
        """The texts that are kept, as JSON, under a name."""
        texts = None
        with suppress(ValueError):
            texts = json.loads(self.fact(name, "[]"))
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._damaged(f"its fact {name!r} is not what was stored")
        return texts

    def digest(self, source: str) -> bytes | None:
        """The digest of a source as it was taken in."""
        found = self._all("SELECT digest FROM file WHERE source = ?", (source,))
        return found[0][0] if found else None

    def count(self) -> int:
        """How many pages there are."""
        return int(self._all("SELECT count(*) FROM page")[0][0])

    def count_up_to(self, number: int) -> int:
        """How many pages there are up to that number."""
        return int(self._all("SELECT count(*) FROM page WHERE id <= ?", (number,))[0][0])

    def last_up_to(self, number: int) -> int:
        """The newest page up to that number; 0 if there is none."""
        return self._all("SELECT max(id) FROM page WHERE id <= ?", (number,))[0][0] or 0

    def number(self, address: str) -> int | None:
        """The page at an address."""
        found = self._all("SELECT id FROM page WHERE address = ?", (address,))
        return found[0][0] if found else None

    def pages(self, numbers: Iterable[int]) -> dict[int, Page]:
        """Pages by number; those that are not there are left out."""
        wanted = list(dict.fromkeys(numbers))
        found: dict[int, Page] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            for row in self._all(f"{self._pages} WHERE id IN ({marks})", part):
                found[row[0]] = self._page(row)
        return {number: found[number] for number in wanted if number in found}

    def numbers(self, after: int = 0, source: str | None = None) -> list[int]:
        """Numbers of pages above ``after``, oldest first; of one source in its order."""
        if source is None:
            return self._column("SELECT id FROM page WHERE id > ? ORDER BY id", (after,))
        return self._column("SELECT id FROM page WHERE source = ? ORDER BY start, id", (source,))

    def newest(self, most: int, among: Among = "all") -> list[int]:
        """Pages by time, newest first."""
        order = f"WHERE {AMONG[among]} ORDER BY time_s DESC, id DESC LIMIT ?"
        return self._column(f"SELECT id FROM page {order}", (most,))

    def between(self, start_s: float, stop_s: float, most: int, among: Among = "all") -> list[int]:
        """Pages of a span of time, oldest first."""
        order = f"WHERE time_s >= ? AND time_s < ? AND {AMONG[among]} ORDER BY time_s, id LIMIT ?"
        return self._column(f"SELECT id FROM page {order}", (start_s, stop_s, most))

    def besides(self, among: Among) -> set[int]:
        """The pages that are not looked through."""
        return set(self._column(f"SELECT id FROM page WHERE NOT {AMONG[among]}", ()))

    def uncredited(self, credit: float, newest: int, most: int, most_bytes: int) -> list[int]:
        """The oldest neighbours with less credit, but for the newest pages, and those that are of
        files, were made from others or condensed already, or are too long; of one source, in its
        order."""
        rows = self._all(
            f"SELECT id, source FROM page WHERE credit < ? AND links = {self._no_links} "
            "AND source NOT IN (SELECT source FROM file) "
            "AND id <= (SELECT max(id) FROM page) - ? AND address NOT IN (SELECT link.value FROM "
            f"page AS made, {self._each_link} WHERE made.source = '{CONDENSED}') "
            f"AND (SELECT {self._bytes} FROM blob WHERE hash = page.blob) <= ? "
            "ORDER BY source, start, id LIMIT ?",
            (credit, newest, most_bytes, most),
        )
        return [number for number, source in rows if source == rows[0][1]]

    def drawn_from(self, numbers: Iterable[int]) -> list[int]:
        """Pages made from these, or from such, that would have no other source left without them;
        in order."""
        given, sources = set(numbers), self._sources() if numbers else {}
        gone = set(given)
        while fresh := [made for made, of in sources.items() if made not in gone and of <= gone]:
            gone.update(fresh)
        return sorted(gone - given)

    def _sources(self) -> dict[int, set[int]]:
        """The pages that each page with links was made from, as far as they are there."""
        found: dict[int, set[int]] = {}
        for made, source in self._all(
            f"SELECT made.id, page.id FROM page AS made, {self._each_link} "
            f"JOIN page ON page.address = link.value WHERE made.links != {self._no_links}"
        ):
            if made != source:
                found.setdefault(made, set()).add(source)
        return found

    def neighbours(
        self, number: int, page: Page, before: int, after: int
    ) -> tuple[list[int], list[int]]:
        """Pages before and after one in its source, each side nearest first.

        Pages of no source have nothing to do with each other.
        """
        if not page.source:
            return [], []
        key = (page.source, page.start, page.start, number)
        left = self._column(
            "SELECT id FROM page WHERE source = ? AND (start < ? OR start = ? AND id < ?) "
            f"ORDER BY start DESC, id DESC LIMIT {before}",
            key,
        )
        right = self._column(
            "SELECT id FROM page WHERE source = ? AND (start > ? OR start = ? AND id > ?) "
            f"ORDER BY start, id LIMIT {after}",
            key,
        )
        return left, right

    def matching(self, words: Sequence[str], most: int, among: Among = "all") -> dict[int, float]:
        """BM25 of the best pages that hold any of the words (stemmed); larger is better."""
        self._compare()
        phrases = [phrase for word in words for phrase in script.asked(word)]
        rare = [phrase for phrase in phrases if self._is_rare(phrase)] or phrases
        if not rare:
            return {}
        query = " OR ".join(rare)
        rows = self._all(
            "SELECT words.rowid, -rank, id FROM words LEFT JOIN page ON id = words.rowid "
            f"WHERE words MATCH ? AND (id IS NULL OR {AMONG[among]}) ORDER BY rank LIMIT ?",
            (query, most),
        )
        if any(page is None for _, _, page in rows):
            raise self._damaged("its word index holds pages that are not there")
        return {number: score for number, score, _ in rows}

    def _is_rare(self, phrase: str) -> bool:
        """Whether few pages hold it: ranking reads every page that holds a word asked for."""
        some = "SELECT 1 FROM words WHERE words MATCH ? LIMIT ?"
        found = self._all(f"SELECT count(*) FROM ({some})", (phrase, COMMON_PAGES))
        return int(found[0][0]) < COMMON_PAGES

    # -- helpers ------------------------------------------------------------------------------

    def _value(self, name: str, kept: Any) -> Any:
        """A fact's value, of what is kept."""
        return kept

    def _page(self, row: Any) -> Page:
        """The page in a row, if it is what was stored. Raises StorageFailed."""
        if isinstance(page := self._read(row), str):
            raise self._damaged(page)
        return page

    def _read(self, row: Any) -> Page | str:
        """The page in a row, or what is wrong with it."""
        number, address, blob, text, source, start, stop, time_s, label, *rest = row
        try:
            links = json.loads(rest.pop())
            sound = isinstance(links, list) and all(isinstance(link, str) for link in links)
            sound = sound and TIMES_S[0] <= time_s < TIMES_S[1]
            importance, credit = map(float, rest)
            told = (float(time_s), label_of(label), importance, credit, tuple(links))
            page = Page(text, source, start, stop, *told)
            sound = sound and (blob_hash(text), page.address) == (blob, address)
        except (AttributeError, TypeError, ValueError):
            return f"page {number} cannot be read"
        return page if sound else f"page {number} is not what was stored"

    def _damaged(self, what: str) -> StorageFailed:
        more = "`nlpu memory check` says what else"
        return StorageFailed(f"the memory {self.path} is damaged: {what}; {more}")

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._thread, self._typed():
            return list(self._db.execute(sql, values))

    def _compare(self) -> None:
        """Look, once, whether each page is what was stored, where rows are no one else's care."""

    def _column(self, sql: str, values: Sequence[Any]) -> list[int]:
        self._compare()
        return [row[0] for row in self._all(sql, values)]

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last by its schema
            raise StorageFailed(f"cannot use the memory {self.path}: {error}") from error


def words_of(text: str) -> list[str]:
    """The distinct words of a text, in order, lower case."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))
