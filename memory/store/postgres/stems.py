"""A text's words as SQLite's word index keeps them: cut, folded and stemmed by SQLite itself.

A database that is not SQLite's keeps these in a table of its own, so both find the same pages.

Rules
1. The tokenizer is the disk level's (``TOKENIZER``); a word stands at its number in the text.
2. Safe to use by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from nlpu.memory.store.words import TOKENIZER, indexed

_LONGEST = 400  # signs of a word; an index of a database takes no more than some 2,000 bytes


class Stems:
    """SQLite's tokenizer."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize=\"{TOKENIZER}\")"
        )
        self._db.execute("CREATE VIRTUAL TABLE stems USING fts5vocab (words, instance)")

    def close(self) -> None:
        """Release it. Idempotent."""
        self._db.close()

    def of_text(self, text: str) -> dict[str, list[int]]:
        """The words of a text that is indexed, and where they stand."""
        places: dict[str, list[int]] = {}
        for place, word in self._cut(indexed(text)):
            places.setdefault(_short(word), []).append(place)
        return places

    def of_phrase(self, phrase: str) -> list[str]:
        """The words of a phrase as FTS5 is asked for it, one behind the other."""
        return [_short(word) for _, word in self._cut(phrase.rstrip("*").strip('"'))]

    def _cut(self, text: str) -> list[tuple[int, str]]:
        self._db.execute("INSERT INTO words (rowid, text) VALUES (1, ?)", (text,))
        found = self._db.execute('SELECT "offset", term FROM stems ORDER BY "offset"').fetchall()
        self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
        return found


def _short(word: str) -> str:
    """A word that is too long by its beginning, and a hash of all of it."""
    if len(word) <= _LONGEST:
        return word
    return word[:_LONGEST] + blake2b(word.encode(), digest_size=16).hexdigest()
