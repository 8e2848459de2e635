"""Files for their owner alone: made 0600, their directories 0700, whatever the umask is.

Theory of operation
-------------------
Journals, memories, reports and saved sessions hold what people wrote and what models answered, so
nobody else may read them unless their owner says so. SQLite gives its ``-wal`` and ``-shm`` the
mode of their database: it is enough that the database is made here before SQLite opens it.

Rules
1. What is there already keeps its mode: it is never widened, and who has shared it meant to.
   ``nlpu doctor`` names what others can read.
2. All errors are the operating system's own; callers say what could not be done.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FILE, _DIR, _OTHERS = 0o600, 0o700, 0o077


def make_dir(path: Path) -> None:
    """Make a directory and those above it that are missing; one that is there is left as it is."""
    if path.is_dir():
        return
    if path.parent != path:
        make_dir(path.parent)
    try:
        os.mkdir(path, _DIR)
    except FileExistsError:
        if not path.is_dir():  # else another process was faster
            raise
    else:
        os.chmod(path, _DIR)  # an umask may have taken from it


def make_file(path: Path) -> None:
    """Make an empty file, for whoever opens it next; one that is there is left as it is."""
    with suppress(FileExistsError):
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE)
        try:
            os.fchmod(made, _FILE)
        finally:
            os.close(made)


def narrow(directory: Path) -> None:
    """Take others' rights from what a library has made in a directory, if that is private itself.

    Who has opened the directory to others decides about what is in it, too.
    """
    if not directory.is_dir() or directory.stat().st_mode & _OTHERS:
        return
    for path in open_to_others(directory):
        with suppress(FileNotFoundError):  # a temporary file of SQLite's
            path.chmod(path.stat().st_mode & ~_OTHERS & 0o7777)


def open_to_others(directory: Path) -> Iterator[Path]:
    """Give what others may read or write in a directory and below; no links."""
    for folder, _, files in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            with suppress(OSError):
                mode = path.lstat().st_mode
                if mode & _OTHERS and not stat.S_ISLNK(mode):
                    yield path
