"""The controller: the one thing programs see of the hierarchy below the window.

Theory of operation
-------------------
    memory.write(text, source=..., label=...)  -> address     stored when it returns
    memory.read(address)                       -> Page
    memory.search(question, most=..., tokens=...) -> [Found]  by the chosen firmware
    answer(question, context=memory)                          an op's operand filled to its room

Pages are given out with their labels: in a run, what a search finds lowers the scope that looked,
as any value that it forces would. What a search found is noted in the run's journal, so a resumed
run sees the same pages, whatever has been written since.

Rules
1. ``write`` returns after the page is safe on the disk level; looking up by meaning catches up.
2. A page whose label was not given is untrusted.
3. Firmware is called in the scope of the program that asked: its ops are calls of that run.
4. No more tokens are given out than asked for, by the run's own tokenizer where there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from memory.embed import Embedder
from memory.firmware import Found, Policy, open_firmware
from memory.levels import Levels, rough_tokens
from memory.pages import Page
from nlpu.errors import BadOperand, DoesNotFit
from nlpu.label import UNTRUSTED, USER, Label, join
from nlpu.op import Op
from nlpu.value import CURRENT, Value, current

JOINT = "\n\n"  # between pages in an operand
_MOST_FILLED = 50  # pages put into one operand


class Memory:
    """A store of pages in a directory, and the firmware that looks things up in it.

    embedder: ``minilm``, ``static`` or one of your own; None: the one the store was made with.
    firmware: a name, or a policy. clock: seconds since 1970.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        embedder: str | Embedder | None = None,
        firmware: str | Policy = "hybrid",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.firmware = open_firmware(firmware) if isinstance(firmware, str) else firmware
        self.levels = Levels(Path(directory), embedder)
        self._clock = clock

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the store. Idempotent."""
        self.levels.close()

    # -- pages ----------------------------------------------------------------------------------

    def write(
        self,
        text: str,
        *,
        label: Label = UNTRUSTED,
        source: str = "",
        start: int = 0,
        time_s: float | None = None,
        importance: float = 0.0,
        links: Sequence[str] = (),
    ) -> str:
        """Store a text and give its address. Writing it again changes nothing."""
        when = self._clock() if time_s is None else time_s
        page = Page(
            text, source, start, start + len(text), when, label, importance, links=tuple(links)
        )
        self.write_pages([page])
        return page.address

    def write_pages(self, pages: Iterable[Page]) -> list[int]:
        """Store pages, all or none; their numbers."""
        rated = [
            page if page.importance else page.rated(self.firmware.importance(self.levels, page))
            for page in pages
        ]
        self.levels.counters["disk"].writes += len(rated)
        return self.levels.disk.add(rated)

    def store(self, text: str, label: Label) -> str:
        """``write`` in the form that a context window pages out with."""
        return self.write(text, label=label, source="window")

    def read(self, address: str) -> Page:
        """The page at an address. Raises BadOperand."""
        number = self.levels.disk.number(address)
        counters = self.levels.counters["disk"]
        if number is None:
            counters.faults += 1
            raise BadOperand(f"there is no page {address!r} in this memory; it may be forgotten")
        counters.hits += 1
        page = self.levels.pages([number])[number]
        self.levels.hand_out({number: rough_tokens(page.text)})
        _see(page.label)
        return page

    def neighbours(self, address: str, before: int = 1, after: int = 1) -> list[Page]:
        """The pages around one in its source, in order."""
        page = self.read(address)
        number = self.levels.disk.number(address) or 0
        left, right = self.levels.disk.neighbours(number, page, before, after)
        around = list(self.levels.pages([*reversed(left), *right]).values())
        _see(_joined(around))
        return around

    # -- looking up -------------------------------------------------------------------------------

    def search(self, question: str, *, most: int = 10, tokens: int | None = None) -> list[Found]:
        """The pages that fit a question best, best first, together at most ``tokens``."""
        found = self.firmware.search(self.levels, question, most, self._clock())
        count = _counter()
        kept: list[Found] = []
        sizes: dict[int, int] = {}
        for each in found:
            size = count(each.page.text)
            if tokens is not None and sum(sizes.values()) + size > tokens:
                continue  # a shorter one may still fit
            sizes[each.number] = size
            kept.append(each)
        self.levels.hand_out(sizes)
        _see(_joined(each.page for each in kept))
        return kept

    def context(self, question: str, tokens: int) -> Value[str]:
        """The best pages for a question as one text of at most so many tokens, oldest first."""
        count = _counter()
        found = self.search(question, most=_MOST_FILLED, tokens=tokens)
        while True:
            pages = sorted((e.page for e in found), key=lambda p: (p.time_s, p.source, p.start))
            text = JOINT.join(page.text for page in pages)
            if count(text) <= tokens or not found:
                return Value(text, _joined(pages))
            found = found[:-1]  # joined texts take a few tokens more than one by one

    def fill_operand(self, op: Op[Any], name: str, others: dict[str, Any]) -> Value[str]:
        """What an op's operand ``name`` gets when this memory is given for it.

        The other operands are the question. They are waited for.
        """
        texts = {key: _text(op, key, other) for key, other in others.items()}
        processor = _processor(op)
        room = processor.room(op) - sum(map(processor.count, texts.values()))
        if room <= 0:
            raise DoesNotFit(
                f"the operands of {op.name} leave no room for {name!r} from memory: shorten them",
                -room,
                0,
            )
        return self.context("\n".join(texts.values()), room)

    # -- keeping ----------------------------------------------------------------------------------

    def forget(self, address_or_source: str) -> int:
        """Forget the page at an address, or all of a source; how many there were."""
        disk = self.levels.disk
        number = disk.number(address_or_source)
        numbers = disk.numbers(source=address_or_source) if number is None else [number]
        self.levels.forget(numbers)
        disk.set_file(address_or_source, None)
        return len(numbers)

    def check(self) -> list[str]:
        """What is wrong with the store, in words."""
        return self.levels.disk.check() + self.levels.index.disagreements()


def _see(label: Label) -> None:
    """Lower the scope of the program that reads a text with this label."""
    scope = CURRENT.get()
    if scope is not None:
        scope.force(Value(None, label))


def _joined(pages: Iterable[Page]) -> Label:
    return reduce(join, (page.label for page in pages), USER)


def _counter() -> Callable[[str], int]:
    """The tokens of the run's default processor; outside a run, an estimate."""
    scope = CURRENT.get()
    return rough_tokens if scope is None else scope.processor(None).count


def _processor(op: Op[Any]) -> Any:
    return current().processor(op.processor)


def _text(op: Op[Any], name: str, operand: Any) -> str:
    content = operand.value if isinstance(operand, Value) else operand
    place = next(place for place in op.operands if place.name == name)
    return place.type.render(content)
