"""The context window: regions of fixed size, filled so that a request always fits.

Theory of operation
-------------------
A window is a value. Every operation gives a new window or raises, and then the old one still holds.
Its text is four regions in this order, so that what changes least comes first and a server can
reuse the shared prefix:

    protected   instruction and rules; given when the window is made, and never again
    pinned      what must stay
    working     the transcript, append-only
    operands    what this one request is about; replaced each time

When the working region is full, its oldest entries are written out through ``store``, all at once
down to half the region, and one entry takes their place: a summary if the program gave a way to
make one, and the address of a page that lists their addresses. That entry is an entry like others;
when it goes out in turn, the links form a chain and nothing is lost. An entry too large for its
region is written out whole; its beginning stays, with its address.

    window = Window(2048, processor.count, store, protected="Answer briefly.")
    window = window.pin("Today is Monday.").append("user: hello").with_operands("What day is it?")
    reply(window.value())                     # the op's own text is outside: see ``window_for``
    for region in window.regions():
        print(region.name, region.tokens, region.capacity)

Rules
1. ``count(text()) <= size`` and every region is within its capacity, by the model's own tokenizer,
   always.
2. No operation writes the protected region.
3. What leaves the window can be read at an address that the window holds, itself or along links.
4. ``store`` is called before the text leaves; it gives the address and may be called again with
   the same text.
5. The window's label joins those of all it holds, and a program that reads it has seen that; no
   entry is labelled better than the program that puts it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

from nlpu.errors import BadOp, DoesNotFit
from nlpu.label import USER, Label, join
from nlpu.memory.window.entries import JOINT, Count, Entry, Store, fitted, joined
from nlpu.ops.op import Op
from nlpu.printing import counted
from nlpu.processor import Processor
from nlpu.value import Value, lowered, see

Condense = Callable[[Sequence[str]], str]

LEAST_TOKENS = 96  # of a region that holds anything: a link and the note around it must fit
_JOINTS_TOKENS = 6  # between the four regions


class Region(NamedTuple):
    """One region as it stands, for display."""

    name: str
    tokens: int
    capacity: int
    entries: int


@dataclass(frozen=True)
class Window:
    """A context window of ``size`` tokens.

    count:    tokens of a text as the model reads it.
    store:    keeps a text with its label, gives its address.
    pinned_tokens, operand_tokens: sizes of these regions (default: an eighth and a quarter of what
              the protected region leaves); the working region has the rest.
    """

    size: int
    count: Count
    store: Store
    protected: str = ""
    pinned_tokens: int = -1
    operand_tokens: int = -1
    pinned: tuple[Entry, ...] = ()
    working: tuple[Entry, ...] = ()
    operands: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        free = self.size - self.count(self.protected)
        if self.pinned_tokens < 0:
            object.__setattr__(self, "pinned_tokens", free // 8)
        if self.operand_tokens < 0:
            object.__setattr__(self, "operand_tokens", free // 4)
        if self.working_tokens < 2 * LEAST_TOKENS:
            raise DoesNotFit(
                f"the regions leave {self.working_tokens} of {self.size} tokens for the transcript "
                f"and it needs {2 * LEAST_TOKENS}: shorten the rules or the other regions",
                self.size - self.working_tokens + 2 * LEAST_TOKENS,
                self.size,
            )

    def __repr__(self) -> str:
        held = f"{len(self.pinned)} pinned, {len(self.working)} in the transcript"
        held = f"{held}, {counted(len(self.operands), 'operand')}"
        return f"Window({self.size:,} tokens: {held})"

    # -- reading ------------------------------------------------------------------------------

    @property
    def working_tokens(self) -> int:
        """Size of the working region."""
        reserved = self.pinned_tokens + self.operand_tokens + _JOINTS_TOKENS
        return self.size - self.count(self.protected) - reserved

    @property
    def label(self) -> Label:
        """The label of ``data()``."""
        entries = (*self.pinned, *self.working, *self.operands)
        return reduce(join, (entry.label for entry in entries), USER)

    def value(self) -> Value[str]:
        """Give all but the protected region, for an op; the program has not seen it."""
        return Value(self._data(), self.label)

    def data(self) -> str:
        """Give all but the protected region; the program that reads it has seen it."""
        see(self.label)
        return self._data()

    def text(self) -> str:
        """Give all of it; the program that reads it has seen it."""
        see(self.label)
        return self._text()

    def regions(self) -> tuple[Region, ...]:
        """Tell what each region holds and could hold, in tokens."""
        protected = self.count(self.protected)
        rows = [Region("protected", protected, protected, int(bool(self.protected)))]
        held = ("pinned", self.pinned_tokens), ("working", self.working_tokens)
        for name, capacity in (*held, ("operands", self.operand_tokens)):
            entries = getattr(self, name)
            rows.append(Region(name, self.count(joined(entries)), capacity, len(entries)))
        return tuple(rows)

    # -- writing ------------------------------------------------------------------------------

    def pin(self, text: str, label: Label = USER) -> Window:
        """Keep a text in the window for good. Raises DoesNotFit: a pin is never paged out."""
        return replace(self, pinned=(*self.pinned, Entry(text, lowered(label))))._checked()

    def with_operands(self, *texts: str, label: Label = USER) -> Window:
        """Replace the operands. Those that are too large are paged out behind their beginnings."""
        share = self.operand_tokens // max(1, len(texts)) - 2  # 2: the joint
        label = lowered(label)
        entries = tuple(fitted(text, label, share, self.count, self.store) for text in texts)
        return replace(self, operands=entries)._checked()

    def append(self, text: str, label: Label = USER, condense: Condense | None = None) -> Window:
        """Add to the transcript, paging out its oldest entries if need be.

        condense: makes a summary of the texts that have to leave; it stays with the link to them.
        """
        most = self.working_tokens // 2 - 2
        entry = fitted(text, lowered(label), most, self.count, self.store)
        fuller = replace(self, working=(*self.working, entry))
        if fuller._excess() is None:
            return fuller
        rest = self._newest(self.working_tokens // 2 - self.count(entry.text))
        return self.page_out(len(self.working) - len(rest), condense)._with(entry)

    def page_out(self, entries: int, condense: Condense | None = None) -> Window:
        """Write the oldest entries out; what stays of them is a summary and a link."""
        old = self.working[:entries]
        if not old:
            return self
        label = reduce(join, (entry.label for entry in old), USER)
        listed = "\n".join(self.store(entry.text, entry.label) for entry in old)
        if condense is not None:
            see(label)
        note = f"[{len(old)} earlier entries are listed at {self.store(listed, label)}]"
        summary = condense([entry.text for entry in old]) if condense is not None else ""
        label, most = lowered(label), max(self.working_tokens // 4, LEAST_TOKENS)
        stub = fitted(summary, label, most, count=self.count, store=self.store, note=note)
        return replace(self, working=(stub, *self.working[entries:]))._checked()

    # -- helpers ------------------------------------------------------------------------------

    def _data(self) -> str:
        return joined((*self.pinned, *self.working, *self.operands))

    def _text(self) -> str:
        return JOINT.join(part for part in (self.protected, self._data()) if part)

    def _excess(self) -> tuple[str, int, int] | None:
        """The first region that is too full, with its tokens and its capacity."""
        for name, tokens, capacity, _ in self.regions():
            if tokens > capacity:
                return name, tokens, capacity
        tokens = self.count(self._text())  # not just the sum: joining can change how it is cut
        return ("window", tokens, self.size) if tokens > self.size else None

    def _checked(self) -> Window:
        excess = self._excess()
        if excess is None:
            return self
        name, tokens, capacity = excess
        raise DoesNotFit(
            f"the {name} would hold {tokens} tokens and has {capacity}: give less, or make a "
            "window with other region sizes",
            tokens,
            capacity,
        )

    def _with(self, entry: Entry) -> Window:
        """With the entry at the end; should the joined texts need a few tokens more, with less."""
        fuller = replace(self, working=(*self.working, entry))
        if fuller._excess() is None or len(self.working) < 2:
            return fuller._checked()
        return self.page_out(2)._with(entry)

    def _newest(self, tokens: int) -> tuple[Entry, ...]:
        """The newest entries that have no more than so many tokens; never all of them."""
        start, used = len(self.working), 0
        while start > 1:
            used += self.count(self.working[start - 1].text) + 2
            if used > tokens:
                break
            start -= 1
        return self.working[start:]


def window_for(
    op: Op[Any],
    processor: Processor,
    store: Store,
    pinned_tokens: int = -1,
    operand_tokens: int = -1,
) -> Window:
    """Make a window whose ``data()`` always fits as the only operand of an op on a processor.

    The op's own text is the protected region, outside: data is counted as the codec will place it,
    fences and all.
    """
    if len(op.operands) != 1:
        raise BadOp(f"{op.name} must have one operand, for the window; it has {len(op.operands)}")
    convention = processor.convention
    more = "\n" if convention.line else ""  # pages are counted one by one, and are several lines

    def whole(text: str) -> int:
        return len(processor.codec.encode(op, (text + more,), convention))

    least = whole("")  # an empty page takes nothing

    def count(text: str) -> int:
        return whole(text) - least

    return Window(
        processor.room(op),
        count,
        store,
        pinned_tokens=pinned_tokens,
        operand_tokens=operand_tokens,
    )
