"""Cases of an echo, an op that is wrong in some of them, and a model that answers both."""

from __future__ import annotations

from kit import said

from nlpu import nlop
from nlpu.testing.scripted import Seen

ECHOES = [({"text": word}, word) for word in ("one", "two", "three", "four")]


@nlop
def shout(text: str) -> str:
    """Shout the text."""


def shouting(seen: Seen) -> str:
    """Repeats; a shout of "two" and "three" is another word, and the judge is generous."""
    text = said(seen)
    if "mean" in seen.instruction:
        return "yes" if seen.operands["expected"][0] == seen.operands["answer"][0] else "no"
    return text[0] + "!" if "Shout" in seen.instruction and text[0] == "t" else text
