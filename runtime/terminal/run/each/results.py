"""The results of a batch: a file that is whole or not there, or stdout.

Theory of operation
-------------------
Lines are written into ``FILE.part`` beside the file, which takes its place when the last input has
its line. They follow from what is kept of the batch: whatever a kill left there is written anew.

Rules
1. Under its own name the file holds every input's line, or is not there (or is of before).
2. One process writes a part.
3. A file that is not this batch's is not written over.
"""

from __future__ import annotations

import fcntl
import os
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nlpu.errors import RunBusy, StorageFailed, Usage
from nlpu.runtime.terminal.output import write


class Results:
    """Where lines go; without a path that is stdout. Raises Usage, RunBusy."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and path.is_symlink():  # it stays one
            path = Path(os.path.realpath(path))
        self.path = path
        if path is None:
            return
        is_other = os.path.lexists(path) and not path.is_file()
        if is_other or path.name in ("", "-"):
            raise Usage(f"--out: {path} is not a file; name one to be written")
        self.part = path.with_name(f"{path.name}.part")
        try:
            self._file: Any = _owned(self.part)
        except OSError as error:
            raise Usage(
                f"--out: cannot write {path}: {error.strerror}; name another place"
            ) from None
        self._file.truncate(0)
        self._file.seek(0)  # else it would tell where its end was: see close

    def check(self, known: list[str]) -> None:
        """Refuse a file that is there and has none of those digests. Raises Usage (rule 3)."""
        if self.path is not None and self.path.exists() and digest_of(self.path) not in known:
            raise Usage(
                f"--out: {self.path} is there, and not as this batch left it (another program, "
                "model or input made it, or somebody changed it); name another file, or move it "
                "away"
            )

    def write(self, lines: list[str]) -> None:
        """Write lines. Raises StorageFailed."""
        text = "".join(f"{line}\n" for line in lines)
        if self.path is None:
            if text:
                _to_stdout(text)
            return
        try:
            self._file.write(text.encode(errors="backslashreplace"))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def sealed(self) -> str:
        """Make what was written last; gives its digest. Raises StorageFailed."""
        if self.path is None:
            return ""
        try:
            os.fsync(self._file.fileno())
            return digest_of(self.part)
        except OSError as error:
            raise self._failed(error) from None

    def finish(self) -> None:
        """Put the file in its place. Raises StorageFailed."""
        if self.path is None:
            return
        try:
            if self.path.exists():
                self.part.chmod(stat.S_IMODE(self.path.stat().st_mode))
            self.part.replace(self.path)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Let go of it; nothing is left where nothing was written."""
        if self.path is not None:
            if not self._file.tell():
                self.part.unlink(missing_ok=True)
            self._file.close()

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            f"cannot write {self.path}: {error.strerror}; make room or name another --out: what "
            "was answered is kept"
        )


def _to_stdout(text: str) -> None:
    """Raises StorageFailed: a batch that nobody reads any more is told of, as it has cost much."""
    try:
        write(text)
    except OSError as error:
        is_gone = isinstance(error, BrokenPipeError)
        why = "who reads stdout has gone" if is_gone else f"stdout: {error.strerror}"
        raise StorageFailed(
            f"results cannot be written any more ({why}); what was answered is kept, and the same "
            "command gives all results: send them to a file, > FILE"
        ) from None


def _owned(part: Path) -> Any:
    """Open a part that no other process writes (rule 2). Raises OSError, RunBusy."""
    while True:
        file = open(part, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise RunBusy(
                f"--out: another process is writing {part}; wait for it, or name another file"
            ) from None
        here = os.fstat(file.fileno())
        if part.exists() and os.path.samestat(here, part.stat()):
            return file
        file.close()  # its owner has put it in its place meanwhile


def digest_of(path: Path) -> str:
    """Tell a file of results from another."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
