"""Consolidation: what a run's outcome says about the pages it read.

Theory of operation
-------------------
The controller keeps which pages each look-up handed out. Given a score for the outcome, from -1 to
1, a pass walks the look-ups backwards: pages of the last one get the score, those before it
``DISCOUNT`` of that, and so on. A page's credit moves towards what it got by ``RATE``; that of all
other pages fades. Firmware ranks by credit, so what helped rises and the rest sinks back.

Reflections are pages made from pages: an op writes what they say together, and the new page links
to them. ``review`` is the whole pass, inside a run: credit, a reflection on what got some, and a
condensate of the oldest neighbours that have none and fit its window. What was condensed sinks
below its condensate, through which it is still found.

Rules
1. Credit is within -1 and 1. It changes ranks, never texts; nothing is forgotten here.
2. A reflection's label joins those of its sources.
3. A pass makes at most two calls. A reply that is not valid costs its page, never the run.
4. What a pass chose and gave is noted in the run's journal, right after it is given: a resumed run
   does not give it again, unless it was killed between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce

from nlpu.errors import BadOperand, ModelError
from nlpu.label import join
from nlpu.memory.controller import CHANGED, Memory
from nlpu.memory.store.page import CONDENSED, REFLECTION, Page
from nlpu.ops.op import nlop
from nlpu.value import Value, current, remembered

DISCOUNT = 0.8
RATE = 0.3
FADE = 0.98
UNCREDITED = 0.05  # less credit is none
SUNK = -0.5  # the credit of pages that were condensed
TOGETHER = 8  # pages made into one
NEWEST = 50  # pages that are not condensed: they had no chance yet


@nlop(max_tokens=96, at_limit="trim", repetition_penalty=1.1)
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

    def moved() -> dict[int, float]:
        pages = memory.levels.pages(gains)
        return {n: page.credit + RATE * (gains[n] - page.credit) for n, page in pages.items()}

    return _written(memory, f"credit for an outcome of {outcome}", moved, FADE)


def _written(
    memory: Memory, what: str, credits: Callable[[], dict[int, float]], fade: float = 1.0
) -> dict[int, float]:
    """The credits, written to the store; in a run once (rule 4)."""

    def write() -> list[tuple[int, float]]:
        made = credits()
        memory.levels.disk.set_credit(made, fade)
        return list(made.items())

    return dict(remembered(lambda: memory.levels.turns.take(write), what, CHANGED))


def review(memory: Memory, outcome: float, time_s: float | None = None) -> list[str]:
    """The whole pass, inside a run; the addresses of the pages it wrote."""
    levels = memory.levels
    credited = list(consolidate(memory, outcome))
    room = _room()  # a byte, a token
    uncredited = partial(levels.disk.uncredited, UNCREDITED, NEWEST, TOGETHER, room)
    faded = remembered(lambda: levels.turns.take(uncredited), "pages without credit")
    helpful = list(levels.pages_again(credited[:TOGETHER]).values()) if outcome > 0 else []
    written = [reflect(memory, helpful, time_s=time_s)] if len(helpful) > 1 else []
    if faded:
        old = levels.pages_again(faded)
        read = _that_fit(list(old.values()))
        written.append(reflect(memory, read, CONDENSED, time_s))
        if written[-1]:
            sunk = {n: min(p.credit, SUNK) for n, p in zip(old, read, strict=False)}
            _written(memory, "sinking what was condensed", lambda: sunk)
    return [address for address in written if address]


def reflect(
    memory: Memory, pages: Sequence[Page], source: str = REFLECTION, time_s: float | None = None
) -> str:
    """Write a page of what pages say together, linked to them; its address. Inside a run.

    Empty where the model gave no valid reply, or can't read even one of them.
    """
    read = _that_fit(pages)
    if not read:
        return ""
    text = follows(Value("\n".join(p.text for p in read), reduce(join, (p.label for p in read))))
    try:
        content = text.value
    except ModelError:
        return ""
    return memory.write(
        content,
        label=text.label,
        source=source,
        start=memory.levels.disk.number(read[0].address) or 0,  # else equal texts were one page
        time_s=time_s,
        importance=max(page.importance for page in read),
        links=[page.address for page in read],
    )


def _that_fit(pages: Sequence[Page]) -> Sequence[Page]:
    """As many of the first pages as the op can read at once."""
    processor, room = current().processor(follows.processor), _room()
    while pages and processor.count("\n".join(p.text for p in pages)) > room:
        pages = pages[:-1]
    return pages


def _room() -> int:
    """The tokens that the op can read at once."""
    room: int = current().processor(follows.processor).room(follows)
    return room
