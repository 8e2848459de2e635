"""Labels of files: what programs wrote is known again when it is read, in this run or a later one.

Theory of operation
-------------------
Beside the files of a folder, in ``.nlpu-labels``, is a record for each that was written on the word
of somebody below the user: the label of its text and that of its name. It is found from whatever
root the folder is opened, moves with it, and has no lines for the user's own files.

    write    record the worse of old and new  ->  the text is moved in place  ->  record the new
    read     text  ->  record  ->  the file is still that one, or both are read again

Rules
1. A kill at any point leaves a record that is too low, never one too high.
2. A record that cannot be read is untrusted; that of a file that somebody else has changed stays.
   Deleting it says that the file is one's own.
3. Two that write at once take turns where there are records; where there are none, neither can
   take away the other's.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from nlpu.label import UNTRUSTED, USER, Label, join, label_of, label_text

PLACE = ".nlpu-labels"
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_MOST_BYTES = 100_000


class Wrote(NamedTuple):
    """On whose word a file is what it is, and is called what it is called."""

    text: Label = USER
    name: Label = USER


UNKNOWN = Wrote(UNTRUSTED, UNTRUSTED)


def record_of(folder: int, name: str) -> Wrote:
    """The record of a file or folder; the user's where there is none."""
    try:
        place = os.open(PLACE, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return Wrote()
    except OSError:
        return UNKNOWN
    try:
        return _read(place, name)
    finally:
        os.close(place)


def names_label(folder: int, names: set[str]) -> Label:
    """The label of a list of these names in the folder."""
    try:
        place = os.open(PLACE, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return USER
    except OSError:
        return UNTRUSTED
    label = USER
    try:
        for name in names.intersection(os.listdir(place)):
            label = join(label, _read(place, name).name)
    finally:
        os.close(place)
    return label


@contextmanager
def writing(folder: int, name: str, wrote: Wrote) -> Iterator[None]:
    """Write a file inside of this, and its label is kept (rules 1 and 3)."""
    with _place(folder, make=wrote != Wrote()) as place:
        if place is None:
            yield
            return
        before = _read(place, name)
        worse = Wrote(join(before.text, wrote.text), join(before.name, wrote.name))
        _write(place, name, worse)
        yield
        _write(place, name, wrote)


@contextmanager
def _place(folder: int, *, make: bool) -> Iterator[int | None]:
    """The folder of records, for this writer alone; None where there is none."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(PLACE, dir_fd=folder)
    try:
        place = os.open(PLACE, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(place, fcntl.LOCK_EX)
        yield place
    finally:
        os.close(place)


def _read(place: int, name: str) -> Wrote:
    try:
        record = os.open(name, _FILE, dir_fd=place)
    except FileNotFoundError:
        return Wrote()
    except OSError:
        return UNKNOWN
    try:
        said = json.loads(os.read(record, _MOST_BYTES))
        return Wrote(label_of(said["text"]), label_of(said["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        return UNKNOWN
    finally:
        os.close(record)


def _write(place: int, name: str, wrote: Wrote) -> None:
    if wrote == Wrote():
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=place)
            os.fsync(place)
        return
    beside = f".{secrets.token_hex(8)}.part"
    said = {"text": label_text(wrote.text), "name": label_text(wrote.name)}
    record = os.open(beside, _NEW, 0o600, dir_fd=place)  # it may name people
    try:
        os.write(record, json.dumps(said).encode())
        os.fsync(record)
    finally:
        os.close(record)
    os.rename(beside, name, src_dir_fd=place, dst_dir_fd=place)
    os.fsync(place)
