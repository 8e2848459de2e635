"""The vectors of pages in a database: pgvector's, compared one by one, so the nearest is exact.

Theory of operation
-------------------
One row for each page, embedder and piece. Which pages have none is asked of the database, each
time: that costs less than to compare all vectors does, and is right whoever wrote or was killed.

Rules
1. Adding a number again replaces its vectors. A page is as near as the nearest of its pieces.
2. A page that is forgotten meanwhile gets none.
3. Vectors of different embedders are never mixed: each has a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from nlpu.memory.store.embedder_folder import Vectors as Rows
from nlpu.memory.store.postgres.link import Link
from nlpu.memory.store.postgres.statements import EMBEDDINGS, LACKING, NEAREST
from nlpu.postgres.connection import Connection


class PostgresVectors:
    """The vectors of one embedder's pages."""

    def __init__(self, link: Link, embedder: str) -> None:
        self._link, self._name = link, embedder

    def close(self) -> None:
        """Release nothing: the connection is the pages'."""

    def clear(self) -> None:
        """Throw them away."""
        self._link.ask("DELETE FROM embedding WHERE name = %s", (self._name,))

    def clear_others(self) -> None:
        """Throw those of other embedders away."""
        self._link.ask("DELETE FROM embedding WHERE name != %s", (self._name,))

    # -- writing ------------------------------------------------------------------------------

    def add(self, numbers: Sequence[int], rows: Rows) -> None:
        """Give pages their vectors; a number that comes again is another piece of its page."""
        self._link.write(partial(self._add, list(zip(numbers, rows.tolist(), strict=True))))

    def _add(self, given: list[tuple[int, list[float]]], db: Connection) -> None:
        numbers = [number for number, _ in given]
        there = db.execute("SELECT id FROM page WHERE id = ANY(%s)", (numbers,)).fetchall()
        alive, seen = {number for (number,) in there}, Counter[int]()
        db.execute(
            "DELETE FROM embedding WHERE name = %s AND page = ANY(%s)", (self._name, numbers)
        )
        with db.cursor() as cursor, cursor.copy(EMBEDDINGS) as copy:
            for number, row in given:
                if number in alive:  # rule 2
                    copy.write_row((number, self._name, seen[number], str(row)))
                    seen[number] += 1

    def remove(self, numbers: Iterable[int]) -> int:
        """Forget pages; how many further pieces they had."""
        gone = self._link.ask(
            "DELETE FROM embedding WHERE name = %s AND page = ANY(%s) RETURNING piece",
            (self._name, list(numbers)),
        )
        return sum(piece > 0 for (piece,) in gone)

    # -- reading ------------------------------------------------------------------------------

    def lacking(self, among: Collection[int] | None = None) -> list[int]:
        """The pages that have no vector, oldest first; of some, or of all."""
        asked = {"name": self._name, "some": None if among is None else list(among)}
        return [number for (number,) in self._link.ask(LACKING, asked)]

    def count(self) -> int:
        """How many vectors there are: of pages, and of further pieces."""
        return self._number("SELECT count(*) FROM embedding WHERE name = %s")

    def size(self) -> int:
        """How many numbers a vector has; 0 where there is none yet."""
        return self._number("SELECT vector_dims(unit) FROM embedding WHERE name = %s LIMIT 1")

    def numbers(self) -> set[int]:
        """The pages that have a vector."""
        found = self._link.ask(
            "SELECT page FROM embedding WHERE name = %s AND piece = 0", (self._name,)
        )
        return {number for (number,) in found}

    def nearest(self, row: Any, most: int, besides: Collection[int] = ()) -> dict[int, float]:
        """The nearest pages and their cosines, nearest first; but for some."""
        asked = {"row": str(row.tolist()), "name": self._name, "most": most, "no": list(besides)}
        return dict(self._link.ask(NEAREST, asked))

    def rows(self, numbers: Iterable[int]) -> dict[int, list[Any]]:
        """The vectors of pages, one for each piece; pages that have none are left out."""
        rows: dict[int, list[Any]] = {}
        for number, row in self._link.ask(
            "SELECT page, unit::float4[] FROM embedding WHERE name = %s AND page = ANY(%s) "
            "ORDER BY page, piece",
            (self._name, list(numbers)),
        ):
            rows.setdefault(number, []).append(row)
        return rows

    def _number(self, statement: str) -> int:
        found = self._link.ask(statement, (self._name,))
        return int(found[0][0]) if found else 0
