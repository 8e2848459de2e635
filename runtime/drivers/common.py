"""Drivers that are there for every program: the time, a memory store, the person at the terminal.

Rules
1. Programs have ``runtime.now`` and ``Memory.search`` themselves; these are for an agent, which
   chooses among drivers, and like every driver's result theirs is journaled.
2. A page keeps its label on the way: what ``search`` gives is labelled by the pages it found.
3. What a person answers is the person's: trusted, unless the question came from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING

from pydantic import BaseModel

from nlpu.errors import NeedsPerson
from nlpu.label import SYSTEM, USER, Label, join
from runtime.drivers.driver import Driver, driver
from runtime.drivers.person import PERSON

if TYPE_CHECKING:
    from memory.controller import Memory

_PATIENCE_S = 7 * 86_400.0  # of a program with a person


def clock(date_s: Callable[[], float] = time.time) -> Driver:
    """A driver that tells the time. ``date_s``: seconds since 1970."""

    @driver(effect="read", brings=SYSTEM)
    def tell_time() -> str:
        """Tell the date and time (UTC) and the day of the week."""
        moment = datetime.fromtimestamp(date_s(), UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {moment:%A}"

    return tell_time


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
    from memory.disk import label_text  # here: only this driver needs a memory
    from memory.reading import label_of

    def labels(found: list[Remembered]) -> Label:
        return reduce(join, (label_of(each.label) for each in found), USER)

    @driver(effect="read", roles={"question": "content"}, brings=USER, label_of=labels)
    async def search_memory(question: str) -> list[Remembered]:
        """Look up what is remembered about a question, best first."""
        return [
            Remembered(
                address=page.address, source=page.source, text=page.text,
                label=label_text(page.label),
            )
            for _, page, _ in memory.search(question, most=most)
        ]  # fmt: skip

    return search_memory


@driver(effect="read", roles={"question": "content"}, brings=USER, deadline_s=_PATIENCE_S)
async def ask(question: str) -> str:
    """Ask the person at the terminal and wait for the answer."""
    person = PERSON.get()
    if person is None:
        raise NeedsPerson(f"the program asks: {question!r}. Resume the run at a terminal")
    return (await person.answers(question)).strip()
