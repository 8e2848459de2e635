"""Consolidation: what a run's outcome says about the pages it read.

Theory of operation
-------------------
The controller keeps which pages each look-up handed out. Given a score for the outcome, from -1 to
1, a pass walks the look-ups backwards: pages of the last one get the score, those before it
``DISCOUNT`` of that, and so on. A page's credit moves towards what it got by ``RATE``; that of all
other pages fades. Firmware ranks by credit, so what helped rises and the rest sinks back.

Reflections are pages made from pages: an op writes what follows from some that belong together, and
the new page links to them.

Rules
1. Credit is within -1 and 1. It changes ranks, never texts; nothing is forgotten here.
2. A reflection's label joins those of its sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from memory.controller import Memory
from memory.firmware import Found
from nlpu.errors import BadOperand
from nlpu.label import USER, join
from nlpu.op import nlop

DISCOUNT = 0.8
RATE = 0.3
FADE = 0.98


@nlop(max_tokens=96, at_limit="trim")
def follows(notes: str) -> str:
    """Write in one sentence what these notes say together."""


def consolidate(memory: Memory, outcome: float) -> dict[int, float]:
    """Give credit to what was handed out since the last time; the new credits by page number."""
    if not -1 <= outcome <= 1:
        raise BadOperand(f"an outcome is a score from -1 to 1, not {outcome}")
    gains: dict[int, float] = {}
    for distance, handed_out in enumerate(reversed(memory.levels.take_handed_out())):
        for number in handed_out:
            gains.setdefault(number, outcome * DISCOUNT**distance)
    pages = memory.levels.pages(gains)
    credits = {n: page.credit + RATE * (gains[n] - page.credit) for n, page in pages.items()}
    memory.levels.disk.set_credit(credits, FADE)
    return credits


def reflect(memory: Memory, pages: Sequence[Found], source: str = "reflection") -> str:
    """Write a page of what pages say together, linked to them; its address. Inside a run."""
    text = follows("\n".join(each.page.text for each in pages))
    label = reduce(join, (each.page.label for each in pages), USER)
    return memory.write(
        text.value,
        label=join(label, text.label),
        source=source,
        links=[each.page.address for each in pages],
    )
