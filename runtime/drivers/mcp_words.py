"""What an MCP server wrote that was no message, or broke the protocol: for errors it causes.

Rules
1. Words are the server's: quoted, and the last of them only.
2. What is quoted is of the connection that failed, not of one before it.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import ValidationError

from nlpu.printing import safe

SHOWN: Final = 300  # characters of a server's own words in an error
UNREADABLE: Final = "its reply cannot be read"
_KEPT = 4 * SHOWN


class Words:
    """The last words of a server."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last = ""
        self.held = b""  # what may be a message that is not whole yet

    def add(self, text: bytes) -> None:
        """Keep the end of them."""
        self._last = (self._last + text[-4 * _KEPT :].decode("utf-8", "replace"))[-_KEPT:]

    def __str__(self) -> str:
        """Quote them, to stand behind an error."""
        last = (self._last + self.held[-4 * _KEPT :].decode("utf-8", "replace")).strip()
        end = last if len(last) <= SHOWN else f"… {last[-SHOWN:]}"
        return f"; it wrote {end!r}" if last else ""


def breach(error: ValidationError, kind: str = "") -> str:
    """Say where a reply breaks the protocol (read as ``kind``), and what is written there."""
    every = error.errors(include_url=False)
    first = next((each for each in every if kind in each["loc"]), every[0])
    place = ".".join(str(part) for part in first["loc"] if part != kind)
    wrote = safe(json.dumps(first["input"], ensure_ascii=False, default=str))
    end = wrote if len(wrote) <= SHOWN else f"{wrote[:SHOWN]} …"
    what = "is missing" if first["type"] == "missing" else "is not of the protocol's form"
    return f"{place or 'the whole'} {what}; it wrote {end}"
