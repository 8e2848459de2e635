"""The index: the vector level, kept in step with the disk.

Theory of operation
-------------------
Writing touches the disk alone. What the index lacks is embedded by ``follow``, before the next
look-up by meaning, in batches; after each the number of the last page is noted on the disk (the
mark). The index goes with an embedder. A portable one holds vectors relative to anchors
(``relative``), so that its embedder can be changed without embedding the pages again.

Rules
1. The index agrees with the disk after ``follow``, whatever happened before: pages above the mark
   are added, and where the counts or the newest pages differ, the numbers are compared one by one.
   No number is used twice, so an older index counts other pages or lacks the newest.
2. The embedded text of a page is the page behind the one before it in its source: an answer is
   found by what it answers. A long page has several vectors (``pieces``), so none of it is lost.
3. Vectors of different embedders are never mixed: each has a collection and a mark of its own.
4. An index found damaged is made again. Anchors are texts of pages that are still there: where one
   is forgotten, others are chosen, and all pages are embedded anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Iterable
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nlpu.errors import HostError, Usage
from nlpu.memory.store.counters import Counters
from nlpu.memory.store.embedders import Embedder, known, open_embedder
from nlpu.memory.store.pieces import pieces
from nlpu.memory.store.relative import Relative, choose_anchors
from nlpu.memory.store.vectors import Damaged, Vectors

if TYPE_CHECKING:
    from nlpu.memory.store.postgres.pages import PostgresPages
    from nlpu.memory.store.postgres.vectors import PostgresVectors
    from nlpu.memory.store.store import Disk

DEFAULT_EMBEDDER = "minilm"
BATCH = 256  # pages embedded between two marks
Progress = Callable[[int, int], None]
R = TypeVar("R")


class Index:
    """The vectors of a store's pages."""

    def __init__(
        self,
        directory: Any,
        disk: Disk | PostgresPages,
        embedder: str | Path | Embedder | None,
        counters: Counters,
    ) -> None:
        self.directory = directory
        self.disk = disk
        self.counters = counters
        self._embedder: str | Embedder = (
            disk.fact("embedder", DEFAULT_EMBEDDER) if embedder is None else known(embedder)
        )
        self._anchors: list[str] = disk.listed("anchors")
        self._last_question: tuple[str | None, Any] = (None, None)
        self._compared = self._is_closed = False
        if embedder is not None and disk.fact("embedder") is None:
            disk.set_fact("embedder", self.chosen)  # at once: a first ingest may be killed

    @property
    def chosen(self) -> str:
        """The embedder as it is named when the store is opened again."""
        return self._embedder if isinstance(self._embedder, str) else self._embedder.name

    @property
    def embedder_name(self) -> str:
        """Whose vectors the index holds; of a portable store they are nobody's own."""
        if self._anchors:
            return "relative"
        is_folder = isinstance(self._embedder, str) and Path(self._embedder).is_absolute()
        return open_embedder(self.chosen).name if is_folder else self.chosen

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, opened when it is first needed."""
        base = open_embedder(self._embedder) if isinstance(self._embedder, str) else self._embedder
        return Relative(base, self._anchors) if self._anchors else base

    @cached_property
    def vectors(self) -> Vectors | PostgresVectors:
        """The vector level, opened when it is first needed."""
        if self._is_closed:
            raise HostError(f"the memory in {self.directory} has been closed")
        return self._opened()

    def _opened(self, *, empty: bool = False) -> Vectors | PostgresVectors:
        return Vectors(self.directory / "vectors", self.embedder_name, empty=empty)

    def close(self) -> None:
        """Release the files, if they were opened. What is done aside still finds nothing open."""
        self._is_closed = True
        self._release()

    def _release(self) -> None:
        if "vectors" in self.__dict__:
            self.__dict__.pop("vectors").close()

    def nearest(self, question: str, most: int, besides: Collection[int] = ()) -> dict[int, float]:
        """Pages near the question, and their cosines, nearest first; but for some."""
        self.follow()
        with self.counters.timed(reads=1):
            return self._read(lambda: self.vectors.nearest(self._row(question), most, besides))

    def cosines(self, question: str, numbers: Iterable[int]) -> dict[int, float]:
        """How near given pages are to the question."""
        with self.counters.timed(reads=1):
            row, wanted = self._row(question), list(numbers)
            rows = self._read(lambda: self.vectors.rows(wanted))
            return {n: max(float(row @ other) for other in each) for n, each in rows.items()}

    def follow(self, progress: Progress | None = None) -> int:
        """Bring the index up to the disk; how many pages were embedded."""
        return self._read(lambda: self._follow(progress))

    def _follow(self, progress: Progress | None) -> int:
        done, mark = 0, self._mark()
        if self.disk.fact(self._further) is None:
            self._drop_cut(mark)
        if not self._compared and not self._agrees(mark):
            done += self._compare(mark, progress)
        self._compared = True  # nobody else changes them while we own them
        new = self.disk.numbers(after=mark)
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            self._embed(part)
            self.disk.set_fact(f"indexed {self.embedder_name}", part[-1])
            self.disk.set_fact("embedder", self.chosen)
            if progress is not None:
                progress(start + len(part), len(new))
        return done + len(new)

    def rebuild(self, progress: Progress | None = None) -> int:
        """Throw the index away and make it again; how many pages were embedded."""
        self._discard()
        return self._follow(progress)

    def _discard(self) -> None:
        if "vectors" in self.__dict__:
            self.vectors.clear()
        else:
            self.vectors = self._opened(empty=True)
        self.disk.set_fact(f"indexed {self.embedder_name}", 0)
        self.disk.set_fact(self._further, 0)

    def _drop_cut(self, mark: int) -> None:
        """Of an index made when long texts were cut: forget these, so that they are made anew."""
        listed = [number for number in self.disk.numbers() if number <= mark]
        for start in range(0, len(listed), BATCH):
            texts = self._texts(listed[start : start + BATCH])
            cut = [n for n, each in texts.items() if self._cut(each) != pieces(None, *each)]
            self.vectors.remove(cut)
        self.disk.set_fact(self._further, 0)

    @property
    def _further(self) -> str:
        """The fact that says how many vectors are of further pieces of pages."""
        return f"pieces {self.embedder_name}"

    def _add_further(self, count: int) -> None:
        if count:
            self.disk.set_fact(self._further, self.disk.fact(self._further, 0) + count)

    def migrate(
        self, embedder: str | Path | Embedder, portable: bool, progress: Progress | None = None
    ) -> int:
        """Change the embedder; how many pages had to be embedded again.

        Zero where the store is portable and stays so; ``portable`` makes it so for the next change.
        Raises Usage, MissingPart, with nothing changed.
        """
        stays = portable and bool(self._anchors)
        kept = known(embedder)
        if isinstance(kept, str):
            open_embedder(kept)
        anchors = self._anchors if stays else self._new_anchors() if portable else []
        if portable and not anchors:
            raise Usage("a portable store takes its anchors from its pages, and has none yet")
        self._embedder = kept
        self._reopen(anchors)
        self.disk.set_fact("embedder", self.chosen)
        return self.follow(progress) if stays else self.rebuild(progress)

    def _new_anchors(self, without: Container[str] = ()) -> list[str]:
        """Anchors from the pages but for some texts; none where there are too few."""
        pages = self.disk.pages(self.disk.numbers()).values()
        anchors = choose_anchors([page.text for page in pages if page.text not in without])
        return anchors if len(anchors) > 1 else []

    def _reopen(self, anchors: list[str]) -> None:
        """Open embedder and vectors anew, when they are needed, with these anchors."""
        self._release()
        self.__dict__.pop("embedder", None)
        self._compared, self._last_question = False, (None, None)
        if anchors != self._anchors:
            self._anchors = anchors
            self.disk.set_fact("indexed relative", 0)  # first: other anchors, other vectors
            self.disk.set_fact("anchors", json.dumps(anchors))

    def forget(self, numbers: list[int]) -> None:
        """Forget pages, before the disk does; what that takes is embedded at the next look-up."""
        gone = {page.text for page in self.disk.pages(numbers).values()}
        if not gone.isdisjoint(self._anchors):
            self._discard()  # first: killed here, it is made again as it was
            self._reopen(self._new_anchors(without=gone))
        elif numbers:
            self._drop(numbers)

    def _drop(self, numbers: list[int]) -> None:
        if (self.directory / "vectors").exists():
            try:
                self._add_further(-self.vectors.remove(numbers))
            except Damaged:
                self._discard()

    def count(self) -> int:
        """How many pages are in it, without opening it."""
        return self.disk.count_up_to(self._mark())

    def disagreements(self) -> list[str]:
        """How the index differs from the disk, in words; pages still to be embedded are none."""
        try:
            have = self.vectors.numbers()
            listed = list(have)
            for start in range(0, len(listed), BATCH):
                self.vectors.rows(listed[start : start + BATCH])
        except Damaged as damage:
            return [str(damage)]
        should, mark = set(self.disk.numbers()), self._mark()
        lacking = {number for number in should - have if number <= mark}
        told = []
        if lacking:
            told.append(f"the vector index lacks {len(lacking)} pages")
        if have - should:
            told.append(f"the vector index holds {len(have - should)} pages that are gone")
        return told

    def _mark(self) -> int:
        return int(self.disk.fact(f"indexed {self.embedder_name}", 0))

    def _read(self, look: Callable[[], R]) -> R:
        """What a look at the vectors gives; at new ones, where they turn out to be damaged."""
        try:
            return look()
        except Damaged:
            self.rebuild()
            return look()

    def _agrees(self, mark: int) -> bool:
        last = self.disk.last_up_to(mark)
        count = self.disk.count_up_to(mark) + self.disk.fact(self._further, 0)
        same = self.vectors.count() == count
        return same and (not last or last in self.vectors.rows([last]))

    def _compare(self, mark: int, progress: Progress | None) -> int:
        have = self.vectors.numbers()
        should = {number for number in self.disk.numbers() if number <= mark}
        self.vectors.remove(have - should)
        missing = sorted(should - have)
        for start in range(0, len(missing), BATCH):
            self._embed(missing[start : start + BATCH])
            if progress is not None:
                progress(min(start + BATCH, len(missing)), len(missing))
        self.disk.set_fact(self._further, self.vectors.count() - len(should))
        return len(missing)

    def _embed(self, numbers: list[int]) -> None:
        with self.counters.timed(writes=len(numbers)):
            cut = {n: self._cut(each) for n, each in self._texts(numbers).items()}
            whose = [n for n, each in cut.items() for _ in each]
            rows = self._rows(self.embedder.embed, [text for each in cut.values() for text in each])
            self.vectors.add(whose, rows)
            self._add_further(len(whose) - len(cut))

    def _texts(self, numbers: list[int]) -> dict[int, tuple[str, str]]:
        """The texts of pages, each with the one before it in its source (rule 2)."""
        pages = self.disk.pages(numbers)
        before = {n: self.disk.neighbours(n, page, 1, 0)[0] for n, page in pages.items()}
        others = self.disk.pages(n for found in before.values() for n in found)
        return {
            n: (p.text, "".join(others[b].text for b in before[n] if b in others))
            for n, p in pages.items()
        }

    def _cut(self, texts: tuple[str, str]) -> list[str]:
        return pieces(self.embedder, *texts)

    def _row(self, question: str) -> Any:
        """The question's vector; of a long one, the mean of its pieces'."""
        if self._last_question[0] != question:
            embed = getattr(self.embedder, "embed_questions", self.embedder.embed)
            rows = self._rows(embed, pieces(self.embedder, question))
            mean = rows.mean(0)
            unit = rows[0] if len(rows) == 1 else mean / max(float((mean @ mean) ** 0.5), 1e-12)
            self._last_question = (question, unit)
        return self._last_question[1]

    def _rows(self, embed: Callable[[list[str]], Any], texts: list[str]) -> Any:
        """The vectors of texts, if they are some. Raises Usage: an embedder may be anybody's."""
        rows = embed(texts)
        shape: tuple[int, ...] = getattr(rows, "shape", ())
        has = self.vectors.size()
        fits = len(shape) == 2 and shape[0] == len(texts) and has in (0, shape[1])
        if not fits or not bool((abs(rows) < inf).all()):
            wanted = f"{len(texts)} vectors of {has or 'some'} finite numbers"
            raise Usage(
                f"the embedder {self.embedder_name} must give an array of {wanted}, and gave "
                f"{type(rows).__name__} of {' x '.join(map(str, shape)) or 'no shape'}; one that "
                "gives others than before needs another name"
            )
        return rows
