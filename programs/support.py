"""Which sentence of a passage bears out what was said of it: pure, and of any script.

A model that is asked to copy a sentence writes one of its own as often as not. What it says is
compared with the sentences that are there, by the pieces of words that they share: those that are
rare in the passage count for more, those of the question for half, as all sentences about its
subject have them.

Rules
1. What is given is a sentence of the passage, to the character.
2. Equal ones: the first. A sentence that shares nothing is none.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from nlpu.eval.matching import folded
from nlpu.sentences import BORDER

_PARAGRAPH = re.compile(r"\n\s*\n")  # headings and lists have no stops
PIECE = 3  # characters: part of a word where words have blanks between them, else a word or two


def supporting(said: str, question: str, passage: str) -> tuple[int, int] | None:
    """Find the extent of the sentence that shares most with what was said, if one shares any."""
    extents = _sentences(passage)
    found = [_pieces(passage[start:stop]) for start, stop in extents]
    count = Counter(piece for each in found for piece in each)
    asked = _pieces(question)
    worth = {
        piece: (0.5 if piece in asked else 1.0) / count[piece]
        for piece in _pieces(said)
        if piece in count
    }
    shared = [sum(worth.get(piece, 0.0) for piece in each) for each in found]
    best = max(shared, default=0.0)
    return extents[shared.index(best)] if best > 0 else None


def _sentences(passage: str) -> list[tuple[int, int]]:
    ends = (end.end() for border in (BORDER, _PARAGRAPH) for end in border.finditer(passage))
    cuts = sorted({0, *ends, len(passage)})
    return [
        (start + len(text) - len(text.lstrip()), start + len(text.rstrip()))
        for start, stop in pairwise(cuts)
        if (text := passage[start:stop]).strip()
    ]


def _pieces(text: str) -> frozenset[str]:
    whole = f" {' '.join(folded(text).split())} "
    return frozenset(whole[at : at + PIECE] for at in range(len(whole) - PIECE + 1))
