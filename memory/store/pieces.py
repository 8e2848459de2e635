"""The texts that a page is embedded as: with what stands before it, and in pieces where it is long.

Rules
1. An embedder that tells how much it reads (``most``, by its ``count``) gets no longer
   text.
2. Each sign of a page is in one of its pieces. What stands before it is in none but the first, as
   far as there is room: its end.
3. Pieces are half as long as what can be read: the less there is in one, the better it is found.
"""

from __future__ import annotations

from typing import Any

from nlpu.text import chunks


def pieces(embedder: Any, text: str, before: str = "") -> list[str]:
    """What is embedded of a text that stands behind another one."""
    count, most = getattr(embedder, "count", None), getattr(embedder, "most", 0)
    joint = f"{before}\n{text}" if before else text
    while count is not None and (excess := count(joint) - most) > 0:
        if not before:
            return [each for each in chunks(text, most // 2, count) if each.strip()] or [text]
        before = " ".join(before.split()[excess:])  # a word has a token at least
        joint = f"{before}\n{text}" if before else text
    return [joint]
