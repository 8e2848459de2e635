"""The context window: whatever is done to it, a request fits and nothing is lost."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import echo, merge

from nlpu.engines.embedded.vocabulary import tokenizer_files
from nlpu.engines.models import installed_model
from nlpu.errors import BadOp, DoesNotFit, MissingPart
from nlpu.label import SYSTEM, UNTRUSTED, USER, Label
from nlpu.memory.window.window import LEAST_TOKENS, Window, window_for
from nlpu.processor import Processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer, FileTokenizer
from nlpu.wire import Capabilities

RULES = "Be brief."
ADDRESS = re.compile(r"mem:\d+")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
FENCY = st.lists(st.sampled_from(["`", "```", "\n", "word ", "Ende. "]), max_size=80).map("".join)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pin", "append", "condensed", "operands", "page_out"]), TEXT | FENCY
    ),
    max_size=25,
)


class Kept:
    """A store: what it was given, by address."""

    def __init__(self, digits: int = 1) -> None:
        self.texts: list[tuple[str, Label]] = []
        self.digits = digits

    def __call__(self, text: str, label: Label) -> str:
        self.texts.append((text, label))
        return f"mem:{len(self.texts) - 1:0{self.digits}}"

    def read(self, address: str) -> str:
        return self.texts[int(address[4:])][0]

    def reachable(self, text: str) -> str:
        """A text with all it links to."""
        found = "\n".join(self.reachable(self.read(link)) for link in ADDRESS.findall(text))
        return f"{text}\n{found}"


def apply(window: Window, step: str, text: str) -> Window:
    if step == "pin":
        return window.pin(text)
    if step == "append":
        return window.append(text)
    if step == "condensed":
        return window.append(text, condense=lambda texts: f"{len(texts)} texts: {texts[0]}")
    if step == "operands":
        return window.with_operands(text, text[:20])
    return window.page_out(2)


def check_any_steps(window: Window, kept: Kept, steps: list[tuple[str, str]]) -> None:
    transcript = []
    for step, text in steps:
        before = window.text()
        try:
            window = apply(window, step, text)
        except DoesNotFit:
            assert step == "pin"  # the only thing that is never paged out
            assert window.text() == before
            continue
        if step in ("append", "condensed"):
            transcript.append(text)
        assert window.count(window.text()) <= window.size
        assert all(region.tokens <= region.capacity for region in window.regions())
        assert window.text().startswith(window.protected)
    whole = "\n".join(kept.reachable(entry.text) for entry in window.working)
    for text in transcript:
        assert text in whole


@cache
def real() -> FileTokenizer:
    try:
        return FileTokenizer(tokenizer_files(installed_model(None)))
    except MissingPart as missing:
        pytest.skip(str(missing))


def processor() -> Processor:
    codec = Codec(CharTokenizer(), scripted_frame())
    return Processor("p", Scripted(), Capabilities("m", 2000, 1), codec)


@settings(deadline=None)
@given(STEPS)
def test_a_window_always_fits_and_loses_nothing(steps: list[tuple[str, str]]) -> None:
    kept = Kept()
    check_any_steps(Window(600, len, kept, protected=RULES), kept, steps)


@settings(deadline=None)
@given(STEPS)
def test_what_it_holds_fits_the_op_it_was_made_for(steps: list[tuple[str, str]]) -> None:
    kept, small = Kept(), processor()
    window = window_for(echo, small, kept)
    check_any_steps(window, kept, steps)
    for step, text in steps:
        try:
            window = apply(window, step, text)
        except DoesNotFit:
            continue
        small.prompt(echo, [window.data()])  # raises DoesNotFit if it does not


@pytest.mark.local
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_it_fits_by_the_real_tokenizer(steps: list[tuple[str, str]]) -> None:
    kept = Kept()
    window = Window(400, lambda text: len(real().encode(text)), kept, protected=RULES)
    check_any_steps(window, kept, steps)


def test_the_transcript_only_grows_until_it_is_full() -> None:
    window, kept = Window(1000, len, Kept(), protected=RULES), 0
    for number in range(60):
        longer = window.append(f"turn {number} " + "x" * 30)
        kept += longer.text().startswith(window.text())
        window = longer
    assert kept >= 52  # prefixes are shared but when half the region goes out at once


def test_what_is_condensed_links_to_its_sources() -> None:
    kept = Kept()
    window = Window(700, len, kept)
    texts = [f"turn {number} " + "y" * 50 for number in range(12)]
    for text in texts:
        window = window.append(text, condense=lambda gone: f"{len(gone)} turns about y")
    first = window.working[0].text
    assert "turns about y" in first
    listed = kept.read(ADDRESS.findall(first)[-1]).split("\n")
    assert kept.read(listed[-1]) in texts


def test_a_text_larger_than_the_window_stays_as_its_beginning_and_address() -> None:
    kept = Kept()
    book = "It rained. " * 500
    window = Window(600, len, kept).append(book).with_operands(book)
    for entry in (*window.working, *window.operands):
        assert entry.text.startswith("It rained. It rained.")
        assert kept.read(ADDRESS.findall(entry.text)[0]) == book


def test_labels_go_out_with_the_texts_and_stay_in_the_window() -> None:
    kept = Kept()
    window = Window(500, len, kept).append("z" * 100, UNTRUSTED).append("fine" * 10, USER)
    assert window.label is UNTRUSTED
    window = window.page_out(1)
    assert kept.texts[0] == ("z" * 100, UNTRUSTED)
    assert window.working[0].label is UNTRUSTED and window.working[1].label is USER
    assert Window(500, len, kept).pin("a", SYSTEM).label is SYSTEM


def test_regions_are_shown_with_tokens_and_capacities() -> None:
    window = Window(600, len, Kept(), protected=RULES, pinned_tokens=100, operand_tokens=100)
    rows = window.pin("Monday").append("hello").with_operands("what?").regions()
    assert [(r.name, r.tokens, r.capacity, r.entries) for r in rows] == [
        ("protected", 9, 9, 1),
        ("pinned", 6, 100, 1),
        ("working", 5, 385, 1),
        ("operands", 5, 100, 1),
    ]


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(DoesNotFit, match="shorten the rules"):
        Window(2 * LEAST_TOKENS, len, Kept(), protected=RULES)
    with pytest.raises(DoesNotFit, match="pinned would hold 500 tokens"):
        Window(600, len, Kept()).pin("p" * 500)
    with pytest.raises(BadOp, match="one operand"):
        window_for(merge, processor(), Kept())


def test_the_smallest_transcript_still_pages_out() -> None:
    kept = Kept(digits=12)  # as long as real ones
    window = Window(2 * LEAST_TOKENS + 6, len, kept, pinned_tokens=0, operand_tokens=0)
    texts = [f"turn {number} " + "and on " * (number % 30) for number in range(40)]
    for text in texts:
        window = window.append(text)
    whole = kept.reachable(window.data())
    assert all(text in whole for text in texts)
