"""What a console is: with what it was opened, its session and run, and what waits at the gate.

Commands that look and edit are handed this, and know nothing of how lines are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlpu.processor import Price
from nlpu.runtime.handle import Run
from nlpu.runtime.journal.where import Place
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.terminal.repl.session import Session
from nlpu.runtime.terminal.run.person import TerminalPerson


@dataclass(frozen=True, slots=True)
class Settings:
    """What sessions are opened with. ``is_terminal``: a person types, and sees what it cost.

    ``again``: what a session that is gone on with may take; None: what it might before.
    """

    engine: Any
    model: str | None
    run_dir: Place
    budget: Budget
    durable: bool = False
    api_key: str | None = None
    is_terminal: bool = False
    person: TerminalPerson | None = None
    again: Budget | None = None
    price: Price | None = None


class State:
    """One console's state; the session changes with ``resume`` and ``edit``."""

    settings: Settings
    session: Session
    run: Run
    gate: Gate
    programs: tuple[str, ...]  # those that can be called by name
