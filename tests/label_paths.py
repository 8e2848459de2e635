"""Paths of labels by control and through scopes, and the table of all paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kit import count, echo, yes
from label_kit import Claim, Path, both, fail, garble, letter, recall, seen, send, twice, words
from label_paths_by_data import (
    Text,
    cut,
    length,
    through_draws,
    through_drivers,
    through_endorsement,
    through_first,
    through_lifts,
    through_lists,
    through_ops,
    through_parsing,
    through_reductions,
    through_threads,
    warm,
)

from nlpu import Label, Value, lift, split
from nlpu.errors import BadOperand, NlpuError
from nlpu.label import USER
from nlpu.programs.calling import careful
from nlpu.runtime import spawn
from nlpu.value import current


@lift
def explode(text: str) -> str:
    """Fail, quoting what it was given."""
    raise ValueError(text)


# -- control ------------------------------------------------------------------------------------


def after(look_at: Any, made_of: Label) -> Iterator[Claim]:
    """What a program is and issues when it has looked at something."""
    yield seen(look_at), made_of
    yield current().label, made_of
    yield echo("constant"), made_of
    yield recall("constant"), made_of
    yield Value("made here"), made_of
    yield echo.map(["x"]).each()[0], made_of
    yield spawn(lambda: "constant"), made_of


def branching(look_at: Any) -> Path:
    """A path that forces something made of its sources in one way."""

    def path(a: Text, b: Text) -> list[Claim]:
        return [*after(lambda: look_at(a), a.label), *after(lambda: look_at(b), both(a, b))]

    return path


def by_number_of_elements(a: Text, b: Text) -> list[Claim]:
    """The items of a map are known, and how many they are was decided by a text."""
    grown = echo.map(cut(a))
    again = echo.map(grown)
    str(echo("time passes"))
    return [*after(again.each, a.label), *after(lambda: len(echo.map(cut(b))), both(a, b))]


def by_repr_of_what_is_there(a: Text, b: Text) -> list[Claim]:
    """What a repr shows is what the program may see as it is."""
    there = echo(a)
    spawn(lambda: str(there))
    str(echo("time passes"))
    assert there.ready
    claims: list[Claim] = []
    for text in (there, b):
        before = current().label
        shown = repr(text)
        assert current().label is before, "a repr lowers nobody"
        claims.append((before, text.label if text._content in shown else before))
    return claims


def by_size(a: Text, b: Text) -> list[Claim]:
    """Whether a reduction fits its window is told where it is issued."""

    def reduces(text: Text) -> None:
        huge = Value("x" * 200_000, text.label)
        with pytest.raises(BadOperand):
            echo.reduce([huge, huge])

    return [*after(lambda: reduces(a), a.label), *after(lambda: reduces(b), both(a, b))]


def by_errors(make: Any) -> Path:
    """A path that catches the failure of something made of its sources, and reads its text."""

    def path(a: Text, b: Text) -> list[Claim]:
        def caught(text: Text) -> str:
            try:
                return str(make(text).value)
            except NlpuError as error:
                return str(error)

        return [*after(lambda: caught(a), a.label), *after(lambda: caught(b), both(a, b))]

    return path


# -- scopes -------------------------------------------------------------------------------------


def through_nested_programs(a: Text, b: Text) -> list[Claim]:
    def inner(text: Text) -> Any:
        return "long" if len(text) > 3 else "short"

    def two_deep() -> Any:
        return spawn(inner, a), {"b": echo(b)}

    def failing() -> Any:
        raise ValueError(str(a))

    leaked: list[Text] = []
    inside = spawn(lambda: leaked.append(echo(a)) or "done")
    result = [
        (spawn(lambda: echo(a)), a.label),
        (spawn(inner, a), a.label),
        (spawn(failing), a.label),
        (spawn(inner, b), b.label),
        (spawn(lambda text: text, b), b.label),
        (spawn(two_deep), both(a, b)),
        (spawn(lambda: Value(str(a))), a.label),
        (spawn(lambda: [str(a), b]), both(a, b)),
        (careful(echo, a), a.label),
        (careful(lift(lambda text: text), a), a.label),
    ]
    str(inside)
    return [*result, *after(lambda: str(leaked[0]), a.label)]


def through_another_scope(a: Text, b: Text) -> list[Claim]:
    """A future that one scope issued and another one forces."""
    future = echo(a)
    inner: list[Label] = []

    def forces(value: Text) -> str:
        str(value)
        inner.append(current().label)
        return "done"

    forced = spawn(forces, future)
    nested = spawn(spawn, forces, future)
    before = current().label
    return [
        *after(lambda: (str(forced), str(nested)), a.label),
        *((each, a.label) for each in inner),
        (before, USER),
    ]


def through_literals(a: Text, b: Text) -> list[Claim]:
    """What a program makes of contents is no better than the program."""
    text = f"{a}"
    made = Value(text)
    listed = Value([text])
    return [
        (made, a.label),
        (recall(made), a.label),
        (echo(made), a.label),
        (listed, a.label),
        (echo.map(listed), a.label),
        *((v, a.label) for v in echo.map([made]).each()),
        *after(lambda: str(b), both(a, b)),
    ]


def through_templates(a: Text, b: Text) -> list[Claim]:
    text = f"Dear {a}, {b:>9}"
    pieces = split(a)
    return [
        (echo(text), both(a, b)),
        (echo.map(pieces), both(a, b)),
        (Value(text), both(a, b)),
        (twice(text), both(a, b)),
        (spawn(lambda: text), both(a, b)),
    ]


def through_equal_calls(a: Text, b: Text) -> list[Claim]:
    """Equal calls are made once; each keeps its own label, before and after the result is there."""
    early = [(echo(a), a.label), (echo(b), b.label), (warm(a, sample=0), a.label)]
    spawn(lambda: str(echo("x")))
    late = spawn(lambda: [str(echo("x")), echo(a)])
    return [*early, (late, a.label), (echo(a), a.label), (echo(b), b.label)]


PATHS: dict[str, Path] = {
    "ops": through_ops,
    "draws": through_draws,
    "first": through_first,
    "lifts": through_lifts,
    "threads": through_threads,
    "lists": through_lists,
    "reductions": through_reductions,
    "parsing": through_parsing,
    "drivers": through_drivers,
    "endorse": through_endorsement,
    "bool": branching(lambda v: bool(yes(v))),
    "str": branching(str),
    "number": branching(lambda v: (int(count(v)), float(count(v)))),
    "length": branching(len),
    "loop": branching(lambda v: list(words(v))),
    "index": branching(lambda v: v[0]),
    "value": branching(lambda v: letter(v).value.pages),
    "elements": branching(lambda v: echo.map(cut(v)).each()),
    "split": branching(split),
    "each": by_number_of_elements,
    "repr": by_repr_of_what_is_there,
    "size": by_size,
    "model error": by_errors(garble),
    "lift error": by_errors(explode),
    "upstream error": by_errors(lambda v: echo(explode(v))),
    "map error": by_errors(lambda v: garble.map([v])),
    "driver error": by_errors(fail),
    "wrong type": by_errors(lambda v: echo(length(v))),
    "refusal": by_errors(lambda v: send(v, v)),
    "reduce error": by_errors(lambda v: echo.reduce(Value([], v.label))),
    "draws error": by_errors(lambda v: garble.using(temperature=1.0)(v, samples=2)),
    "program error": by_errors(lambda v: spawn(lambda: 1 / (len(v) * 0))),
    "nested": through_nested_programs,
    "another scope": through_another_scope,
    "literals": through_literals,
    "templates": through_templates,
    "equal": through_equal_calls,
}
