"""Firmware: the policies that decide what is fetched. One small file each, chosen by name.

To add one, write ``memory/firmware/NAME.py`` with a class ``Firmware`` that has the two methods of
``Policy``, and enter the name in ``NAMES``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import reduce
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from nlpu.errors import Usage
from nlpu.label import USER, join
from nlpu.memory.store.levels import Levels
from nlpu.memory.store.page import Page, digest
from nlpu.value import remembered, see

NAMES = ("recency", "hybrid", "iterative", "valued")


class Found(NamedTuple):
    """A page that was looked up, its number on the disk level, and how well it fits."""

    number: int
    page: Page
    score: float


class Policy(Protocol):
    """A memory's policy: which pages fit a question, and what a new page is worth."""

    def search(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """Give the pages that fit the question, best first."""

    def importance(self, levels: Levels, page: Page) -> float:
        """Rate a page that is about to be written, from 0 to 1."""


class Base:
    """What policies have in common."""

    def __repr__(self) -> str:
        return f"{type(self).__module__.rpartition('.')[2]} firmware"

    def importance(self, levels: Levels, page: Page) -> float:
        """Rate a page as its writer did."""
        return page.importance


class OpFree(Base, ABC):
    """A policy that calls no op: it implements ``look`` alone.

    What a look found is noted in the run's journal, with its question: a resumed run sees the same
    pages, whatever has been written since.
    """

    @abstractmethod
    def look(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """Give the pages that fit the question, best first, asking no model."""

    def search(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """Look; in a run, give what was found when the program first came here."""
        found: list[Found] = []

        def look() -> list[Any]:
            looked = levels.turns.take(lambda: self.look(levels, question, most, now_s))
            found.extend(each for each in looked if levels.wants(each.page))
            return [[each.number, each.score] for each in found]

        noted = remembered(look, f"{most} pages for the question {digest(question)}")
        if not found:  # a former life has found them
            pages = levels.pages_again(number for number, _ in noted)
            found = [Found(number, pages[number], score) for number, score in noted]
        see(reduce(join, (each.page.label for each in found), USER))
        return found


def open_firmware(name: str) -> Policy:
    """Open the policy of a name. Raises Usage."""
    if name not in NAMES:
        raise Usage(f"unknown firmware {name!r}; there are: {', '.join(NAMES)}")
    policy: Policy = import_module(f"nlpu.memory.firmware.{name}").Firmware()
    return policy
