"""Workers as processes of this machine.

Rules
1. A worker outlives whoever began it: it has a session of its own, and ends when the batch does.
2. The database's URL, which may have a password, is told by the environment: processes' arguments
   can be seen by others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nlpu.owner_only import make_dir, make_file
from nlpu.runtime.journal.where import Database


class Processes:
    """Begins workers, and tells which have ended. ``logs``: a folder for what they say."""

    def __init__(
        self, database: Database, stem: str, logs: Path, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._stem, self.logs, self._now = database, stem, logs, now
        self._all: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, seal: str) -> None:
        """Begin one."""
        make_dir(self.logs)
        log = self.logs / f"{self._stem}-{name}.log"
        make_file(log)
        roots = [str(Path(__file__).parents[4]), os.environ.get("PYTHONPATH", "")]
        words = ["-P", "-m", "nlpu.runtime.fleet.workers", self._stem, name, seal]
        with log.open("ab") as out:
            self._all[name] = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={
                    **os.environ,
                    "NLPU_RUN_DIR": self._database.url,
                    "PYTHONPATH": os.pathsep.join(filter(None, roots)),
                },
            )

    def ended(self) -> dict[str, str]:
        """Give those that have ended since: how, where that was not in order; their logs say it."""
        done = {name: each.poll() for name, each in self._all.items()}
        found = {name: _how(code) for name, code in done.items() if code is not None}
        for name, how in found.items():
            del self._all[name]
            if how:
                with suppress(OSError), Path(self.where(name)).open("a") as log:
                    log.write(f"this process ended with {how}\n")
        return found

    @property
    def live(self) -> set[str]:
        """Those that have not."""
        return set(self._all)

    def where(self, name: str) -> str:
        """Say where its log is."""
        return str(self.logs / f"{self._stem}-{name}.log")

    def close(self, wait_s: float) -> None:
        """Wait for them to end; who does not is ended."""
        end_s = self._now() + wait_s
        for each in self._all.values():
            with suppress(subprocess.TimeoutExpired):
                each.wait(max(end_s - self._now(), 0))
            if each.poll() is None:
                each.terminate()
        self._all.clear()


def _how(code: int) -> str:
    """Name what a process ended with; "" where it was in order."""
    if code >= 0:
        return f"exit code {code}" if code else ""
    with suppress(ValueError):
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"signal {-code}"
