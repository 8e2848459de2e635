"""Ownership of a file or directory: an advisory lock that dies with its process.

Who only asks whether there is an owner shares the lock for a moment. That is no owner: it is tried
again.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from nlpu.errors import RunBusy

_TRIES = 100
_PAUSE_S = 0.001


class Lock:
    """Taken when made. Raises RunBusy with the owner's process id, OSError where it cannot be."""

    def __init__(self, path: Path, busy: str) -> None:
        """``busy`` is the message if another has it; ``{owner}`` is filled in: "process 123"."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(self._fd)
        except OSError as error:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            known = {"": "another process", str(os.getpid()): f"process {owner}, which is this one"}
            raise RunBusy(  # "": it has not signed yet
                busy.format(owner=known.get(owner, f"process {owner}"))
            ) from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock up. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _take(fd: int) -> None:
    """Raises OSError where another has it, or where it is looked at all the time."""
    for _ in range(_TRIES):
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # raises where it is owned
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(_PAUSE_S)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
