"""Printing a Value: it says how far it is and whose it is, and neither forces nor lowers it."""

from __future__ import annotations

from contextvars import Context
from typing import Any

import pytest
from kit import count, echo, execute, said
from printing_kit import Broken, send, told

from nlpu import Value, lift, nlop
from nlpu.errors import NlpuError
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.store.page import Page
from nlpu.memory.window.entries import Entry
from nlpu.runtime import spawn
from nlpu.runtime.executor.builtins import first
from nlpu.testing.scripted import Scripted
from nlpu.value import current


def test_a_value_in_every_state() -> None:
    kept: dict[str, Value[Any]] = {}
    seen: dict[str, str] = {}

    def program() -> str:
        kept.update(
            call=echo("x"),
            map=echo.map(["a", "b"]),
            reduce=merge_all.reduce(["a", "b"]),
            draws=echo.using(temperature=1.0)("x", samples=2),
            lifted=lift(len)("x"),
            nested=spawn(lambda: "x"),
            first=first(echo("y")),
            driven=send("ann", "x"),
            failing=count("no number"),
        )
        seen.update({name: told(value) for name, value in kept.items()})
        for value in kept.values():
            assert "<Value pending" in told(value) or value.ready
            Context().run(told, value)  # where no program runs
        return str(kept["call"])

    assert execute(program).result == "x"
    assert seen == {
        "call": "<Value pending, echo at main/0>",
        "map": "<Value pending, echo.map at main/1>",
        "reduce": "<Value pending, merge_all.reduce at main/2>",
        "draws": "<Value pending, echo at main/3>",
        "lifted": "<Value pending, len at main/4>",
        "nested": "<Value pending, <lambda> at main/5>",
        "first": "<Value pending, first at main/7>",
        "driven": "<Value pending, send at main/8>",
        "failing": "<Value pending, count at main/9>",
    }
    assert told(kept["call"]) == "<Value 'x'>"
    assert not any("pending" in told(value) for value in kept.values())


@nlop
def merge_all(texts: list[str]) -> str:
    """Merge the texts."""


def test_a_failed_value_says_why_and_where() -> None:
    def program() -> str:
        failing = count.using(retries=0)("no number")
        with pytest.raises(NlpuError):
            int(failing)
        return told(failing)

    why = "the reply 'no number' is not a whole number"
    assert execute(program).result == f'<Value failed: Malformed("{why}"), count at main/0>'


@pytest.mark.parametrize("content", ["what they say", ["what they say"], Broken()])
def test_a_repr_neither_shows_nor_lowers(content: Any) -> None:
    untrusted = Value(content, UNTRUSTED)
    page, entry = Page("what they say"), Entry("what they say", UNTRUSTED)

    def program() -> list[str]:
        texts = [told(thing) for thing in (untrusted, page, entry, [untrusted])]
        assert current().label is USER
        _ = untrusted.value  # this looks, and it counts
        assert current().label is UNTRUSTED
        return [*texts, told(untrusted), told(page)]

    *before, value, after = execute(program).result
    assert before == [
        "<Value not looked at (untrusted)>",
        "Page(no source 0-0, untrusted: not looked at)",
        "Entry(untrusted: not looked at)",
        "[<Value not looked at (untrusted)>]",
    ]
    assert value == told(untrusted) and "not looked at" not in value
    assert after == "Page(no source 0-0, untrusted: 'what they say')"


def test_whether_it_failed_is_not_shown_either() -> None:
    def program() -> list[str]:
        once = count.using(retries=0)
        good, bad = once(Value("1", UNTRUSTED)), once(Value("one", UNTRUSTED))
        echo("time passes").value  # noqa: B018
        assert good.ready and bad.ready
        return [told(good), told(bad)]

    good, bad = execute(program).result
    assert good == "<Value not looked at (untrusted), count at main/0>"
    assert bad == "<Value not looked at (untrusted), count at main/1>"


def test_what_a_program_issued_that_has_looked_is_not_shown_to_one_that_has_not() -> None:
    kept: list[Value[Any]] = []

    def looks() -> str:
        kept.append(echo(str(Value("what they say", UNTRUSTED))))
        return "done"

    def program() -> str:
        spawn(looks)
        echo("time passes").value  # noqa: B018
        assert current().label is USER
        return told(kept[0])

    assert "echo" not in execute(program).result
    other = execute(lambda: [spawn(looks).value, told(kept[-1])])  # this one has looked itself
    assert "echo at main/0/0" in other.result[1]


def test_str_of_a_value_forces_and_lowers() -> None:
    def program() -> list[Any]:
        pending = echo(Value("what they say", UNTRUSTED))
        return [str(pending), str(current().label)]

    assert execute(program).result == ["what they say", "untrusted"]


def test_a_repr_makes_no_call() -> None:
    engine = Scripted(said)
    execute(lambda: [told(echo("x")) for _ in range(9)], engine=engine)
    assert engine.seen == []
