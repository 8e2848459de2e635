"""Sessions without a terminal: consoles on a scripted engine, and what they tell."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nlpu.runtime import Budget
from nlpu.runtime.terminal.repl.console import Console, Settings
from nlpu.testing.scripted import Scripted, Seen


def last_line(seen: Seen) -> str:
    """The line that was said, or what else was asked."""
    return (seen.chat[-1].text if seen.chat else seen.instruction).rpartition("\n\n")[2]


def short(seen: Seen) -> str:
    """An answer that shows the line and the values that were read."""
    told = last_line(seen).splitlines()[0]
    return f"<{told}{''.join('|' + text for text in seen.operands.values())}>"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Opened = Callable[..., Console]


@pytest.fixture
def opened(place: Path) -> Iterator[Opened]:
    """Opens consoles, on a scripted engine, and closes them."""
    consoles: list[Console] = []

    def opener(
        engine: Any = None,
        *,
        run_dir: str = "runs",
        resume: str | None = None,
        calls: int | None = None,
        is_terminal: bool = False,
    ) -> Console:
        engine = engine if isinstance(engine, Scripted) else Scripted(engine or short)
        most = Budget(calls=calls)
        console = Console(
            Settings(engine, None, place / run_dir, most, is_terminal=is_terminal, again=most)
        )
        consoles.append(console)
        console.begin(resume)
        return console

    yield opener
    for console in consoles:
        console.close()


def told(console: Console, capsys: pytest.CaptureFixture[str], *lines: str) -> tuple[str, str]:
    """What lines print, on stdout and on stderr."""
    capsys.readouterr()
    for line in lines:
        console.do(line)
    out = capsys.readouterr()
    return out.out, out.err


def grave(place: Path) -> str:
    """A copy of the journal as a kill now would leave it."""
    shutil.copytree(place / "runs", place / "grave")
    return next((place / "grave").glob("*.db")).stem
