"""A memory stream: what is done and said, each with the time and with how much it matters."""

from __future__ import annotations

from collections.abc import Container

from nlpu import Label, Memory, ModelError, nlop
from nlpu.memory.store.page import TALK
from nlpu.memory.window.entries import Count

RECALLED = 8  # memories read at once
MATTERS = 7  # of 10: from here on it is worth a reflection


@nlop
def rate(statement: str) -> int:
    """How much does the statement matter for later, from 1 (small talk) to 10 (a life event)?"""


def weight(matters: object) -> int:
    """1 to 10, whatever the model said."""
    try:
        return min(10, max(1, int(matters)))  # type: ignore[call-overload, no-any-return]
    except ModelError:
        return 1


def keep(memory: Memory, text: str, label: Label, moment_s: float, mark: int = 0) -> str:
    """Write a statement into the stream; its address. ``mark``: 1 to 10, 0 where nobody said."""
    return memory.write(
        text,
        label=label,
        source=TALK,
        start=int(moment_s),
        time_s=moment_s,
        importance=mark / 10,
    )


def recalled(
    memory: Memory,
    about: str,
    tokens: int | None = None,
    count: Count | None = None,
    besides: Container[str] = (),
) -> str:
    """The memories that fit best, the best last, where a small model heeds it.

    besides: those that are read anyway.
    """
    found = memory.search(about, most=RECALLED, tokens=tokens, count=count, among="all")
    texts = [each.page.text for each in reversed(found)]
    return "\n".join(text for text in texts if text not in besides) or "(none yet)"
