"""The first moment of a command: what a person sees, and what is not loaded for it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pyte
import pytest
from house_kit import fresh
from terminal_fixture import COMMAND, environment

HEAVY = (
    "torch",
    "transformers",
    "chromadb",
    "numpy",
    "networkx",
    "xllamacpp",
    "tokenizers",
    "huggingface_hub",
    "matplotlib",
    "mcp",
    "onnxruntime",
    "jinja2",
)
LATER = (
    "typer",
    "rich",
    "pydantic",
    "asyncio",
    "sqlite3",
    "aiohttp",
    "greenlet",
    "nlpu.ops.op",
    *HEAVY,
)
LIGHT = [
    "--version",
    "--help",
    "run --help",
    "runs",
    "show nosuch",
    "resume nosuch",
    "run nosuch",
    "run ask Hi --engine scripted",
    "memory --help",
    "bench --help",
    "doctor",
]


def test_a_command_is_acknowledged_before_anything_is_loaded() -> None:
    """What stands before the notice is imported with this module, and it is nothing."""
    told = fresh(
        "import sys; import nlpu.runtime.terminal.__main__\n"
        f"print([name for name in {LATER!r} if name in sys.modules])"
    )
    assert told == "[]"


@pytest.mark.parametrize("command", LIGHT)
def test_what_needs_no_model_loads_none(command: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom nlpu.runtime.terminal.app import main\n"
        f"try:\n    main({command.split()!r})\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def at_terminal(
    cwd: Path, *words: str, columns: int = 200, term: str = "xterm", stdout: int | None = None
) -> bytes:
    """All that a command writes to a terminal, which is its stderr, and its stdout if not given."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    seen = b""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        cwd=cwd,
        env=environment(TERM=term),
    ):
        os.close(theirs)
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:
            pass  # so a terminal ends whose process has
    os.close(ours)
    return seen


def screen(seen: bytes, columns: int = 200) -> list[str]:
    """What stands on the terminal then."""
    shown = pyte.Screen(columns, 24)
    pyte.ByteStream(shown).feed(seen)
    return [line.rstrip() for line in shown.display if line.strip()]


def test_the_notice_comes_first_and_goes_with_the_first_words(tmp_path: Path) -> None:
    seen = at_terminal(tmp_path, "run", "ask", "Hi", "--engine", "scripted")
    assert seen.startswith(b"nlpu run ask: loading ...\r\x1b[Kopening the processor ...\r\x1b[K")
    answer, receipt = screen(seen)
    assert receipt.startswith("run ") and "..." not in answer
    seen = at_terminal(tmp_path, "show", "nosuch")
    assert seen.startswith(b"nlpu show nosuch: loading ...\r\x1b[Kerror: no run")


def test_a_command_that_says_nothing_there_leaves_none(tmp_path: Path) -> None:
    seen = at_terminal(tmp_path, "runs", "--json", stdout=subprocess.DEVNULL)
    assert seen == b"nlpu runs: loading ...\r\x1b[K"


@pytest.mark.parametrize("word", ["x" * 300, "\x1b[31mred", "a\nb"])
def test_a_notice_is_one_line_and_drives_nothing(tmp_path: Path, word: str) -> None:
    seen = at_terminal(tmp_path, "run", word, columns=40)
    head = seen.partition(b"\r\x1b[K")[0]
    assert len(head) < 40 and b"\x1b" not in head and b"\n" not in head
    assert head.startswith(b"nlpu run")


@pytest.mark.parametrize("words", [("--version",), ("run", "--help"), ("-h",)])
def test_what_prints_at_once_has_no_notice(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert b"loading" not in at_terminal(tmp_path, *words)


def test_a_terminal_that_erases_nothing_gets_no_notice(tmp_path: Path) -> None:
    assert at_terminal(tmp_path, "show", "nosuch", term="dumb").startswith(b"error: no run")


def test_a_pipe_gets_no_notice(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "run", "ask", "Hi", "--engine", "scripted"],
        cwd=tmp_path,
        check=True,
        env=environment(TERM="xterm"),
        capture_output=True,
        timeout=60,
    )
    assert done.stderr.startswith(b"run ") and b"\x1b" not in done.stdout + done.stderr


def test_a_version_is_said(tmp_path: Path) -> None:
    seen = at_terminal(tmp_path, "--version")
    python = ".".join(map(str, sys.version_info[:3]))
    assert seen.startswith(b"nlpu ") and seen.endswith(f"(Python {python})\r\n".encode())
