"""The vector level: which pages are near in meaning. An index; it can be made anew at any time.

Theory of operation
-------------------
chromadb, embedded in this process, holds one collection for each embedder: a vector for each page,
under the page's number on the disk level ("7"), and for a long one a vector for each further piece
("7.1", "7.2", ...). What is asked is its Rust part, as its own client does (``chromadb.api.rust``):
to load the rest (clients of servers, telemetry, ...) took most of a search in a new process.

Rules
1. Whoever holds the disk level's lock owns this one too: nobody else opens it.
2. Nothing here is the truth: an index that fails to open, that cannot be read, or that holds other
   pages than the disk is made again or made right (``index``).
3. Adding a number again replaces its vectors. A page is as near as the nearest of its pieces.
4. That part is promised to chromadb alone: ``pyproject.toml`` names versions, tests compare both.
5. chromadb makes its files with the process's umask: their directory is private, and they are
   narrowed when it is opened and closed.
"""

from __future__ import annotations

import shutil
import struct
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nlpu.errors import HostError, MissingPart, StorageFailed
from nlpu.extras import adding
from nlpu.memory.store.embedder_folder import Vectors as Rows
from nlpu.owner_only import make_dir, narrow

_AT_ONCE = 2000
_PLACE = ("default_tenant", "default_database")
_KIND = '{"hnsw": {"space": "ip"}, "spann": null, "embedding_function": {"type": "legacy"}}'
_HEADER_BYTES = 96


class Damaged(HostError):
    """The index cannot be read or written. Where it is read, it is made again."""


def _is_whole(header: Path) -> bool:
    """Whether hnswlib's files hold the elements that their header tells; else they crash who loads
    them. Its layout: version, offset, room for so many elements, how many, bytes of each, ...

    Room that was made by growth is not written: a file holds at least its elements, at most the
    room."""
    try:
        told = header.read_bytes()
        _, _, room, count, each = struct.unpack_from("<IQQQQ", told)
        size = header.with_name("data_level0.bin").stat().st_size
        return len(told) >= _HEADER_BYTES and count * each <= size <= room * each
    except (OSError, struct.error):
        return False


def _id(number: int, piece: int) -> str:
    return f"{number}.{piece}" if piece else str(number)


def _number(name: str) -> int:
    return int(name.partition(".")[0])


