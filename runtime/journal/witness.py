"""The witness: a small file beside a journal that says how much of it there must be.

Theory of operation
-------------------
SQLite reads a write-ahead log up to the first frame that fails, and takes what comes behind it for
the torn end of a power cut. So a flipped bit, a log that was removed or two pages that changed
places can drop rows that had been committed, in silence: an effect whose intent was among them
would be made again. The side record (``<journal>.db-side``) counts the rows after each commit:

    slot    serial, boot id, rows, rows held, end of the chain of each, checksum
    file    two slots, each in a sector of its own, written in turn; the higher serial counts

Rules
1. A slot is written after the commit that it counts: a process killed between the two leaves the
   journal ahead, which is harmless. A reader reads the record before the rows, for the same reason.
2. The row that the record ends at carries the chain's end, or the two do not belong together. So
   does the last of the rows held: a power cut may have taken all after it, and a log of another
   run may have as many rows as were held.
3. Rows held are those that were synced to the disk: by a commit with an effect's intent, by each
   one of a durable journal, by a clean close. That one of them is missing is damage.
4. Rows beyond those may be lost to a power cut, but not to the death of a process. So it is damage
   if they are missing in the boot that wrote the record, and a power cut in another one. Where a
   boot has no id none is the same.
5. A slot that fails its checksum counts as not there; the other one is a commit older, and rule 1
   covers that. Only with an effect's intent is the slot synced as well: each slot names rows that
   were there, so that an older one found after a power cut is as true.
6. What a power cut took is forgotten, in both slots and synced, before a row is written over it:
   else an older slot would name another row.

What is done about damage is ``journal``'s business.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

SUFFIX: Final = ".db-side"
UNKNOWN: Final = bytes(16)  # the id of a boot that has none
_SECTOR: Final = 512  # what a disk writes as a whole
_FIELDS: Final = struct.Struct("<Q16sQQ8s8s")
_SUM_BYTES: Final = 4
_CHAIN_BYTES: Final = 8
SLOT_BYTES: Final = _FIELDS.size + _SUM_BYTES


class Record(NamedTuple):
    """What one slot says."""

    serial: int
    boot: bytes
    rows: int
    held: int
    chain: bytes
    held_chain: bytes


def encode(record: Record) -> bytes:
    """Give a slot's bytes."""
    return _summed(_FIELDS.pack(*record))


def _summed(fields: bytes) -> bytes:
    """Add the checksum: one slot is written for each commit, so a cheap one."""
    return fields + crc32(fields).to_bytes(_SUM_BYTES, "little")


def decode(slot: bytes) -> Record | None:
    """Read a slot; None if its checksum fails."""
    fields = slot[: _FIELDS.size]
    if len(slot) != SLOT_BYTES or slot != _summed(fields):
        return None
    return Record(*_FIELDS.unpack(fields))


@cache
def boot_id() -> bytes:
    """Name this boot of the machine; ``UNKNOWN`` where the system does not."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            found = bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return UNKNOWN
    return found if len(found) == len(UNKNOWN) else UNKNOWN


def side_of(journal: Path) -> Path:
    """Name the side record of a journal."""
    return beside(journal, SUFFIX)


def beside(journal: Path, suffix: str) -> Path:
    """Name a file that belongs to a journal: one for each journal, whatever link names it.

    SQLite names its log so, too.
    """
    real = Path(os.path.realpath(journal)) if journal.is_symlink() else journal
    return real.with_suffix(suffix)


def read(journal: Path) -> Record | None:
    """Read what a journal's side record says; None if there is none that says anything.

    Raises OSError.
    """
    try:
        with open(side_of(journal), "rb", opener=_at_once) as file:
            content = file.read(_SECTOR + SLOT_BYTES)
    except FileNotFoundError:
        return None
    slots = (content[start : start + SLOT_BYTES] for start in (0, _SECTOR))
    return max(filter(None, map(decode, slots)), default=None)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # it may be a pipe


def agrees(record: Record, row: int, chain: bytes) -> bool:
    """Tell whether a row may be the one that a record names (rule 2)."""
    if row == record.held and chain != record.held_chain:
        return False
    return row != record.rows or chain == record.chain


def lost(record: Record, rows: int, boot: bytes) -> str:
    """Say what is missing of a journal with so many rows; "" if that is nothing (rules 3, 4)."""
    same_boot = record.boot == boot != UNKNOWN
    if rows >= (record.rows if same_boot else record.held):
        return ""
    return (
        f"{record.rows - rows} of its {record.rows} rows are missing, "
        "perhaps with what drivers have done"
    )


class Witness:
    """Writes a journal's side record: its owner's."""

    def __init__(self, journal: Path, boot: bytes) -> None:
        """Open nothing yet: see ``take``."""
        self._journal, self._boot = journal, boot
        self._fd = -1
        self._serial = self._held = 0
        self._held_chain = bytes(_CHAIN_BYTES)

    @property
    def is_open(self) -> bool:
        """Whether it was taken and is not closed."""
        return self._fd >= 0

    def take(self, record: Record | None, rows: int, chain: bytes) -> None:
        """Go on from what was read, which has been held against the rows. Raises OSError."""
        self._fd = os.open(side_of(self._journal), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(PermissionError):  # of another user's file
            os.fchmod(self._fd, self._journal.stat().st_mode & 0o666)  # as SQLite does with its own
        anew = record is None or rows < record.rows
        if record is not None:
            self._serial, self._held = record.serial, record.held
            self._held_chain = record.held_chain
        if anew:  # rule 6
            self._put(rows, chain)
        self._put(rows, chain)
        if anew:
            os.fsync(self._fd)

    def note(self, rows: int, chain: bytes, *, held: bool, sync: bool) -> None:
        """Count what was committed (rules 1, 3, 5). Raises OSError."""
        if held:
            self._held, self._held_chain = rows, chain
        self._put(rows, chain)
        if sync:
            os.fsync(self._fd)

    def _put(self, rows: int, chain: bytes) -> None:
        self._serial += 1
        held, its_chain = self._held, self._held_chain
        slot = _summed(_FIELDS.pack(self._serial, self._boot, rows, held, chain, its_chain))
        if os.pwrite(self._fd, slot, self._serial % 2 * _SECTOR) != SLOT_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
