"""What memory is made of: blobs, pages and addresses.

Theory of operation
-------------------
A *blob* is a text, kept once under its hash. A *page* is an occurrence of a blob: where it came
from, when, with which label. Its *address* is made from the text and the place, so the same text
from the same place has the same address in every store and in every life of a program.

What programs write for themselves (what was said, what they made of pages) is known by its source;
all else are *documents*.

Rules
1. A page's text, source and extent never change. What may: importance, credit, and its label, which
   can only sink (``join``).
2. A page stored without a label is untrusted.
"""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from nlpu.label import UNTRUSTED, Label
from nlpu.printing import one_line, shown
from nlpu.value import in_sight

Among = Literal["documents", "own", "all"]  # pages that are looked through
TALK, WINDOW = "conversation", "window"  # the sources of what was said, and of what was paged out
REFLECTION, CONDENSED = "reflection", "condensed"  # and of what was made of pages
OWN = (TALK, WINDOW, REFLECTION, CONDENSED)

TIMES_S = (-62_135_596_800, 253_402_300_800)  # the years 1 to 9999


@dataclass(frozen=True, slots=True)
class Page:
    """An occurrence of a text.

    source:     file or conversation it is from; pages of one source are neighbours by ``start``.
    start, stop: its extent there, in characters.
    time_s:     when it was said or written, in seconds since 1970.
    importance: 0 to 1, as given by who wrote it; ``credit``: what outcomes say, around 0.
    links:      addresses of what it was made from.
    """

    text: str
    source: str = ""
    start: int = 0
    stop: int = 0
    time_s: float = 0.0
    label: Label = UNTRUSTED
    importance: float = 0.0
    credit: float = 0.0
    links: tuple[str, ...] = ()

    def __repr__(self) -> str:
        place = f"{self.source or 'no source'} {self.start}-{self.stop}"
        text = shown(self.text) if in_sight(self.label) else "not looked at"
        return f"Page({one_line(place, 50)}, {one_line(str(self.label), 40)}: {text})"

    @property
    def address(self) -> str:
        """Where it can be read: the argument of ``Memory.read``."""
        return address_of(self.text, self.source, self.start)

    def rated(self, importance: float) -> Page:
        """Give the same page with another importance."""
        return replace(self, importance=importance)


def blob_hash(text: str) -> bytes:
    """Name a text by its hash."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def digest(*texts: str) -> str:
    """Name texts in short, for a run's journal."""
    return blob_hash("\0".join(texts)).hex()[:16]


def address_of(text: str, source: str = "", start: int = 0) -> str:
    """Give the address of a text at a place."""
    place = f"{source}\0{start}\0".encode("utf-8", "surrogatepass") + blob_hash(text)
    digest = blake2b(place, digest_size=8).digest()
    return "mem:" + b32encode(digest).decode().lower()[:12]