class Vectors:
    """The vectors of one embedder's pages."""

    def __init__(self, directory: Path, embedder: str, empty: bool = False) -> None:
        """``empty``: throw away what is there, unread: damaged files can kill who opens them."""
        self.directory = directory
        self._name = f"pages-{embedder}"
        self._thread = threading.RLock()
        self._empty, self._size = True, 0  # as far as is known
        if empty:
            self.clear()
            return
        try:
            self._open()
        except BaseException as error:  # chromadb's Rust part panics on a damaged file
            if isinstance(error, MissingPart | KeyboardInterrupt | SystemExit):
                raise
            self.clear()

    def _open(self) -> None:
        try:
            import chromadb_rust_bindings as rust  # here: only a store with vectors needs it
        except ModuleNotFoundError as error:
            raise MissingPart(f"memory needs chromadb: {adding('memory')}") from error
        place = self.directory / str(max(self._generations(), default=1))
        if not all(map(_is_whole, place.glob("*/header.bin"))):
            raise Damaged(f"the vector index in {place} is cut short")
        make_dir(place)
        self._index: Any = rust.Bindings(
            allow_reset=False,
            sqlite_db_config=rust.SqliteDBConfig(
                hash_type=rust.MigrationHash.MD5,
                migration_mode=rust.MigrationMode.Apply,
                url=f"{place}/chroma.sqlite3",
            ),
            persist_path=str(place),
            hnsw_cache_size=16,  # collections
        )
        self._id = str(
            self._index.create_collection(self._name, _KIND, None, None, True, *_PLACE).id
        )
        self._index.count(self._id, *_PLACE)
        narrow(place)

    def _get(
        self, ids: list[str] | None = None, most: int | None = None, *, rows: bool = False
    ) -> tuple[list[str], Any]:
        """The ids that are there, of some or of all, and their vectors, if these are asked for."""
        found = self._index.get(self._id, ids, None, most, 0, None, ["embeddings"] * rows, *_PLACE)
        return found.ids, found.embeddings

    def close(self) -> None:
        """Release the files."""
        with self._thread, suppress(Exception):
            del self._index
            narrow(self.directory)

    def clear(self) -> None:
        """Throw the index away and begin an empty one."""
        with self._thread:
            old = self._generations()
            if hasattr(self, "_index"):
                self.close()
            try:
                make_dir(self.directory / str(max(old, default=0) + 1))
            except OSError as error:
                raise StorageFailed(f"cannot make a vector index: {error}") from error
            for generation in old:
                shutil.rmtree(self.directory / str(generation), ignore_errors=True)
            self._empty, self._size = True, 0
            self._open()

    def _generations(self) -> list[int]:
        """An index made again has a new place: chromadb remembers what it opened by path."""
        found = self.directory.iterdir() if self.directory.is_dir() else ()
        return [int(path.name) for path in found if path.name.isdigit()]

    # -- writing ------------------------------------------------------------------------------

    def add(self, numbers: Sequence[int], rows: Rows) -> None:
        """Give pages their vectors; a number that comes again is another piece of its page."""
        seen: Counter[int] = Counter()
        ids = [_id(number, seen.update([number]) or seen[number] - 1) for number in numbers]
        with self._asking():
            for start in range(0, len(ids), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                self._index.upsert(self._id, ids[part], [*rows[part]], None, None, None, *_PLACE)

    def remove(self, numbers: Iterable[int]) -> int:
        """Forget pages; how many further pieces they had."""
        with self._asking():
            gone = [name for names, _ in self._found(numbers) for name in names]
            for start in range(0, len(gone), _AT_ONCE):
                self._index.delete(
                    self._id, gone[start : start + _AT_ONCE], None, None, None, *_PLACE
                )
            self._empty = True
        return sum(not name.isdigit() for name in gone)

    # -- reading ------------------------------------------------------------------------------

    def count(self) -> int:
        """How many vectors there are: of pages, and of further pieces."""
        with self._asking():
            return int(self._index.count(self._id, *_PLACE))

    def size(self) -> int:
        """How many numbers a vector has; 0 where there is none yet."""
        if not self._size:
            with self._asking():
                _, found = self._get(most=1, rows=True)
            self._size = len(found[0]) if len(found) else 0
        return self._size

    def numbers(self) -> set[int]:
        """The pages that have a vector."""
        with self._asking():
            return {int(name) for name in self._get()[0] if name.isdigit()}

    def nearest(self, row: Any, most: int, besides: Collection[int] = ()) -> dict[int, float]:
        """The nearest pages and their cosines, nearest first; but for some."""
        near: dict[int, float] = {}
        asked = most
        while True:
            found = self._nearest(row, asked)
            for name, distance in found:
                if (number := _number(name)) not in besides:
                    near.setdefault(number, 1.0 - float(distance))
            if len(near) >= most or len(found) < asked:
                return dict(list(near.items())[:most])
            asked *= 2

    def _nearest(self, row: Any, most: int) -> list[tuple[str, float]]:
        with self._asking():
            if self._empty:
                self._empty = not self.count()
            if self._empty:
                return []
            found = self._index.query(
                self._id, None, [row], most, None, None, ["distances"], *_PLACE
            )
        return list(zip(found.ids[0], found.distances[0], strict=True))

    def rows(self, numbers: Iterable[int]) -> dict[int, list[Any]]:
        """The vectors of pages, one for each piece; pages that have none are left out."""
        rows: dict[int, list[Any]] = {}
        with self._asking():
            for names, found in self._found(numbers, rows=True):
                for name, row in zip(names, found, strict=True):
                    rows.setdefault(_number(name), []).append(row)
        return rows

    def _found(
        self, numbers: Iterable[int], *, rows: bool = False
    ) -> Iterator[tuple[list[str], Any]]:
        """What there is of pages, in parts: first pieces, the second, two more, four more, ..."""
        wanted, pieces = list(numbers), range(1)
        while wanted:
            ids = [_id(number, piece) for number in wanted for piece in pieces]
            there: set[str] = set()
            for start in range(0, len(ids), _AT_ONCE):
                found = self._get(ids[start : start + _AT_ONCE], rows=rows)
                there.update(found[0])
                if found[0]:
                    yield found
            wanted = [number for number in wanted if _id(number, pieces[-1]) in there]
            pieces = range(pieces.stop, 2 * pieces.stop)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._thread:
            try:
                yield
            except Exception as error:
                if type(error).__name__ != "InternalError":  # chromadb's, which is not loaded
                    raise
                raise Damaged(f"the vector index cannot be used: {error}") from error
