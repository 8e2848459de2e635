"""What an MCP server wrote and that was no message: for the errors that its failing causes.

Rules
1. Words are the server's: quoted, and the last of them only.
2. What is quoted is of the connection that failed, not of one before it.
"""

from __future__ import annotations

from typing import Final

SHOWN: Final = 300  # characters of a server's own words in an error
_KEPT = 4 * SHOWN


class Words:
    """The last words of a server."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last = ""

    def add(self, text: bytes) -> None:
        """Keep the end of them."""
        self._last = (self._last + text[-4 * _KEPT :].decode("utf-8", "replace"))[-_KEPT:]

    def __str__(self) -> str:
        """Quote them, to stand behind an error."""
        last = self._last.strip()
        end = last if len(last) <= SHOWN else f"… {last[-SHOWN:]}"
        return f"; it wrote {end!r}" if last else ""
