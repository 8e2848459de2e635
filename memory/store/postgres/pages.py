"""The disk level in a database: as in SQLite's file, for any number of processes and machines.

Theory of operation
-------------------
    blob       every distinct text once, by its hash
    page       its occurrences, numbered in the order of their commits
    word       which words stand where: cut and stemmed as SQLite's word index does (``stems``)
    embedding  the vectors of pages (``vectors``)
    file, fact as in the file; of ``meta`` the row says the last number, and how much there is

Each memory has a schema of its own, so what is asked of the file is asked of it, word for word
(``queries``). What is written is one transaction: a kill leaves all of it or nothing, and the words
need no seal.

Rules
1. ``add`` is one transaction; when it returns, the pages survive the death of the process.
2. Several processes may have it open: what one has written the others see at their next look.
3. Safe to use from several threads.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from nlpu.label import join, label_of, label_text
from nlpu.memory.store import words as script
from nlpu.memory.store.page import Among, Page, blob_hash
from nlpu.memory.store.postgres import statements as asked
from nlpu.memory.store.postgres.link import Link
from nlpu.memory.store.postgres.names import MemoryDatabase
from nlpu.memory.store.postgres.rows import columns_of, copy_words, row_of, size_of
from nlpu.memory.store.postgres.stems import Stems
from nlpu.memory.store.queries import AMONG, COMMON_PAGES, PAGES, Reading
from nlpu.memory.store.words import RULE
from nlpu.postgres.connection import Connection

_AT_ONCE: Final = 500  # pages


class PostgresPages(Reading):
    """An open store of pages. Raises Usage, StorageFailed."""

    _no_links, _each_link = "'{}'", "unnest(made.links) AS link (value)"
    _bytes = "octet_length(text)"

    def __init__(self, place: MemoryDatabase, *, new: bool) -> None:
        self.path = place
        self._stems = Stems()
        self.link = Link(place, new=new)
        self._thread = self.link.thread
        try:
            if told := self.index_words() if self.fact("words") != RULE else 0:
                note = "the words of %d pages in %s were indexed anew: by another rule"
                logging.getLogger("memory").warning(note, told, place)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it. Idempotent."""
        self.link.close()
        self._stems.close()

    # -- writing ------------------------------------------------------------------------------

    def add(self, pages: Iterable[Page]) -> list[int]:
        """The numbers of the pages, those that are new stored."""
        given = list(pages)
        return self.link.write(partial(self._add, given)) if given else []

    def _add(self, pages: list[Page], db: Connection) -> list[int]:
        found = db.execute(asked.KNOWN, ([page.address for page in pages],)).fetchall()
        known = {address: (int(number), label_of(label)) for address, number, label in found}
        ((last, *_),) = db.execute(asked.HOLD).fetchall()
        numbers, fresh, sunk = [], dict[int, Page](), dict[int, str]()
        for page in pages:
            if page.address not in known:
                last += 1
                fresh[last] = page
                known[page.address] = last, page.label
            number, before = known[page.address]
            if (after := join(before, page.label)) is not before:
                known[page.address] = number, after
                sunk[number] = label_text(after)
            numbers.append(number)
        self._insert(db, fresh)
        with db.cursor() as cursor:
            rows = [(label, number) for number, label in sunk.items()]
            cursor.executemany("UPDATE page SET label = %s WHERE id = %s", rows)
        return numbers

    def _insert(self, db: Connection, pages: dict[int, Page]) -> None:
        words = {number: self._stems.of_text(page.text) for number, page in pages.items()}
        blobs = [(blob_hash(page.text), page.text.encode()) for page in pages.values()]
        rows = [row_of(number, page, words[number]) for number, page in pages.items()]
        with db.cursor() as cursor:
            cursor.executemany(asked.BLOB, blobs)
            cursor.executemany(asked.PAGE, rows)
            copy_words(cursor, words)
            count = sum(map(size_of, words.values()))
            cursor.execute(asked.ADDED, (len(pages), len(pages), count))

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget pages, and texts that no page holds any more."""
        wanted = list(numbers)

        def gone(db: Connection) -> None:
            pages = self.pages(wanted)
            words = {number: self._stems.of_text(page.text) for number, page in pages.items()}
            there, hashes = list(pages), [blob_hash(page.text) for page in pages.values()]
            with db.cursor() as cursor:
                cursor.executemany(
                    "DELETE FROM word WHERE page = %s AND term = ANY(%s)",
                    [(number, list(terms)) for number, terms in words.items()],
                )
                for table, name in (("embedding", "page"), ("page", "id")):
                    cursor.execute(f"DELETE FROM {table} WHERE {name} = ANY(%s)", (there,))
                cursor.execute(
                    "DELETE FROM blob WHERE hash = ANY(%s) AND NOT EXISTS "
                    "(SELECT FROM page WHERE page.blob = blob.hash)",
                    (hashes,),
                )
                count = sum(map(size_of, words.values()))
                cursor.execute(asked.ADDED, (0, -len(pages), -count))

        if wanted:
            self.link.write(gone)

    def set_credit(self, credits: dict[int, float], fade: float = 1.0) -> None:
        """Write what outcomes say about pages; that of all others is multiplied by ``fade``."""

        def rated(db: Connection) -> None:
            with db.cursor() as cursor:
                cursor.execute("UPDATE page SET credit = credit * %s WHERE credit != 0", (fade,))
                rows = [(credit, number) for number, credit in credits.items()]
                cursor.executemany("UPDATE page SET credit = %s WHERE id = %s", rows)

        self.link.write(rated, once=fade != 1.0)

    def set_fact(self, name: str, value: Any) -> None:
        """Keep a single value."""
        self.link.ask(asked.FACT, (name, json.dumps(value)))

    def set_file(self, source: str, digest: bytes | None) -> None:
        """Note that a source has been taken in as it is; None: forget that."""
        if digest is None:
            self.link.ask("DELETE FROM file WHERE source = %s", (source,))
        else:
            self.link.ask(asked.FILE, (source, digest))

    def taken(self, source: str, digest: bytes, numbers: list[int]) -> bool:
        """Note that a source has been taken in; False where others have changed its pages since."""

        def note(db: Connection) -> bool:
            same = set(self.numbers(source=source)) == set(numbers)
            if same:
                db.execute(asked.FILE, (source, digest))
            return same

        return self.link.write(note)

    def index_words(self) -> int:
        """Make the word index again; of how many pages."""
        return self.link.write(self._indexed_anew)

    def _indexed_anew(self, db: Connection) -> int:
        db.execute("DELETE FROM word")
        numbers = self.numbers()
        with db.cursor() as cursor:
            for start in range(0, len(numbers), _AT_ONCE):
                pages = self.pages(numbers[start : start + _AT_ONCE])
                words = {number: self._stems.of_text(page.text) for number, page in pages.items()}
                copy_words(cursor, words)
                sizes = [(size_of(each), number) for number, each in words.items()]
                cursor.executemany("UPDATE page SET words = %s WHERE id = %s", sizes)
            cursor.execute(asked.COUNT, (max(numbers, default=0),))
            cursor.execute(asked.FACT, ("words", json.dumps(RULE)))
        return len(numbers)

    # -- reading ------------------------------------------------------------------------------

    def matching(self, words: Sequence[str], most: int, among: Among = "all") -> dict[int, float]:
        """BM25 of the best pages that hold any of the words (stemmed); larger is better."""
        phrases = self._phrases(words)
        held = dict(self.link.ask(asked.HELD, {**columns_of(phrases), "most": COMMON_PAGES}))
        rare = [p for n, p in enumerate(phrases) if held.get(n, 0) < COMMON_PAGES] or phrases
        statement = asked.RANKED.replace("AMONG", AMONG[among])
        rows = self.link.ask(statement, {**columns_of(rare), "most": most}) if rare else []
        if any(page is None for _, _, page in rows):
            raise self._damaged("its word index holds pages that are not there")
        return {number: score for number, score, _ in rows}

    def _phrases(self, words: Sequence[str]) -> list[tuple[list[str], bool]]:
        """The stems of each phrase, and whether it is a beginning."""
        phrases = [phrase for word in words for phrase in script.asked(word)]
        with self._thread:
            cut = [(self._stems.of_phrase(each), each.endswith("*")) for each in phrases]
        return [(stems, begins) for stems, begins in cut if stems]

    def check(self) -> list[str]:
        """What is wrong with it, in words; nothing if it is whole."""
        ((lost,),) = self._all(asked.LOST)
        faults = [f"{lost} pages have lost their text"] if lost else []
        read = {row[0]: self._read(row) for row in self._all(PAGES)}
        faults += [page for page in read.values() if isinstance(page, str)]
        whole = {number: page for number, page in read.items() if isinstance(page, Page)}
        if not self._is_indexed(whole):
            faults.append(
                "the word index is damaged, it holds other words than the pages: "
                "nlpu memory rebuild makes it again"
            )
        for name, text in self._all("SELECT hash, text FROM blob"):
            if blob_hash(text.decode(errors="replace")) != name:
                faults.append(f"a text does not match its hash {name.hex()}")
        return faults

    def _is_indexed(self, pages: dict[int, Page]) -> bool:
        """Whether the word index holds the words of pages, where they stand, and no others."""
        held = 0
        for number, page in pages.items():
            with self._thread:
                terms = self._stems.of_text(page.text)
            rows = self._all(asked.HELD_OF, (number, list(terms)))
            if dict(rows) != terms:
                return False
            held += len(terms)
        return self._all(asked.COUNTED, (held,)) != []

    # -- helpers ------------------------------------------------------------------------------

    def _value(self, name: str, kept: str) -> Any:
        try:
            return json.loads(kept)
        except ValueError:
            raise self._damaged(f"its fact {name!r} is not what was stored") from None

    def _read(self, row: Any) -> Page | str:
        number, address, blob, text, *rest, links = row
        try:
            told = None if text is None else text.decode()
        except UnicodeDecodeError:
            return f"page {number} cannot be read"
        return super()._read((number, address, blob, told, *rest, json.dumps(links)))

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self.link.ask(sql.replace("?", "%s"), values)
