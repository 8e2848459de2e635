"""What says where a journal is: a folder or a database, and in it a file or a seat.

How these are listed, opened and removed is in ``places``.

Rules
1. A database is told (printed, logged, kept) without its password: ``str`` of it has none.
2. What is said of a seat is as it was when it was looked at; ``places.again`` looks anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LEASE_S: Final = 15.0
PATIENCE_S: Final = 30.0
Post = Callable[[Callable[[], None]], object]  # has a step done on somebody's thread


@dataclass(frozen=True)
class Database:
    """A database that keeps journals.

    url: with what opens it. told: the same without a password.
    lease_s: how long a journal stays its owner's who is not heard of. patience_s: how long a commit
    is tried where the server does not answer.
    """

    url: str = field(repr=False)
    told: str
    has_password: bool = False
    lease_s: float = LEASE_S
    patience_s: float = PATIENCE_S

    def __str__(self) -> str:
        return self.told


@dataclass(frozen=True)
class Seat:
    """One journal of a database (rule 2). ``owned``: by a process that may be alive."""

    database: Database
    stem: str
    changed_s: float = field(default=0.0, compare=False)
    owned: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.stem} in {self.database}"


Place = Path | Database
Where = Path | Seat


def at_once(step: Callable[[], None]) -> None:
    """Do a step here and now."""
    step()
