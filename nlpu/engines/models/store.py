"""Our own cache: where it is, hashes noted in it, room for what is to come.

Theory of operation
-------------------
A model file is known by its sha256, which takes seconds to compute. So it is computed once and
noted in the cache under the file's path, size and time of change.

Rules
1. A file that differs from what is expected of it is an error that names both hashes; it is never
   handed on.
2. The notes only save time: lost, damaged or unwritable, everything is computed again.
3. Whatever is written here is written beside its place and renamed into it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpu.errors import MissingPart, StorageFailed

_CHUNK = 4 << 20
_ELSEWHERE = "or name another folder in NLPU_CACHE (HF_HOME for what comes from the hub)"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download or a check has come."""

    what: str
    done_bytes: int
    total_bytes: int


Tell = Callable[[Progress], None]


def cache_dir() -> Path:
    """Name the folder for what we keep: $NLPU_CACHE, or nlpu in the user's cache folder."""
    own = os.environ.get("NLPU_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.abspath(os.path.expanduser(own or f"{shared}/nlpu")))


# -- hashes ---------------------------------------------------------------------------------


def checked(path: Path, expected: str = "", tell: Tell | None = None) -> str:
    """Return a file's sha256, from the notes if they have it. Raises MissingPart.

    expected: the only sha256 that will do, where it is known.
    """
    try:
        found = _noted(path) or _compute(path, tell)
    except OSError as error:
        raise MissingPart(
            f"{path} cannot be read ({error.strerror}): see to its permissions, or name another"
        ) from error
    if expected and found != expected:
        raise MissingPart(
            f"{path.resolve()} is damaged or another file: its sha256 is {found}, expected was "
            f"{expected}; delete it and fetch the model again"
        )
    return found


def checked_parts(folder: Path, hashes: Mapping[str, str], tell: Tell | None = None) -> str:
    """Return the sha256 of what ``sha256sum`` prints of a folder's files. Raises MissingPart.

    hashes: the files' names, each with the only sha256 that will do, "" where it is not known.
    """
    lines = [f"{checked(folder / file, hashes[file], tell)}  {file}\n" for file in sorted(hashes)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def note_hash(path: Path, sha256: str) -> None:
    """Note a hash that was just computed, so that the file need not be read again."""
    book = cache_dir() / "checksums.json"
    write_json(book, read_json(book) | {str(path): [*_stamp(path), sha256]})


def _compute(path: Path, tell: Tell | None) -> str:
    before, done, digest = _stamp(path), 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if tell is not None:
                tell(Progress(f"checking {path.name}", done, before[0]))
    if before == _stamp(path):  # else somebody wrote to it meanwhile
        note_hash(path, digest.hexdigest())
    return digest.hexdigest()


def _noted(path: Path) -> str:
    stamp, note = _stamp(path), read_json(cache_dir() / "checksums.json").get(str(path))
    if not (isinstance(note, list) and len(note) == 3 and tuple(note[:2]) == stamp):
        return ""
    return note[2] if isinstance(note[2], str) else ""


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


# -- small files ----------------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """Read a file's JSON object; one that is absent or damaged is empty."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object in one step; where that is not possible, do without (rule 2)."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a small file in one step, or not at all."""
    beside = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


# -- room -----------------------------------------------------------------------------------


def need_room(place: Path, size: int) -> None:
    """Raise StorageFailed if a folder that is to hold so many bytes has no room for them."""
    there = next(folder for folder in (place, *place.parents) if os.path.isdir(folder))
    free = shutil.disk_usage(there).free
    if free < size:
        raise StorageFailed(
            f"{place} has room for {megabytes(free)}, and {megabytes(size)} are needed: "
            f"free some, {_ELSEWHERE}"
        )


@contextmanager
def storing(place: Path) -> Iterator[None]:
    """Turn what the disk objects to while a place is written into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise storage_failure(error, place) from error


def storage_failure(error: OSError, place: Path) -> StorageFailed:
    """Say what the disk objected to, and what to do about it."""
    if error.errno in _FULL:
        return StorageFailed(f"the disk of {place} is full: free some of it, {_ELSEWHERE}")
    what, why = error.filename or place, error.strerror or str(error)
    return StorageFailed(f"{what} cannot be used ({why}): see to its permissions, {_ELSEWHERE}")


def megabytes(size: int) -> str:
    """Write a size in megabytes, for people."""
    return f"{size / 1e6:,.0f} MB"
