"""Nested programs keep what they were given and what they issued, whoever ends first."""

from __future__ import annotations

from typing import Any

from nlpu import nlop
from nlpu.runtime import Computer, FakeClock, first, spawn
from nlpu.testing.scripted import Say, Scripted, Seen


@nlop
def ask(text: str) -> str:
    """Say something about the text."""


def _slowly(seen: Seen) -> Say:
    text = seen.operands["text"]
    return Say(f"{text}!", seconds=float(len(text)))


def _run(program: Any) -> Any:
    with Computer(Scripted(_slowly), clock=FakeClock()) as computer:
        return computer.run(program).result


def test_a_value_given_to_a_nested_program_outlives_the_giver() -> None:
    def inner(texts: list[Any]) -> Any:
        return ask(texts[0])

    def outer() -> Any:
        return spawn(inner, [ask("given")])

    assert _run(outer) == "given!!"


def test_what_a_nested_program_issued_outlives_its_parent() -> None:
    def inner() -> Any:
        late = ask("a long text that takes its time")
        return [ask("short").value, late]

    def outer() -> Any:
        nested = spawn(inner)
        assert ask("ab").value == "ab!"  # ends while the other runs
        return nested

    assert _run(outer) == ["short!", "a long text that takes its time!"]


def test_a_loser_that_a_nested_program_was_given_is_not_cancelled() -> None:
    def inner(text: Any) -> Any:
        assert ask("of it").value == "of it!"
        return ask(text)

    def outer() -> Any:
        fast, slow = ask("a"), ask("slow")
        return [first(fast, slow), spawn(inner, slow)]

    assert _run(outer) == ["a!", "slow!!"]
