"""How a memory in a PostgreSQL database is named, told from one in a folder.

    folder                               SQLite, and chromadb's files beside it
    postgresql://USER@HOST/NAME          the database's memory of no other name
    postgresql://USER@HOST/NAME#OTHER    one of several

Rules
1. What a database needs is imported when one is named, and not before: nothing here needs it.
2. A database is told (printed, logged, kept) without its password: ``str`` of it has none.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nlpu.errors import Usage
from nlpu.postgres.urls import database_url, no_psycopg

USUAL: Final = "memory"  # the name of the memory that the URL does not name
_NAME: Final = re.compile(r"\w[\w .-]*")
_MOST_BYTES: Final = 48  # PostgreSQL cuts longer names in silence
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class MemoryDatabase:
    """A memory in a database.

    url: with what opens it. told: the same without a password. name: which of its memories.
    patience_s: how long a server that does not answer is tried.
    """

    url: str = field(repr=False)
    told: str
    name: str = USUAL
    has_password: bool = False
    patience_s: float = _PATIENCE_S

    def __str__(self) -> str:
        return self.told + (f"#{self.name}" if self.name != USUAL else "")

    @property
    def schema(self) -> str:
        """Name the database's schema that holds it."""
        return "nlpu_memory" + (f"_{self.name}" if self.name != USUAL else "")


Place = Path | MemoryDatabase


def place_of(given: str | os.PathLike[str] | MemoryDatabase) -> Place:
    """Make a place of what names it: a folder, or a URL. Raises Usage, MissingPart."""
    if isinstance(given, MemoryDatabase):
        return given
    url = database_url(given, "pages")
    if url is None:
        return Path(given)
    try:
        from nlpu.postgres.connection import told  # rule 1
    except ImportError as error:
        raise no_psycopg("pages") from error
    url, name = _parted(url)
    shown, has_password = told(url)
    return MemoryDatabase(url, shown, name, has_password)


def _parted(url: str) -> tuple[str, str]:
    """A URL and the name behind it. Raises Usage, which shows neither."""
    before, mark, name = url.rpartition("#")
    if not mark or "@" in name or "/" in name:  # one that belongs to a password
        return url, USUAL
    if not _NAME.fullmatch(name) or len(name.encode()) > _MOST_BYTES:
        raise Usage(
            "the memory behind the # of the URL has a name of letters, digits, blanks and _ . - "
            f"alone, of at most {_MOST_BYTES} bytes"
        )
    return before, name


def beside(store: str, name: str) -> str:
    """Name a memory that belongs to a store: a folder in it, or a memory of its database."""
    if database_url(store, "pages") is None:
        return str(Path(store) / name)
    url, first = _parted(store)
    return f"{url}#{name if first == USUAL else f'{first}-{name}'}"
