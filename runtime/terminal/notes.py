"""Warnings of the project as notes: in one line, and each text once a command.

A run warns for itself, since what another was told it has not been (``PoorJudge``). A command may
make thousands of runs, and its person wants to know it once. What libraries warn of is shown as
Python shows it.
"""

from __future__ import annotations

import warnings
from typing import TextIO

from nlpu.runtime.terminal.output import say


def note_warnings() -> None:
    """Show the project's warnings as notes from now on."""
    others, noted = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not category.__module__.startswith("nlpu."):
            others(message, category, filename, lineno, file=file, line=line)
            return
        text = f"{filename}:{lineno}: {message}" if lineno else str(message)
        if text not in noted:
            noted.add(text)
            say(f"note: {text}")

    warnings.showwarning = show
