"""Terminals that are a few columns wide, or say that they have none, as some containers' do."""

from __future__ import annotations

import pytest

from nlpu.printing import cells, columns, cut, folded
from nlpu.runtime.drivers.approval import lined, quoted

TEXTS = ("", "a", "two words", "x" * 90, "東京タワー", "a\u0301\u0301 b")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("width", [-4, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_cut_and_folded_at_any_width(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= max(width, 1)
    lines = list(folded(text, width))
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cells(line) <= max(width, 2) for line in lines)
    assert lined(text, width) and quoted(text, width)


def test_a_table_keeps_what_has_to_be_typed() -> None:
    rows = [["run", "program"], ["is5qpoac.12", "a long name"]]
    assert columns(rows, most=14, whole=1) == ["run          …", "is5qpoac.12  …"]
    assert columns(rows, most=1, whole=1) == ["run          …", "is5qpoac.12  …"]
    assert columns(rows, most=1) == ["…  …"] * 2
