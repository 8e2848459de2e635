"""Streaming over a retry: no text twice without a word."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import PATIENCE_S, computer, echo, finish, merge, said, shorten

from nlpu import lift
from nlpu.errors import ConnectionLost, ProgramError
from nlpu.runtime.observe.pieces import AGAIN
from nlpu.testing.scripted import Scripted
from nlpu.wire import Reply, Request, Usage


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
        return Reply(text, "stop", Usage(1, len(text)))


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


class Spelling(Scripted):
    """Says what it was asked a letter at a time, one call's letters among another's."""

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        reply = await super().send(request)
        for letter in reply.text if on_text is not None else "":
            on_text(letter)
            await asyncio.sleep(0.1)
        return reply


def several() -> list[object]:
    return [*echo.map(["one", "two"]).each(), merge(shorten("three"), "four")]


TEXTS = {"main/0/0": "one", "main/0/1": "two", "main/1": "three", "main/2": "three+four"}
OPS = {"main/0/0": "echo", "main/0/1": "echo", "main/1": "shorten", "main/2": "merge"}


def test_pieces_of_several_calls_name_theirs() -> None:
    with computer(Spelling(said)) as machine:
        run = machine.start(several, stream=True)
        found, ops, order = defaultdict(str), {}, []
        for piece in run.stream():
            found[piece.position] += piece
            ops[piece.position] = piece.op
            order.append(piece.position)
        assert list(run.stream()) == []  # it stays ended
    assert (found, ops) == (TEXTS, OPS)
    assert set(order[:3]) == {"main/0/0", "main/0/1", "main/1"}  # side by side


def test_what_begins_anew_names_its_call_too() -> None:
    with computer(Breaking(["One t", "Eins."])) as machine:
        pieces = list(machine.start(lambda: echo("x"), stream=True).stream())
    assert {piece.position for piece in pieces} == {"main/0"} and f"{AGAIN}E" in pieces


def test_a_stream_is_read_in_any_event_loop() -> None:
    async def reader() -> dict[str, str]:
        found: defaultdict[str, str] = defaultdict(str)
        async with computer(Spelling(said)) as machine:
            run = machine.start(several, stream=True)
            async for piece in run.stream():
                found[piece.position] += piece
            assert [piece async for piece in run.stream()] == []
            assert (await run).result == ["one", "two", "three+four"]
        assert "closed" in repr(machine)
        return found

    assert asyncio.run(asyncio.wait_for(reader(), PATIENCE_S)) == TEXTS


def test_who_stops_waiting_for_a_piece_takes_none_along() -> None:
    async def reader() -> list[str]:
        async with computer() as machine:
            run = machine.start(asked_for, stream=True)
            stream = run.stream()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.01)
            asking.set()
            return [piece async for piece in stream]

    asking = threading.Event()

    def asked_for() -> object:
        assert lift(asking.wait, blocking=True)().value
        return echo("late")

    assert "".join(asyncio.run(asyncio.wait_for(reader(), PATIENCE_S))) == "late"


def test_a_run_that_streams_nothing_says_how() -> None:
    with computer() as machine, pytest.raises(ProgramError, match="stream=True"):
        machine.start(lambda: echo("x")).stream()
