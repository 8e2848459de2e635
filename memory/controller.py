"""The controller: the one thing programs see of the hierarchy below the window.

Theory of operation
-------------------
    memory.write(text, source=..., label=...)  -> address     stored when it returns
    memory.read(address)                       -> Page
    memory.search(question, most=..., tokens=...) -> [Found]  by the chosen firmware
    answer(question, context=memory)                          an op's operand filled to its room

In an async program ``await spawn(memory.search, question)``: it leaves the loop to others.

Pages are given out with their labels: in a run, what a search finds lowers the scope that looked,
as any value that it forces would; so does what it forgets, since it is told how much there was.
What a look-up found is noted in the run's journal, so a resumed run sees the same pages, whatever
has been written since. So is what a program has written and forgotten: a resumed run does not do it
again, a replay and a dry run never do.

Rules
1. ``write`` returns after the page is safe on the disk level; looking up by meaning catches up.
2. A page whose label was not given is untrusted; none is labelled better than the program that
   writes it, if one does.
3. Firmware is called in the scope of the program that asked: its ops are calls of that run.
4. No more tokens are given out than asked for, by the run's own tokenizer where there is one.
5. A program that has acted on untrusted content forgets nothing: what it read may have asked it to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

from nlpu.errors import BadOperand, Refused
from nlpu.label import UNTRUSTED, USER, Integrity, Label, join, label_of, label_text
from nlpu.lifting import check_text
from nlpu.memory.firmware import Base, Found, OpFree, Policy, open_firmware
from nlpu.memory.store.embedders import Embedder
from nlpu.memory.store.levels import Levels, rough_tokens
from nlpu.memory.store.page import TIMES_S, WINDOW, Among, Page, digest
from nlpu.memory.store.postgres.names import MemoryDatabase, place_of
from nlpu.memory.window.entries import Count
from nlpu.memory.window.room import room_for
from nlpu.ops.op import Op
from nlpu.printing import one_line
from nlpu.value import Value, aside, inside, lowered, remembered, see

JOINT = "\n\n"  # between pages in an operand
CHANGED = "memory"  # what a program that writes changes, as a forecast names it
_MOST_FILLED = 50  # pages put into one operand
_TOO_LONG = "the page %s was found and left out: it has %d tokens, and all together may have %d"


class Memory:
    """A store of pages, in a directory or database, and the firmware that looks things up in it.

    Raises Usage for a store that is not there or settings that are none, MissingPart where
    looking up by meaning needs what is not installed.

    Args:
        directory: The store's directory, or a database: ``postgresql://USER@HOST/NAME``, which may
            hold several (``...#OTHER``), and any number of processes may have open.
        embedder: ``minilm``, ``static``, a model's folder, or one of your own (None: the one that
            embedded its pages last).
        firmware: A name, or a policy.
        clock: Gives seconds since 1970.
        new: Make a store where there is none; without, that is a Usage error.
        among: What look-ups go through: ``documents``, what programs wrote for their ``own`` sake
            (what was said, reflections, what left a window), or ``all``.
    """

    def __init__(
        self,
        directory: Path | str | MemoryDatabase,
        *,
        embedder: str | Path | Embedder | None = None,
        firmware: str | Policy = "hybrid",
        clock: Callable[[], float] = time.time,
        new: bool = True,
        among: Among = "documents",
    ) -> None:
        place = place_of(directory)
        self.firmware = open_firmware(firmware) if isinstance(firmware, str) else firmware
        self.levels = aside(lambda: Levels(place, embedder, new=new))
        self._clock = clock
        self._among = among

    def __repr__(self) -> str:
        index, policy = self.levels.index, self.firmware
        firmware = repr(policy) if isinstance(policy, Base) else type(policy).__name__
        state = ", closed" if self.levels.is_closed else ""
        return one_line(f"Memory({index.directory}, {index.chosen}, {firmware}{state})")

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the store; a second time does nothing."""
        self.levels.close()

    # -- pages ----------------------------------------------------------------------------------

    def write(
        self,
        text: str | Value[str],
        *,
        label: Label | None = None,
        source: str = "",
        start: int = 0,
        time_s: float | None = None,
        importance: float = 0.0,
        links: Sequence[str] = (),
    ) -> str:
        """Store a text and give its address; writing it again changes nothing. Raises BadOperand.

        Args:
            text: The text; a Value is waited for, and brings its label.
            label: Who vouches for it (None: nobody, or as the Value has it).
            source: File or conversation it is from.
            start: Its first character there.
            time_s: When it was said, in seconds since 1970 (None: now).
            importance: 0 to 1.
            links: Addresses of what it was made from.
        """
        content = _plain(text, "the text of a page")
        if label is None:
            label = text.label if isinstance(text, Value) else UNTRUSTED
        when = self._clock() if time_s is None else time_s
        page = Page(
            content,
            source=source,
            start=start,
            stop=start + len(content),
            time_s=when,
            label=label,
            importance=importance,
            links=tuple(links),
        )
        self.write_pages([page])
        return page.address

    def write_pages(self, pages: Iterable[Page]) -> list[int]:
        """Store pages, all or none, and give their numbers; what a run has written, it writes once.

        Raises BadOperand.
        """
        sound = [replace(_sound(page), label=lowered(page.label)) for page in pages]
        which = digest(*(f"{page.address} {page.label}" for page in sound))
        numbers: list[int] = remembered(lambda: self._add(sound), f"writing pages {which}", CHANGED)
        return numbers

    def _add(self, pages: list[Page]) -> list[int]:
        if isinstance(self.firmware, OpFree):  # rated and stored in one turn
            return self.levels.turns.take(lambda: self._store(self._rated(pages)))
        rated = self._rated(pages)
        return self.levels.turns.take(lambda: self._store(rated))

    def _rated(self, pages: list[Page]) -> list[Page]:
        return [
            page if page.importance else page.rated(self.firmware.importance(self.levels, page))
            for page in pages
        ]

    def _store(self, pages: list[Page]) -> list[int]:
        self.levels.counters["disk"].writes += len(pages)
        return self.levels.disk.add(pages)

    def store(self, text: str, label: Label) -> str:
        """Write a text that leaves a context window, and give its address."""
        return self.write(text, label=label, source=WINDOW)

    def read(self, address: str) -> Page:
        """Give the page at an address. Raises BadOperand."""
        found = self.levels.turns.take(lambda: self._at(address))
        counters = self.levels.counters["disk"]
        if not found:
            counters.faults += 1
            raise BadOperand(f"there is no page {address!r} in this memory; it may be forgotten")
        counters.hits += 1
        ((number, page),) = found.items()
        self.levels.hand_out({number: rough_tokens(page.text)})
        see(page.label)
        return page

    def _at(self, address: str) -> dict[int, Page]:
        number = self.levels.disk.number(address)
        return {} if number is None else self.levels.pages([number])

    def neighbours(self, address: str, before: int = 1, after: int = 1) -> list[Page]:
        """Give the pages around one in its source, in order. Raises BadOperand.

        Args:
            address: The page in the middle.
            before: How many before it.
            after: How many behind it.
        """
        page = self.read(address)
        return self._looked(
            lambda: self._beside(page, before, after), f"{before} + {after} pages beside {address}"
        )

    def _beside(self, page: Page, before: int, after: int) -> list[int]:
        number = self.levels.disk.number(page.address) or 0
        left, right = self.levels.disk.neighbours(number, page, before, after)
        return [*reversed(left), *right]

    def newest(self, source: str, most: int) -> list[Page]:
        """Give the pages of a source that were written last, at most so many, oldest first."""
        return self._looked(
            lambda: sorted(self.levels.disk.numbers(source=source))[-most:],
            f"the last {most} pages of {digest(source)}",
        )

    def _looked(self, find: Callable[[], list[int]], what: str) -> list[Page]:
        """The pages that are found; those that a former life has found there."""
        found: dict[int, Page] = {}

        def look() -> list[int]:
            found.update(self.levels.turns.take(lambda: self.levels.pages(find())))
            return list(found)

        noted = remembered(look, what)
        pages = list((found or self.levels.pages_again(noted)).values())
        see(_joined(pages))
        return pages

    # -- looking up -------------------------------------------------------------------------------

    def search(
        self,
        question: str | Value[str],
        *,
        most: int = 10,
        tokens: int | None = None,
        count: Count | None = None,
        among: Among | None = None,
    ) -> list[Found]:
        """Give the pages that fit a question best, best first. Raises BadOperand.

        Args:
            question: The question, or a Value of one.
            most: Most pages.
            tokens: Most tokens that all together may have (None: any number).
            count: Counts the tokens of a text (None: as the run's default processor does).
            among: As for the memory (None: its own).
        """
        asked, levels = _plain(question, "the question"), self.levels.only(among or self._among)
        found = self.firmware.search(levels, asked, most, self._clock())
        see(_joined(each.page for each in found))
        count = count or _counter()
        kept: list[Found] = []
        sizes: dict[int, int] = {}
        for each in found:
            size = count(each.page.text)
            if tokens is not None and sum(sizes.values()) + size > tokens:
                if size > tokens:
                    logging.getLogger("memory").warning(_TOO_LONG, each.page.address, size, tokens)
                continue  # a shorter one may still fit
            sizes[each.number] = size
            kept.append(each)
        levels.hand_out(sizes)
        return kept

    def context(self, question: str, tokens: int, count: Count | None = None) -> Value[str]:
        """Give the best pages for a question as one text, oldest first.

        Args:
            question: The question.
            tokens: Most tokens of the text.
            count: Counts the tokens of a text (None: as the run's default processor does).
        """
        count = count or _counter()
        found = self.search(question, most=_MOST_FILLED, tokens=tokens, count=count)
        while True:
            pages = sorted((e.page for e in found), key=lambda p: (p.time_s, p.source, p.start))
            text = JOINT.join(page.text for page in pages)
            if count(text) <= tokens or not found:
                return Value(text, _joined(pages))
            found = found[:-1]  # joined texts take a few tokens more than one by one

    def fill_operand(self, op: Op[Any], name: str, others: dict[str, Any]) -> Value[str]:
        """Give what an op's operand ``name`` gets when this memory is given for it.

        The other operands are the question; they are waited for.
        """
        return self.context(*room_for(op, name, others))

    # -- keeping ----------------------------------------------------------------------------------

    def forget(self, address_or_source: str) -> int:
        """Forget the page at an address, or all of a source, and give how many there were.

        What was made from them alone (``links``) is forgotten with them, and counted; what has
        another source left stays as it is. That there were some is on the label of who asks, as
        if it had read them. Raises Refused in a program that has acted on untrusted content.
        """
        if not address_or_source:
            raise BadOperand("name the page or the source to forget: an address or a source")
        which = digest(address_or_source)
        forget = partial(self._forget, address_or_source)
        noted = remembered(forget, f"forgetting pages {which}", CHANGED)
        count, *told = noted if isinstance(noted, list) else [noted]
        see(label_of(told[0]) if told else USER)
        return int(count)

    def _forget(self, address_or_source: str) -> int | list[Any]:
        """How many there were; with their label, where it is another than the user's."""
        _check_trust(address_or_source)
        label, count = self.levels.turns.take(lambda: self._gone(address_or_source))
        return count if label is USER else [count, label_text(label)]

    def _gone(self, address_or_source: str) -> tuple[Label, int]:
        disk = self.levels.disk
        number = disk.number(address_or_source)
        numbers = disk.numbers(source=address_or_source) if number is None else [number]
        numbers += disk.drawn_from(numbers)
        label = _joined(disk.pages(numbers).values())
        disk.set_file(address_or_source, None)  # first: a file half forgotten is not unchanged
        self.levels.forget(numbers)
        return label, len(numbers)

    def check(self) -> list[str]:
        """Say what is wrong with the store, a sentence each; an empty list is none."""
        return self.levels.disk.check() + self.levels.index.disagreements()


