"""Warnings of the project as notes: in one line, and each text once a command.

A run warns for itself, since what another was told it has not been (``PoorJudge``). A command may
make thousands of runs, and its person wants to know it once. What libraries warn of is shown as
Python shows it.
"""

from __future__ import annotations

import warnings
from typing import Any

from nlpu.runtime.terminal.output import say


def note_warnings() -> None:
    """Show the project's warnings as notes from now on."""
    others, noted = warnings.showwarning, set[str]()

    def show(message: Any, category: type[Warning], file: str, line: int, *rest: Any) -> None:
        if not category.__module__.startswith("nlpu."):
            others(message, category, file, line, *rest)
            return
        text = str(message) if line == 0 else f"{file}:{line}: {message}"
        if text not in noted:
            noted.add(text)
            say(f"note: {text}")

    warnings.showwarning = show
