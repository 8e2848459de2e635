"""``recency``: the newest pages, whatever is asked. The baseline, and what a chat without memory
does."""

from __future__ import annotations

from nlpu.memory.firmware import Found, OpFree
from nlpu.memory.store.levels import Levels


class Firmware(OpFree):
    """Newest first."""

    def look(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """The newest pages."""
        return [Found(number, page, page.time_s) for number, page in levels.newest(most).items()]
