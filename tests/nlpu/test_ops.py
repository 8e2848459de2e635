"""Ops: definitions, binding, result types, samples and settings."""

from __future__ import annotations

from enum import Enum
from math import inf, nan
from typing import Any, Literal

import pytest
from kit import asked, computer, count, echo, execute, finish, merge, shorten, yes
from pydantic import BaseModel

from nlpu import lift, nlop, op
from nlpu.errors import BadOp, BadOperand, UnknownProcessor
from nlpu.testing.scripted import Scripted


class Mood(Enum):
    GOOD = "good"
    BAD = 2


class Person(BaseModel):
    name: str
    age: int
    tags: list[str] = []


# -- definitions ------------------------------------------------------------------------------


def test_an_op_is_its_function() -> None:
    assert (merge.name, merge.text) == ("merge", "Merge the two texts.")
    assert [(place.name, place.type.kind) for place in merge.operands] == [
        ("left", "text"),
        ("right", "text"),
    ]
    assert (yes.result.kind, yes.max_tokens, yes.temperature) == ("bool", 8, 0.0)


def test_equal_ops_have_equal_digests_and_settings_change_them() -> None:
    first, second = op("Translate"), op("Translate")
    assert first == second and hash(first) == hash(second) and first.digest == second.digest
    changes: list[dict[str, Any]] = [
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 9},
        {"at_limit": "trim"},
    ]
    digests = {first.using(**change).digest for change in changes} | {first.digest}
    assert len(digests) == 5
    assert first.using(processor="other").digest == first.digest  # it is in the key by identity


def test_inline_ops_name_their_operands() -> None:
    both = op("Compare the two", Literal["same", "other"], operands=2)
    assert [place.name for place in both.operands] == ["text_1", "text_2"]
    assert both.name == "compare_the_two"


def bare(text: str) -> str: ...


def no_return(text: str):  # type: ignore[no-untyped-def]
    """Do it."""


def no_annotation(text) -> str:  # type: ignore[no-untyped-def]
    """Do it."""


def anything(text: str) -> Any:
    """Do it."""


def reserved(samples: str) -> str:
    """Do it."""


@pytest.mark.parametrize("function", [bare, no_return, no_annotation, anything, reserved])
def test_bad_definitions_are_refused(function: Any) -> None:
    with pytest.raises(BadOp):
        nlop(function)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"max_tokens": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"temperature": nan},
        {"temperature": inf},
        {"temperature": "hot"},
        {"temperature": True},
        {"repetition_penalty": nan},
        {"repetition_penalty": inf},
        {"repetition_penalty": 0},
        {"max_tokens": 1.5},
        {"max_tokens": 0},
        {"max_tokens": "9"},
        {"top_p": nan},
        {"at_limit": "cut"},
        {"at_limit": "trim", "out": bool},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(BadOp, match=r"^op do_it: "):
        op("Do it", **settings)
    settings = {name: value for name, value in settings.items() if name != "out"}
    with pytest.raises(BadOp, match=r"^op yes: "):
        yes.using(**settings)


def test_a_bad_type_is_said_with_the_place_it_has_in_the_op() -> None:
    with pytest.raises(BadOp, match=r"^the result of op do_it: a result can be"):
        op("Do it", object)

    def weigh(text: str, by: object) -> str:
        """Weigh it."""

    with pytest.raises(BadOp, match=r"^operand 'by' of op weigh: a result can be"):
        nlop(weigh)


def test_more_bad_ops() -> None:
    with pytest.raises(BadOp, match="empty instruction"):
        op("  ")
    with pytest.raises(BadOp, match="unknown setting 'heat'"):
        echo.using(heat=1)
    with pytest.raises(BadOp, match="each a text"):
        op("Choose", Literal["a", " "])
    with pytest.raises(BadOp, match="written the same"):
        op("Choose", Literal[1, "1"])


def test_reduce_needs_an_op_that_can_read_its_result() -> None:
    run = execute(lambda: count.reduce(["a", "b"]))
    assert isinstance(run.error, BadOp)
    assert "takes text and gives a whole number" in str(run.error)


