"""Where a text ends, and what of one that grows is settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpu.engines.stops import before_stop, settled

STOPS = st.lists(st.text("ab\u00e9", min_size=1, max_size=3), max_size=3)


@pytest.mark.parametrize(
    ("stops", "left"),
    [
        ((), "abcd"),
        (("x",), "abcd"),
        (("c", "bcd"), "ab"),
        (("c", "bc"), "a"),
        (("d", "c"), "ab"),
        (("abcd",), ""),
    ],
)
def test_the_stop_that_is_whole_first_ends_it(stops: tuple[str, ...], left: str) -> None:
    assert before_stop("abcd", stops) == left


@given(st.text("ab\u00e9\U0001f600", max_size=12), STOPS)
def test_what_is_settled_never_changes(text: str, stops: list[str]) -> None:
    """However far the bytes have come; and it is all of the text in the end."""
    raw, whole = text.encode(), before_stop(text, stops)
    shown = ""
    for size in range(len(raw)):
        now, ended = settled(raw[:size], stops, whole=False)
        assert now.startswith(shown) and whole.startswith(now) and "\ufffd" not in now
        assert not ended or now == whole
        shown = now
    assert settled(raw, stops, whole=True) == (whole, whole != text)
