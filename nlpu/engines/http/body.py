"""Reads bodies of an HTTP server, never more of one than its cap, and the JSON in them.

Rules
1. What is read stops at a cap: a body may have no end. A whole list or reply beyond it is a fault.
2. JSON that is no JSON is one exception, whatever the parser meets: nested a million deep, too.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

MOST_LIST = 16 << 20  # bytes of a list of models; the longest known has one million
MOST_REPLY = 64 << 20
MOST_ERROR = 64 << 10
MOST_LINE = 4 << 20  # bytes of a stream without a line's end
BOM = b"\xef\xbb\xbf"


class Content(Protocol):
    """What is read in pieces."""

    async def readany(self) -> bytes:
        """The next piece; empty at the end."""


async def read_most(content: Content, most: int) -> bytes:
    """The content, or its beginning, which is then longer than ``most``, by a chunk at most."""
    chunks, size = [], 0
    while size <= most and (chunk := await content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def parsed(body: bytes | str, **how: Any) -> Any:
    """The JSON value of a body; ``how`` goes to ``json.loads``. Raises ValueError."""
    try:
        return json.loads(body, **how)
    except RecursionError:
        raise ValueError("nested too deep") from None


def encodable(text: str) -> str:
    """The text, with a question mark for each half of a surrogate pair that has lost the other."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
