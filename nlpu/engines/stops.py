"""Where a text ends, and how much of it is settled while it is still being generated."""

from __future__ import annotations

from collections.abc import Sequence


def before_stop(text: str, stops: Sequence[str]) -> str:
    """What stands before the stop string that is whole first; all of it where there is none."""
    found = ((at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0)
    return text[: min(found, default=(0, len(text)))[1]]


def _sure(text: str, stops: Sequence[str]) -> str:
    """What of a text no stop string can begin in any more: half of one waits for the rest."""
    return text[: max(0, len(text) - max(map(len, stops), default=1) + 1)]


def settled(raw: bytes, stops: Sequence[str], whole: bool) -> tuple[str, bool]:
    """(what of the text cannot change any more, whether a stop string has ended it)."""
    text = raw.decode(errors="replace")
    if len(ended := before_stop(text, stops)) < len(text):
        return ended, True
    return text if whole else _sure(text.rstrip("\ufffd"), stops), False  # nor half a character


class Ending:
    """A text that comes in pieces, up to the stop string that is whole first."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held, self._ended = stops, "", False

    def feed(self, text: str, last: bool = False) -> str:
        """What is settled of the text with its next piece, and was not given yet."""
        if self._ended or not self._stops:
            return "" if self._ended else text
        text = self._held + text
        said = before_stop(text, self._stops)
        self._ended = len(said) < len(text)
        if not self._ended and not last:
            said = _sure(text, self._stops)
        self._held = text[len(said) :]
        return said
