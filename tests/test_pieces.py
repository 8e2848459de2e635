"""Streaming over a retry: no text twice without a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, echo, finish

from nlpu.engines.scripted import Scripted
from nlpu.errors import ConnectionLost
from nlpu.wire import Reply, Request
from runtime.pieces import AGAIN


class Breaking(Scripted):
    """Says the n-th of several texts a letter at a time; all but the last break off."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(texts[-1])
        self.texts = texts

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        text = self.texts.pop(0)
        for letter in text if on_text is not None else "":
            on_text(letter)
        if self.texts:
            raise ConnectionLost("gone")
        return Reply(text, "stop", 1, len(text))


def shown(*texts: str) -> str:
    with computer(Breaking([*texts])) as machine:
        run = machine.start(lambda: echo("x"), stream=True)
        pieces = "".join(run.stream())
        assert finish(run).result == texts[-1]
        return pieces


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (("One two.",), "One two."),
        (("One t", "One two."), "One two."),
        (("", "One two."), "One two."),
        (("One two.", "One two."), "One two."),
        (("One t", "One", "One two."), "One two."),
        (("One t", "Eins."), f"One t{AGAIN}Eins."),
        (("One two.", "One"), f"One two.{AGAIN}One"),
        (("One t", "One or", "One or two."), f"One t{AGAIN}One or two."),
    ],
)
def test_what_was_given_is_not_given_again(texts: tuple[str, ...], seen: str) -> None:
    assert shown(*texts) == seen


@given(st.lists(st.text("ab", max_size=4), max_size=3), st.text("ab", min_size=1, max_size=5))
def test_after_the_last_mark_stands_the_result(broken: list[str], text: str) -> None:
    assert shown(*broken, text).rpartition(AGAIN)[2] == text
