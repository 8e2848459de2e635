"""Ownership of a file or directory: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nlpu.errors import RunBusy


class Lock:
    """Taken when made. Raises RunBusy with the owner's process id, OSError where it cannot be."""

    def __init__(self, path: Path, busy: str) -> None:
        """``busy`` is the message if another process has it; ``{owner}`` is filled in."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise RunBusy(busy.format(owner=owner)) from error
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
