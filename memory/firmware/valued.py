"""``valued``: what is new is worth more, and what helped before.

A page is as important as it differs from what is there (1 less the largest cosine), unless its
writer says otherwise; what a run's outcome said of pages (``consolidate``) weighs in full.
"""

from __future__ import annotations

from nlpu.memory.firmware.hybrid import WEIGHTS
from nlpu.memory.firmware.hybrid import Firmware as Hybrid
from nlpu.memory.store.levels import Levels
from nlpu.memory.store.page import Page

_CREDIT_WEIGHT = 3.0


class Firmware(Hybrid):
    """``hybrid``, with admission by novelty and more weight on credit."""

    def __init__(self) -> None:
        super().__init__((*WEIGHTS[:-1], _CREDIT_WEIGHT))

    def importance(self, levels: Levels, page: Page) -> float:
        """How new the text is."""
        nearest = levels.by_meaning(page.text, 1)
        return max(0.0, min(1.0, 1.0 - max(nearest.values(), default=0.0)))