def _plain(text: str | Value[str], what: str) -> str:
    """A text as it is. Raises BadOperand for anything else."""
    content = text.value if isinstance(text, Value) else text
    if not isinstance(content, str):
        raise BadOperand(f"{what} must be a text, not a {type(content).__name__}")
    return check_text(content, what)


def _sound(page: Page) -> Page:
    """The page, if it can be stored and dated. Raises BadOperand."""
    for text, what in ((page.text, "the text of a page"), (page.source, "the source of a page")):
        _plain(text, what)
    if not TIMES_S[0] <= page.time_s < TIMES_S[1]:
        raise BadOperand(f"time_s is in seconds since 1970, and {page.time_s} is in no year")
    if not 0 <= page.importance <= 1:
        raise BadOperand(f"importance is from 0 to 1, not {page.importance}")
    return page


def _check_trust(what: str) -> None:
    """Raises Refused (rule 5). Asked where it is done: what a former life did is not done again."""
    scope = inside()
    if scope is not None and scope.label.integrity is Integrity.UNTRUSTED:
        raise Refused(
            f"forgetting {one_line(what, 60)!r} was refused: the program has acted on untrusted "
            "content before it; forget in a nested program that reads none (nlpu.spawn), or "
            "declare a driver for it, which a person can approve of"
        )


def _joined(pages: Iterable[Page]) -> Label:
    return reduce(join, (page.label for page in pages), USER)


def _counter() -> Count:
    """The tokens of the run's default processor; outside a run, an estimate."""
    scope = inside()
    return rough_tokens if scope is None else scope.processor(None).count
