"""How long a person waits: the first sign on the terminal, and the first useful words.

    python benchmarks/first_words.py

Each command runs on a terminal of its own (a pty), three times; the fastest counts, since a busy
machine only adds to it. A sign is the notice, which says what the command waits for. What follows
the last erased notice is useful: an answer's first token, a table, an error.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from nlpu.runtime.terminal.notice import ERASE

NLPU = [sys.executable, "-m", "nlpu.runtime.terminal"]
ROUNDS, PATIENCE_S = 3, 120
COMMANDS = [
    "--help",
    "--version",
    "runs",
    "show nosuch",
    "doctor",
    "run ask Hi --engine scripted",
    "run ask Hi",
    "repl",
    "memory ingest notes --store memory",
    "memory search mill --store memory",
]


def waited(words: list[str], place: Path) -> tuple[float, float]:
    """Seconds to the first byte, and to the first one that is not of a notice."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    began, seen, first, useful = time.monotonic(), b"", 0.0, 0.0
    with subprocess.Popen(
        [*NLPU, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=place,
        env={**os.environ, "TERM": "xterm"},
    ) as running:
        os.close(theirs)
        while not useful and time.monotonic() - began < PATIENCE_S:
            if not select.select([ours], [], [], 0.01)[0]:
                continue
            try:
                seen += os.read(ours, 65536)
            except OSError:
                break
            first = first or time.monotonic() - began
            rest = seen.rpartition(ERASE)[2].strip()
            if rest and not rest.endswith(b"..."):
                useful = time.monotonic() - began
        running.kill()
    os.close(ours)
    return first, useful


def main() -> None:
    """Print the table."""
    print(f"{'command':40} {'sign':>6} {'useful':>7}")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "notes").mkdir()
        (place / "notes" / "mill.txt").write_text("Ann built the mill by the river in 1880.\n")
        for command in COMMANDS:
            found = [waited(command.split(), place) for _ in range(ROUNDS)]
            sign, useful = (min(each) for each in zip(*found, strict=True))
            print(f"{'nlpu ' + command:40} {sign:6.2f} {useful:7.2f}", flush=True)


if __name__ == "__main__":
    main()
