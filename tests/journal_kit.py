"""Journals of other people, for tests: rows that were changed, and a server that hears keys."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from kit import computer, finish, said

from nlpu.runtime.journal.buffered import link
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import RunLog, text_hash
from nlpu.runtime.journal.witness import SLOT_BYTES, Record, decode, encode, side_of
from nlpu.runtime.loader import load
from nlpu.runtime.naming import described
from nlpu.runtime.scheduler.budget import Budget

Rows = list[list[Any]]
RUNS = Path(".nlpu/runs")
_OTHER = Record(0, b"another boot id.", 0, 0, bytes(8), bytes(8))
PROGRAM = '''
from pathlib import Path
from nlpu import nlop
Path(__file__).with_name("ran").touch()


@nlop
def echo(text: str) -> str:
    """Echo."""


def go(text: str):
    return echo(echo(text))
'''


class Opened(Journal):
    """A journal with all its runs, for tests, which write what no run would."""

    @property
    def texts(self) -> dict[int, str]:
        """The texts of its first run that were read."""
        return self.found[1].texts

    def append(self, kind: str, run: int = 1, *rest: Any, sync: bool = False) -> None:
        """Buffer a row."""
        RunLog(self, run).append(kind, *rest, sync=sync)

    def number(self, text: str) -> int:
        """Number a text of the first run."""
        return RunLog(self, 1).text(text)


def forge(path: Path, change: Callable[[Rows], Rows | None]) -> None:
    """Change a journal's rows, with checksums that hold: anybody who has the file can."""
    with closing(sqlite3.connect(path)) as db:
        kept = db.execute("SELECT texts, body FROM log ORDER BY seq").fetchall()
        rows = [json.loads(body) for _, body in kept]
        rows = change(rows) or rows
        chain, most = bytes(8), kept[-1][0]
        db.execute("DELETE FROM log")
        for seq, row in enumerate(rows, 1):
            body = json.dumps(row).encode()
            chain = link(chain, seq, most, body)
            db.execute("INSERT INTO log VALUES (?,?,?,?)", (seq, most, body, chain))
        db.commit()
    side_of(path).unlink(missing_ok=True)  # who sends a journal need not send it


def forge_texts(path: Path, old: str, new: str) -> None:
    """Put other words into a journal's texts."""
    with closing(sqlite3.connect(path)) as db:
        for number, body in db.execute("SELECT id, body FROM text").fetchall():
            other = body.replace(old.encode(), new.encode())
            db.execute(
                "UPDATE text SET hash = ?, body = ? WHERE id = ?", (text_hash(other), other, number)
            )
        db.commit()


def rebooted(side: bytes) -> bytes:
    """A side record as another boot of the machine would have left it."""
    changed = bytearray(side)
    for start in (0, 512):
        record = decode(side[start : start + SLOT_BYTES])
        if record is not None:
            slot = encode(record._replace(boot=_OTHER.boot))
            changed[start : start + len(slot)] = slot
    return bytes(changed)


def headers(rows: Rows) -> Iterator[dict[str, Any]]:
    """The headers of a journal's runs."""
    return (row[2] for row in rows if row[0] == "run")


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server that answers nothing useful; its URL, and the Authorization of each request."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("Authorization", "none"))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(404)

        do_POST = do_GET  # noqa: N815  (its name is http.server's)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def begun_at(url: str, path: Path) -> str:
    """A run of this user's that stopped, as if it had been begun with ``--engine URL``."""
    (path / "p.py").write_text(PROGRAM)
    spec = f"{path / 'p.py'}:go"
    with computer(said, run_dir=RUNS) as machine:
        can = described(next(iter(machine.processors.values())).capabilities)
        header = {"program": spec, "engine": url, "model": None, "can": can}
        program = load(spec).function
        run = finish(machine.start(program, "What?", header=header, budget=Budget(calls=1)))
    (path / "ran").unlink()
    return run.name
