"""Where a text ends, and how much of it is settled while it is still being generated."""

from __future__ import annotations

from collections.abc import Sequence


def before_stop(text: str, stops: Sequence[str]) -> str:
    """What stands before the stop string that is whole first; all of it where there is none."""
    found = ((at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0)
    return text[: min(found, default=(0, len(text)))[1]]


def settled(raw: bytes, stops: Sequence[str], whole: bool) -> tuple[str, bool]:
    """(what of the text cannot change any more, whether a stop string has ended it)."""
    text = raw.decode(errors="replace")
    if len(ended := before_stop(text, stops)) < len(text):
        return ended, True
    # Half a character, or half a stop string, waits for the rest.
    sure = len(text.rstrip("\ufffd")) - max(map(len, stops), default=1) + 1
    return text if whole else text[: max(0, sure)], False
