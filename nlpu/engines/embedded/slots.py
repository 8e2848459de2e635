"""Which of llama.cpp's slots a request goes to. Pure: no model, no loop, no clock.

Theory of operation
-------------------
llama.cpp keeps one KV cache a *slot* and shares nothing between slots. A request whose prompt
begins as what a slot has read starts behind that beginning, in that slot alone. So requests that
share a document are worth more on the one slot that holds it than spread over eight, each of which
would read it anew; requests that share a few words are worth more side by side.

Reading one token anew costs about what generating one costs less in a crowd: measured on two cores
(``benchmarks/embedded.py``), a token is read in a quarter of the time that one is generated in, and
eight requests at once generate 1.4 times as fast as one. So a beginning of L tokens is worth
waiting for unless the requests that share it write more than 2 L tokens between them, half of
which another slot would take over. What they will write nobody knows: it is taken to be what those
with the same ``max_tokens`` have written lately, and ``max_tokens`` before there were any.

What a slot has read behind the shared beginning is lost to whoever would have gone on from there,
an agent's next step say. So a held beginning is worth its tokens less those that taking it loses:
two agents under one instruction end on a slot each, forty letters under one share theirs.

Rules
1. Requests start in order of arrival, except that one which waits for a held beginning lets others
   pass, and that a slot whose beginning is waited for goes to those who wait for it first.
2. Nobody is passed over more than ``MOST_PASSES`` times.
3. A shared beginning is at most the prompt less its last token: that one's logits are needed anew.
4. A request gets a free slot only; what a running request will have read counts as held.
5. A prompt that its slot holds already is read again from where it was read the first time: in
   other pieces the same text has other probabilities, and greedy decoding another answer. A draw
   that nothing has to repeat reads its last token only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

SHARED = 32  # tokens; a held beginning that is worth less decides nothing
MOST_PASSES = 32
LATELY = 8  # requests: the mean of what was written goes by these

Prompt = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Place:
    """A request that waits for a slot, or has one."""

    prompt: Prompt
    max_tokens: int
    repeats: bool = True  # asked for again, its answer has to be the same (rule 5)
    passes: int = 0
    again: bool = False  # its slot holds this very prompt,
    start: int = 0  # and had read it from here on


@dataclass(eq=False, slots=True)
class _Slot:
    held: Prompt = ()
    start: int = 0  # where reading began
    taken: Place | None = None
    used: int = 0  # when it was last given out, counted in grants


AnyPlace = TypeVar("AnyPlace", bound=Place)


class Slots(Generic[AnyPlace]):
    """The slots of one server and who waits for them."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._waiting: list[AnyPlace] = []
        self._grants = 0
        self._written: dict[int, float] = {}  # by max_tokens

    def wait(self, place: AnyPlace) -> None:
        """Put a request at the end of those that wait."""
        self._waiting.append(place)

    def leave(self, place: AnyPlace) -> None:
        """Take a request out of those that wait; do nothing if it does not."""
        if place in self._waiting:
            self._waiting.remove(place)

    def free(self, slot: int, start: int, written: int) -> None:
        """Give a slot back; what it has read stays in it, from ``start`` on in one piece.

        ``written`` tokens were generated.
        """
        chosen = self._slots[slot]
        if (place := chosen.taken) is not None:
            chosen.start = chosen.start if place.again else start
            before = self._written.get(place.max_tokens, written)
            self._written[place.max_tokens] = before + (written - before) / LATELY
        chosen.taken = None

    def forget(self, slot: int) -> None:
        """Give a slot back of which nobody knows how far it has read."""
        self._slots[slot] = _Slot()

    def grant(self) -> list[tuple[AnyPlace, int]]:
        """The requests that start now, each with its slot (rules 1, 2)."""
        started = []
        for place in list(self._waiting):
            slot = self._choose(place)
            if slot is None:
                continue
            for earlier in self._waiting[: self._waiting.index(place)]:
                earlier.passes += 1
            self._waiting.remove(place)
            self._grants += 1
            chosen = self._slots[slot]
            place.again = chosen.held == place.prompt
            place.start = chosen.start if place.again else 0
            chosen.held, chosen.taken, chosen.used = place.prompt, place, self._grants
            started.append((place, slot))
        return started

    def _choose(self, place: AnyPlace) -> int | None:
        open_slots = [n for n, slot in enumerate(self._slots) if not slot.taken]
        if not open_slots:
            return None
        patient = place.passes < MOST_PASSES
        if patient and self._worth_waiting(place):
            return None
        if patient:
            awaited = self._awaited(place)
            open_slots = [n for n in open_slots if n not in awaited]
        return min(open_slots, key=lambda n: self._rank(n, place.prompt), default=None)

    def _rank(self, slot: int, prompt: Prompt) -> tuple[int, int]:
        """The beginning that is worth most first, then the slot unused for longest."""
        return (-_worth(self._slots[slot].held, prompt), self._slots[slot].used)

    def _worth_waiting(self, place: AnyPlace) -> bool:
        """True if a taken slot holds so much more of the prompt than any free one does."""
        best, worth = self._best(place.prompt)
        if best is None or not self._slots[best].taken:
            return False
        free = (_worth(slot.held, place.prompt) for slot in self._slots if not slot.taken)
        gain = worth - max(free, default=0)
        return gain >= SHARED and 2 * gain >= self._to_write(place, best)

    def _best(self, prompt: Prompt) -> tuple[int | None, int]:
        sizes = [_worth(slot.held, prompt) for slot in self._slots]
        worth = max(sizes, default=0)
        return (sizes.index(worth), worth) if worth else (None, 0)

    def _to_write(self, place: AnyPlace, slot: int) -> float:
        """Tokens that all who share what the slot holds will write, those that run included."""
        shared = _shared(self._slots[slot].held, place.prompt)
        beginning = place.prompt[:shared]
        running = (slot.taken for slot in self._slots if slot.taken is not None)
        places: chain[Place] = chain(self._waiting, running)
        most = [one.max_tokens for one in places if one.prompt[:shared] == beginning]
        return sum(self._written.get(tokens, tokens) for tokens in most)

    def _awaited(self, place: AnyPlace) -> set[int]:
        """Slots whose beginning is worth waiting for to others, and is not that of ``place``."""
        own, _ = self._best(place.prompt)
        wanted = set()
        for other in self._waiting:
            best, worth = self._best(other.prompt)
            if best is not None and best != own and 2 * worth >= self._to_write(other, best):
                wanted.add(best)
        return wanted


def _worth(held: Prompt, prompt: Prompt) -> int:
    """Tokens that starting behind a held beginning saves, less those that it loses."""
    shared = _shared(held, prompt)
    worth = 2 * shared - len(held)
    return worth if worth >= SHARED else 0


def _shared(held: Sequence[int], prompt: Prompt) -> int:
    """Length of the common beginning, less the last token of the prompt (rule 3)."""
    low, high = 0, min(len(held), len(prompt) - 1)
    if held[:high] == prompt[:high]:
        return high
    while low < high - 1:  # the beginnings of length low agree, those of length high do not
        middle = (low + high) // 2
        if held[low:middle] == prompt[low:middle]:
            low = middle
        else:
            high = middle
    return low
