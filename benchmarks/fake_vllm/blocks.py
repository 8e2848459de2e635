"""The memory of the scripted GPU server: blocks of tokens, shared by those who begin alike.

Theory of operation
-------------------
As vLLM's: a prompt is cut into blocks of ``BLOCK`` tokens, and a full block is known by itself and
all before it. A request takes a block for each ``BLOCK`` of its tokens; those at its beginning that
are known, it shares with whoever has them. What nobody holds any more stays known until its place
is needed: the one that has waited longest goes first, and of one request its end before its
beginning.

Rules
1. Never more blocks than ``most``: who needs more than can be had gets none at all.
2. The last token of what is asked for is always computed, so a block that ends with it is no hit.
3. What is generated is in blocks without a name, and so is a copy of a block that others hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

BLOCK = 16


@dataclass(slots=True)
class Holding:
    """What one request has: blocks with a name, how many without, tokens that were known."""

    names: list[int] = field(default_factory=list)
    plain: int = 0
    hits: int = 0


class Blocks:
    """``most`` blocks; with None as many as are wanted, and nothing is ever forgotten."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._held: Counter[int] = Counter()  # by name: how many requests hold it
        self._idle: dict[int, None] = {}  # known, held by nobody; who has waited longest first
        self._plain = 0
        self._life = 0

    @property
    def free(self) -> float:
        """Blocks that nobody holds."""
        return inf if self.most is None else self.most - len(self._held) - self._plain

    @property
    def usage(self) -> float:
        """The share that is held."""
        return 0.0 if self.most is None else 1 - self.free / self.most

    def take(self, prompt: Any, tokens: int) -> Holding | None:
        """Blocks for so many tokens that begin with the prompt; None if there are not enough."""
        names = list(_names(prompt, self._life)) if isinstance(prompt, list) else []
        hits = self._known(names[: (tokens - 1) // BLOCK])
        wanted = -(-tokens // BLOCK) - hits + sum(name in self._idle for name in names[:hits])
        if wanted > self.free:
            return None
        holding = Holding(hits=hits * BLOCK)
        for place, name in enumerate(names):
            if place < hits or name not in self._held:
                self._idle.pop(name, None)
                self._held[name] += 1
                holding.names.append(name)
        holding.plain = -(-tokens // BLOCK) - len(holding.names)
        self._plain += holding.plain
        self._forget_oldest()
        return holding

    def grow(self, holding: Holding) -> bool:
        """One more block; False if there is none."""
        if self.free < 1:
            return False
        holding.plain += 1
        self._plain += 1
        self._forget_oldest()
        return True

    def release(self, holding: Holding) -> None:
        """Let all of it go."""
        self._plain -= holding.plain
        for name in reversed(holding.names):
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
                self._idle[name] = None

    def forget(self) -> None:
        """Know no prompt any more, nor what is held now when it is let go."""
        self._life += 1
        self._idle.clear()

    def _known(self, names: Sequence[int]) -> int:
        """How many of the names are known, from the beginning on."""
        for place, name in enumerate(names):
            if name not in self._held and name not in self._idle:
                return place
        return len(names)

    def _forget_oldest(self) -> None:
        while self.most is not None and len(self._idle) > self.free:
            del self._idle[next(iter(self._idle))]


def _names(prompt: list[Any], chain: int) -> Iterator[int]:
    """One name for each full block: it depends on all before."""
    for end in range(BLOCK, len(prompt) + 1, BLOCK):
        chain = hash((chain, str(prompt[end - BLOCK : end])))
        yield chain