# -- binding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: merge("a"), "'right' is missing"),
        (lambda: merge("a", "b", "c"), "got 3 operands"),
        (lambda: merge("a", left="b"), "'left' does not fit there"),
        (lambda: merge("a", middle="b"), "'middle' does not fit there"),
        (lambda: echo(3), "must be text, not int"),
        (lambda: echo(None), "must be text"),
        (lambda: echo("\ud800"), "lone surrogate (U+D800) at character 0"),
        (lambda: echo.map("abc"), "use split() on a text"),
        (lambda: echo.map([1]), "must be text, not int"),
        (lambda: echo.map(["ok", "\udc00"]), "lone surrogate"),
        (lambda: echo.reduce([]), "at least one item"),
        (lambda: echo.map(lift(lambda: "abc")()), "take a list"),
        (lambda: op("Add", int).using()(["\ud800"]), "must be text"),
        (lambda: echo("x", samples=0), "samples must be a whole number more than 0"),
        (lambda: echo("x", samples=3), "temperature 0 are all the same"),
    ],
)
def test_bind_errors_say_what_is_wrong(call: Any, words: str) -> None:
    run = execute(call)
    assert isinstance(run.error, BadOperand), repr(run.error)
    assert words in str(run.error)
    assert run.receipt.attempts == 0


def test_operands_may_be_named_and_typed() -> None:
    @nlop
    def describe(person: Person, moods: list[Mood], big: bool) -> str:
        """Describe."""

    def program() -> Any:
        return describe(big=True, person=Person(name="Ann", age=3), moods=[Mood.BAD])

    engine = Scripted("fine")
    assert execute(program, engine=engine).result == "fine"
    assert engine.seen[0].operands == {
        "person": '{"name":"Ann","age":3,"tags":[]}',
        "moods": "[2]",
        "big": "yes",
    }


def test_a_value_of_the_wrong_type_fails_when_it_arrives() -> None:
    run = execute(lambda: echo(count("x")), engine={"many": "3"})
    assert isinstance(run.error, BadOperand)
    assert "operand 'text' of echo must be text, not int" in str(run.error)


def test_lists_of_values_are_operands() -> None:
    @nlop
    def join_all(items: list[str]) -> str:
        """Join."""

    engine = Scripted(lambda seen: "j" if "Join" in seen.instruction else seen.operands["text"])
    assert execute(lambda: join_all([echo("a"), "b"]), engine=engine).result == "j"
    assert asked(engine)[-1] == '["a","b"]'


def test_an_unknown_processor_is_named() -> None:
    run = execute(lambda: echo.using(processor="big")("x"))
    assert isinstance(run.error, UnknownProcessor)
    assert "'big'; this computer has: main" in str(run.error)


def test_an_op_can_name_its_processor() -> None:
    small, big = Scripted("small"), Scripted("big", model="big")
    with computer({"small": small, "big": big}) as machine:
        run = finish(machine.start(lambda: [echo("x"), echo.using(processor="big")("x")]))
    assert run.result == ["small", "big"]
    assert (len(small.seen), len(big.seen)) == (1, 1)


def test_lift_takes_structures_of_values() -> None:
    def program() -> Any:
        joined = lift(lambda items, *, end: "".join(items) + end)
        return joined([echo("a"), echo("b"), "c"], end=shorten("!"))

    assert execute(program).result == "abc!"


# -- samples -----------------------------------------------------------------------------------


def test_samples_are_independent_draws() -> None:
    engine = Scripted(["a", "b", "c", "d"])
    warm = echo.using(temperature=0.8)

    def program() -> Any:
        return warm("x", samples=3), warm("x", sample=7), warm("x", sample=7)

    run = execute(program, engine=engine)
    assert run.result == (["a", "b", "c"], "d", "d")
    assert len(engine.seen) == 4


def test_what_contains_itself_is_refused() -> None:
    def program() -> Any:
        numbers: list[Any] = [1]
        numbers.append(numbers)
        return total(numbers)

    @nlop
    def total(numbers: list[int]) -> int:
        """Add the numbers."""

    assert "contains itself" in str(execute(program).error)
