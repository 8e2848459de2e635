"""What stores of runs have in common: numbers, chains, the buffer, and checks of what is read.

A store on top of it says how a batch is written and how rows are read. What it promises, and the
rules that are named here, are in ``store``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from nlpu.errors import JournalDamaged
from nlpu.runtime.journal.store import Found, Row, text_bytes, text_hash
from nlpu.runtime.journal.where import Where

CHAIN_BYTES: Final = 8
_SHIFT: Final = 32  # of a run's number in a place
_MASK: Final = (1 << _SHIFT) - 1
_loads = json.JSONDecoder().decode


def link(previous: bytes, seq: int, texts: int, body: bytes) -> bytes:
    """Chain a row: a checksum of all before it in its run, and of the number of texts by then."""
    whole = b"%b%d:%d:%b" % (previous, seq, texts, body)
    return blake2b(whole, digest_size=CHAIN_BYTES).digest()


def place(run: int, number: int) -> int:
    """Make one number of a run's and of that of a thing in it; for the first run it is the same."""
    return ((run - 1) << _SHIFT) | number


def run_at(where: int) -> int:
    """Tell whose place it is."""
    return (where >> _SHIFT) + 1


class Space:
    """Where numbers and chain of a run are: at its end. Runs of an old file have one together."""

    __slots__ = ("base", "chain", "ids", "kept", "marked", "met", "rows", "run", "taken")

    def __init__(self, run: int) -> None:
        self.run, self.base = run, place(run, 0)
        # At the end of what is buffered, of the batch that is under way, of what is durable.
        self.chain = self.taken = self.kept = bytes(CHAIN_BYTES)
        self.marked = False  # whether it has rows in the buffer
        self.ids: dict[bytes, int] = {}
        self.rows = self.met = 0  # that were read, and texts


class Batch(NamedTuple):
    """What one flush makes durable: rows (seq, texts, body, chain), texts (place, name, body)."""

    rows: list[tuple[int, int, bytes, bytes]]
    texts: list[tuple[int, bytes, bytes]]
    sync: bool
    spaces: list[Space]  # that have rows in it


class Buffered:
    """Numbers, chains and buffer of a store (see the module)."""

    keeps = True
    read_only = False
    path: Where | None = None
    joint = False  # whether all runs have one chain, and texts one numbering: an old file's

    def __init__(self) -> None:
        self.spaces: dict[int, Space] = {}
        self.found: dict[int, Found] = defaultdict(lambda: Found([], {}))
        self._seq = self._kept_seq = 0
        self._sync = False
        self._new_rows: list[tuple[int, int, bytes, bytes]] = []
        self._new_texts: list[tuple[int, bytes, bytes]] = []
        self._marked: list[Space] = []

    # -- writing ----------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether anything waits for a flush."""
        return bool(self._new_rows or self._new_texts)

    def text(self, run: int, text: str, name: bytes) -> int:
        """Number a text of a run, stored once."""
        try:
            space = self.spaces[run]
        except KeyError:
            space = self.space_of(run)
        found = space.ids.get(name)
        if found is None:
            found = space.ids[name] = len(space.ids) + 1
            self._new_texts.append((space.base | found, name, text_bytes(text)))
        return found

    def write(self, run: int, row: str, *, sync: bool = False) -> None:
        """Buffer a row."""
        try:
            space = self.spaces[run]
        except KeyError:
            space = self.space_of(run)
        body = row.encode("utf-8", "backslashreplace")  # as JSON escapes
        texts = space.base | len(space.ids)
        self._seq += 1
        space.chain = chain = link(space.chain, self._seq, texts, body)
        self._new_rows.append((self._seq, texts, body, chain))
        if not space.marked:
            space.marked = True
            self._marked.append(space)
        if sync:
            self._sync = True

    def space_of(self, run: int) -> Space:
        """Find where a run goes on: an old one is read first."""
        home = 1 if self.joint else run
        if home not in self.spaces:
            self.spaces[home] = self._end_of(home)
        return self.spaces.setdefault(run, self.spaces[home])

    def _end_of(self, run: int) -> Space:
        """Read where a run ends that this store has not read yet."""
        return Space(run)

    def take(self) -> Batch:
        """Hand over all that is buffered."""
        batch = Batch(self._new_rows, self._new_texts, self._sync, self._marked)
        for space in self._marked:
            space.marked, space.taken = False, space.chain
        self._new_rows, self._new_texts, self._marked, self._sync = [], [], [], False
        return batch

    def keep(self, batch: Batch) -> None:
        """Count a batch as durable."""
        if batch.rows:
            self._kept_seq = batch.rows[-1][0]
        for space in batch.spaces:
            space.kept = space.taken

    def keep_all(self) -> None:
        """Count all that is buffered as durable: as ``keep`` of what ``take`` gives, but faster."""
        self._kept_seq = self._seq
        for space in self._marked:
            space.marked, space.kept = False, space.chain
        self._marked.clear()
        self._new_rows.clear()
        self._new_texts.clear()
        self._sync = False

    def drop(self, batch: Batch) -> None:
        """Go back to what is durable: neither the batch nor what is buffered has been (rule 2)."""
        later = self.take()
        for space in (*batch.spaces, *later.spaces):
            space.chain = space.kept
        for where, name, _ in (*batch.texts, *later.texts):
            del self.spaces[run_at(where)].ids[name]
        self._seq = self._kept_seq

    # -- reading ----------------------------------------------------------------------------

    def damage(self, what: str) -> JournalDamaged:
        """Make the error that says what is wrong with it."""
        return JournalDamaged(f"the journal is damaged: {what}. Nothing of it was used")

    def _take(self, texts: Iterable[Any], rows: Iterable[Any]) -> None:
        """Check and keep what was read, in order: of some runs, all of each."""
        for where, name, body in texts:
            self._take_text(where, name, body)
        for seq, where, body, chain in rows:
            self._take_row(seq, where, body, chain)

    def _reading(self, where: int) -> Space:
        run = run_at(where)
        if run not in self.spaces:
            self.spaces[run] = Space(run)
        return self.spaces[run]

    def _take_text(self, where: int, name: bytes, body: bytes) -> None:
        space = self._reading(where)
        if where & _MASK != space.met + 1 or text_hash(body) != name:
            raise self.damage(f"text {where & _MASK} does not match its hash")
        space.met += 1
        self._keep_text(space, name, body)

    def _keep_text(self, space: Space, name: bytes, body: bytes) -> None:
        space.ids[name] = space.met
        self.found[space.run].texts[space.met] = body.decode("utf-8", "surrogatepass")

    def _take_row(self, seq: int, where: int, body: bytes, chain: bytes) -> None:
        space = self._reading(where)
        if chain != link(space.chain, seq, where, body):
            raise self.damage(f"row {space.rows + 1} fails its checksum")
        if where & _MASK > space.met:
            raise self.damage(f"text {space.met + 1} is missing")
        space.rows += 1
        space.chain = space.kept = chain
        try:
            row = _loads(body.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise self.damage(f"row {space.rows} cannot be read: {error}") from error
        self._keep_row(space, row)

    def _keep_row(self, space: Space, row: Row) -> None:
        self.found[space.run].rows.append(row)
