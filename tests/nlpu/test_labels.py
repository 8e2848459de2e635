"""Labels: the laws of joining, and how they flow through ops, lists and control."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import count, echo, execute, merge, shorten, slow, yes

from nlpu import BadOperand, Label, Value, lift
from nlpu.label import SYSTEM, UNTRUSTED, USER, Integrity, intern_label, join
from nlpu.runtime import endorse, first, spawn
from nlpu.testing.scripted import Scripted

PEOPLE = st.none() | st.frozensets(st.sampled_from("abcd"))
LABELS = st.builds(intern_label, st.sampled_from(Integrity), PEOPLE)
ANN = intern_label(Integrity.USER, frozenset({"ann"}))


def may_read(label: Label, who: str) -> bool:
    return label.readers is None or who in label.readers


@given(LABELS, LABELS, LABELS)
def test_join_is_a_semilattice(a: Label, b: Label, c: Label) -> None:
    assert join(a, b) is join(b, a)
    assert join(a, join(b, c)) is join(join(a, b), c)
    assert join(a, a) is a
    assert join(a, USER) is a


@given(LABELS, LABELS)
def test_join_never_raises_trust_nor_widens_readers(a: Label, b: Label) -> None:
    both = join(a, b)
    assert both.integrity == min(a.integrity, b.integrity)
    for who in "abcde":
        assert may_read(both, who) == (may_read(a, who) and may_read(b, who))


def test_labels_are_interned_and_a_missing_one_is_untrusted() -> None:
    assert intern_label(Integrity.USER) is USER
    assert Label() == UNTRUSTED


def label_of(program: Any, engine: Any = None) -> Label:
    """The label of the Value that a program looks at last."""
    found: list[Label] = []

    def looked_at() -> str:
        value = program()
        content = str(value.value)
        found.append(value.label)
        return content

    run = execute(looked_at, engine=engine)
    assert run.status == "done", run.error
    return found[0]


BAD = Value("bad", UNTRUSTED)
SECRET = Value("secret", ANN)


@pytest.mark.parametrize(
    ("program", "label"),
    [
        (lambda: echo("x"), USER),
        (lambda: echo(BAD), UNTRUSTED),
        (lambda: merge("x", Value("s", SYSTEM)), SYSTEM),
        (lambda: merge(SECRET, BAD), intern_label(Integrity.UNTRUSTED, frozenset({"ann"}))),
        (lambda: echo(echo(echo(BAD))), UNTRUSTED),
        (lambda: lift(len)(BAD), UNTRUSTED),
        (lambda: lift(lambda items: items[0])([echo("x"), BAD]), UNTRUSTED),
        (lambda: echo.map(["x", BAD]), UNTRUSTED),
        (lambda: echo.map(["x", BAD]).each()[0], USER),
        (lambda: echo.map(["x", BAD]).each()[1], UNTRUSTED),
        (lambda: echo.map(Value(["x"], UNTRUSTED)), UNTRUSTED),
        (lambda: echo.map(lift(lambda text: [text])(BAD)), UNTRUSTED),
        (lambda: merge.map(["x"], BAD), UNTRUSTED),
        (lambda: echo.reduce(["x", "y", BAD]), UNTRUSTED),
        (lambda: echo.reduce([BAD]), UNTRUSTED),
        (lambda: echo.using(temperature=1.0)(BAD, samples=2), UNTRUSTED),
        (lambda: spawn(lambda: echo(BAD)), UNTRUSTED),
        (lambda: spawn(lambda: str(echo(BAD))), UNTRUSTED),
        (lambda: spawn(lambda value: value, BAD), UNTRUSTED),
        (lambda: first(echo(BAD)), UNTRUSTED),
    ],
)
def test_a_result_joins_what_it_was_made_of(program: Any, label: Label) -> None:
    assert label_of(program) is label


def test_only_an_endorsement_gives_trust() -> None:
    assert label_of(lambda: yes(BAD), {"so?": "yes"}) is UNTRUSTED
    assert label_of(lambda: endorse(yes(BAD), into=bool), {"so?": "yes"}) is SYSTEM


def test_forcing_lowers_the_scope_from_then_on() -> None:
    seen: list[Label] = []

    def program() -> Any:
        before = echo("before")
        if yes(BAD):
            after = echo("after")
        str(after), str(before)
        seen.extend([before.label, after.label])
        return lift(len)("constant")

    assert label_of(program, {"so?": "yes"}) is UNTRUSTED
    assert seen == [USER, UNTRUSTED]


@pytest.mark.parametrize("value", [BAD, SECRET])
def test_forcing_a_literal_value_lowers_the_scope_too(value: Value[str]) -> None:
    def program() -> Any:
        str(value)
        return echo("after")

    assert label_of(program) is value.label


def test_readers_flow_through_control() -> None:
    def program() -> Any:
        return echo("long") if len(echo(SECRET)) > 3 else echo("short")

    assert label_of(program) is ANN


def test_awaiting_lowers_the_scope() -> None:
    seen: list[Label] = []

    async def program() -> str:
        await echo(BAD)
        after = echo("after")
        text = await after
        seen.append(after.label)
        return text

    execute(program)
    assert seen == [UNTRUSTED]


def test_a_nested_program_is_a_scope_of_its_own() -> None:
    seen: list[Label] = []

    def nested() -> str:
        return "dark" if yes(BAD) else "light"

    def program() -> Any:
        inner = spawn(nested)
        before = echo("before it is forced")
        str(before)
        seen.append(before.label)
        str(inner)
        seen.append(inner.label)
        after = echo("after")
        str(after)
        seen.append(after.label)

    run = execute(program, engine={"so?": "yes"})
    assert run.status == "done", run.error
    assert seen == [USER, UNTRUSTED, UNTRUSTED]


def test_a_loser_that_settles_in_the_winner_s_turn_leaves_no_label() -> None:
    """It would in this life, and not in the next, which knows the winner."""

    run = execute(lambda: first(shorten("winner"), echo(Value("x", UNTRUSTED))), engine=slow(1.0))
    assert run.result == "winner" and run.label is USER


def test_calls_are_shared_labels_are_not() -> None:
    seen: list[Label] = []

    def program() -> None:
        dark, light = echo(BAD), echo("bad")
        later = echo(BAD)
        for value in (light, dark, later):
            seen.append(label_after(value))

    def label_after(value: Value[str]) -> Label:
        while not value.ready:
            str(count("wait"))
        return value.label

    run = execute(program, engine=Scripted(lambda seen: "1" if "many" in seen.instruction else "b"))
    assert run.status == "done", run.error
    assert seen == [USER, UNTRUSTED, UNTRUSTED]
    assert run.receipt.shared >= 2


def test_a_scope_lowered_labels_what_grows_in_it() -> None:
    def program() -> Any:
        str(BAD)
        return echo.map(["x", "y"]).each()[0]

    assert label_of(program) is UNTRUSTED


# -- contents are not shared ---------------------------------------------------------------------


@pytest.mark.parametrize("way", ["lift", "value", "item", "given", "later"])
def test_a_content_is_never_the_programs_to_change(way: str) -> None:
    """Else untrusted text could be written into a Value that the user vouches for."""

    def program() -> Any:
        given = [["ann"]]
        names = Value(given)
        if way == "lift":
            _ = lift(lambda lists, name: lists[0].append(name) or lists)(names, "eve").value
        elif way == "value":
            names.value[0].append("eve")
        elif way == "item":
            names[0].append("eve")
        elif way == "given":
            given[0].append("eve")
        else:
            shown = lift(lambda lists: lists[0])(given)
            given[0].append("eve")
            return [shown.value]
        return names

    assert execute(program).result == [["ann"]]


def test_what_is_no_label_labels_nothing() -> None:
    for label in ("user", None, 0):
        with pytest.raises(BadOperand, match="the label of a Value is"):
            Value("x", label)  # type: ignore[arg-type]
