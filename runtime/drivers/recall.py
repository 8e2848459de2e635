"""A driver that looks things up in a memory store, for an agent that chooses among drivers.

A page keeps its label on the way: what is given is labelled by the pages that were found.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pydantic import BaseModel

from nlpu.checks import COUNT, check
from nlpu.label import USER, Label, join, label_of, label_text
from nlpu.runtime.drivers.driver import Driver, driver

if TYPE_CHECKING:
    from nlpu.memory.controller import Memory


class Remembered(BaseModel):
    """A page that was found; ``label`` as it is stored."""

    address: str
    source: str
    text: str
    label: str

    def __str__(self) -> str:
        return f"({self.source}) {self.text.strip()}"


def search(memory: Memory, most: int = 5) -> Driver:
    """A driver that looks things up in a memory store.

    Firmware that asks a model (``iterative``) needs ``memory.search`` in the program itself.
    """
    check("search", {"most": most}, {"most": COUNT})

    def labels(found: list[Remembered]) -> Label:
        return reduce(join, (label_of(each.label) for each in found), USER)

    @driver(effect="read", roles={"question": "content"}, brings=USER, label_of=labels)
    def search_memory(question: str) -> list[Remembered]:
        """Look up what is remembered about a question, best first."""
        return [
            Remembered(
                address=page.address,
                source=page.source,
                text=page.text,
                label=label_text(page.label),
            )
            for _, page, _ in memory.search(question, most=most)
        ]

    return search_memory
