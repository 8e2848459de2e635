"""Endorsement: into what the program has named, and nothing else."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from driver_kit import World
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, execute, finish, resumed, shorten
from pydantic import BaseModel, Field

from nlpu import Value
from nlpu.errors import BadOperand, Malformed, NlpuError, Refused
from nlpu.label import SYSTEM, UNTRUSTED, Integrity, intern_label
from nlpu.runtime import Run, endorse, spawn
from nlpu.runtime.drivers.endorse import _closed, _member
from nlpu.runtime.drivers.person import ScriptedPerson

NOBODY = ScriptedPerson()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


Small = Annotated[int, Field(ge=0, le=9)]
CLOSED: list[tuple[Any, str, Any]] = [
    (bool, "yes", True),
    (Literal["a", "b"], " b ", "b"),
    (Colour, "blue", Colour.BLUE),
    (Size, "2", Size.LARGE),
    (Small, "7", 7),
    (["ann", "bob"], "bob", "bob"),
    ({"one"}, "one", "one"),
]


@pytest.mark.parametrize(("into", "text", "member"), CLOSED)
def test_what_a_program_has_named_can_be_endorsed(into: Any, text: str, member: Any) -> None:
    got = execute(lambda: endorse(Value(text, UNTRUSTED), into))
    assert got.result == member


class Open(BaseModel):
    to: str


@pytest.mark.parametrize(
    "into", [str, float, int, list[str], Open, 7, None, Annotated[int, Field(ge=0)]]
)
def test_what_is_open_is_refused(into: Any) -> None:
    with pytest.raises(BadOperand, match="closed"):
        execute(lambda: endorse(Value("x", UNTRUSTED), into)).result  # noqa: B018


@pytest.mark.parametrize("into", [[], [1], "ann"])
def test_a_set_holds_texts(into: Any) -> None:
    with pytest.raises(BadOperand):
        execute(lambda: endorse(Value("a", UNTRUSTED), into)).result  # noqa: B018


@pytest.mark.parametrize("into", [{"a", ""}, ["a", " b"], Value(["a", "b "], UNTRUSTED)])
def test_a_blank_member_is_the_sets_mistake(into: Any) -> None:
    with pytest.raises(BadOperand, match="without outer blanks"):
        execute(lambda: endorse(Value("a", UNTRUSTED), into)).result  # noqa: B018


@given(st.sampled_from(CLOSED), st.one_of(st.text(), st.integers(), st.booleans(), st.none()))
def test_nothing_comes_out_that_was_not_named(closed: Any, content: Any) -> None:
    into = _closed(closed[0])
    everything: list[Any] = [True, False, "a", "b", *Colour, *Size, *range(10), "ann", "bob", "one"]
    try:
        got = _member(content, into)
    except Malformed:
        return
    assert any(type(got) is type(each) and got == each for each in everything)


def test_an_endorsed_choice_may_decide_what_a_driver_does() -> None:
    world = World()
    known = ["ann", "bob"]
    read = Value("bob", UNTRUSTED)
    assert execute(lambda: world.send(endorse(read, known), read), person=NOBODY).result is True
    assert world.sent == [("bob", "bob")]


def test_what_is_not_a_member_fails_alone() -> None:
    world = World()

    def program() -> Any:
        eve = endorse(Value("eve", UNTRUSTED), ["ann"])
        bob = endorse(Value("bob", UNTRUSTED), ["bob"])
        return world.send(bob, "x"), spawn(lambda: excepted(lambda: world.send(eve, "x").value))

    assert execute(program, person=NOBODY).result == (True, "UpstreamFailed")
    assert world.sent == [("bob", "x")]


def excepted(body: Any) -> str:
    try:
        body()
    except NlpuError as error:
        return type(error).__name__
    return ""


def test_a_set_of_untrusted_texts_endorses_nothing() -> None:
    world = World()

    def program() -> Any:
        members = Value(["eve"], UNTRUSTED)
        return world.send(endorse(Value("eve", UNTRUSTED), members), "x")

    with pytest.raises(Refused, match="'to' decides"):
        execute(program, person=NOBODY).result  # noqa: B018
    assert world.sent == []


def test_nothing_is_endorsed_after_looking() -> None:
    world = World()

    def program() -> Any:
        read = Value("bob", UNTRUSTED)
        assert str(read) == "bob"
        return world.send(endorse(read, ["bob"]), "x")

    with pytest.raises(Refused, match="acted on untrusted"):
        execute(program, person=NOBODY).result  # noqa: B018


def test_endorsed_is_trusted_by_the_system_and_readers_stay() -> None:
    seen: list[Any] = []
    secret = intern_label(Integrity.UNTRUSTED, frozenset({"ann"}))

    def program() -> None:
        for label in (UNTRUSTED, secret):
            chosen = endorse(Value("yes", label), bool)
            spawn(lambda v: v.value, chosen).ready  # noqa: B018
            seen.append(chosen)
            assert chosen.value is True

    execute(program).result  # noqa: B018
    assert [each.label for each in seen] == [SYSTEM, intern_label(Integrity.SYSTEM, secret.readers)]


def test_a_resumed_run_endorses_the_same(tmp_path: Any) -> None:
    def program() -> Any:
        return endorse(shorten(Value("bob", UNTRUSTED)), ["SHORT", "bob", "short"])

    with computer(lambda seen: "short", run_dir=tmp_path) as machine:
        run: Run[Any] = finish(machine.start(program))
    again = resumed(tmp_path, run, program, engine=lambda seen: "bob")
    assert again.result == run.result == "short"
