"""Paths of labels by data: through ops, draws, lifts, lists, reductions, parsing, and drivers."""

from __future__ import annotations

from typing import Any

from kit import count, echo, merge, yes
from label_kit import (
    Claim,
    both,
    colour,
    fail,
    garble,
    letter,
    look,
    recall,
    send,
    tone,
    twice,
    unite,
    words,
)

from nlpu import Label, Value, lift
from nlpu.label import UNTRUSTED, USER, join
from nlpu.runtime import first
from nlpu.runtime.drivers.endorse import endorse

Text = Value[str]
warm = echo.using(temperature=1.0)
length = lift(len)
cut = lift(list)


def through_ops(a: Text, b: Text) -> list[Claim]:
    return [
        (echo(a), a.label),
        (merge(a, b), both(a, b)),
        (merge(right=b, left="x"), b.label),
        (echo(echo(echo(a))), a.label),
        (unite(["x", a, b]), both(a, b)),
        (merge(echo(a), "x"), a.label),
        (echo(Value(f"{b}", USER)), b.label),
    ]


def through_draws(a: Text, b: Text) -> list[Claim]:
    drawn = warm(a, samples=3)
    return [
        (drawn, a.label),
        (warm(b, sample=1), b.label),
        (warm(b, sample=1), b.label),
        *((each, a.label) for each in drawn.each()),
    ]


def through_first(a: Text, b: Text) -> list[Claim]:
    return [
        (first(echo(a), b), b.label),
        (first(echo(a)), a.label),
        (first(a, echo(b)), a.label),
        (first(garble(a), garble(b)), both(a, b)),
    ]


def through_lifts(a: Text, b: Text) -> list[Claim]:
    return [
        (length(a), a.label),
        (lift(lambda x, y: x + y)(a, y=b), both(a, b)),
        (lift(str)([a, {"k": (b, 1)}]), both(a, b)),
        (lift(lambda x, y: "fixed")(a, b), both(a, b)),
        (length(echo(cut(b))), b.label),
    ]


def through_threads(a: Text, b: Text) -> list[Claim]:
    slow = lift(lambda x, y: x + y, blocking=True)
    return [(slow(a, y=b), both(a, b))]


def through_lists(a: Text, b: Text) -> list[Claim]:
    mixed, whole, grown = echo.map([a, "x"]), Value(["p", "q"], a.label), echo.map(cut(a))
    return [
        (mixed, a.label),
        (mixed.each()[0], a.label),
        (echo.map(whole), a.label),
        (grown, a.label),
        (echo.map(grown), a.label),
        (merge.map(["x"], b), b.label),
        (merge.map([a], b).each()[0], both(a, b)),
        (echo.map(Value([], b.label)), b.label),
        (echo.map(lift(lambda text: [])(b)), b.label),
        (length(echo.map(grown)), a.label),
        *((each, a.label) for each in whole.each()),
    ]


def through_reductions(a: Text, b: Text) -> list[Claim]:
    return [
        (echo.reduce([a, "x", b]), both(a, b)),
        (echo.reduce([a]), a.label),
        (echo.reduce(cut(b)), b.label),
        (echo.reduce(Value(["x"], a.label)), a.label),
        (unite.reduce([a, "x", b]), both(a, b)),
        (merge.reduce([a, "x"], b), both(a, b)),
        (echo.reduce(echo.map([a, b])), both(a, b)),
        (echo.reduce(["x"] * 20 + [b]), b.label),
        (echo.reduce(echo.map(lift(lambda text: ["x"])(a))), a.label),
        (echo.reduce(lift(lambda text: [])(b)), b.label),
    ]


def through_parsing(a: Text, b: Text) -> list[Claim]:
    parsed: list[Any] = [yes(a), count(a), colour(a), tone(a), letter(a), words(a)]
    items = words(b).each()
    return [
        *((value, a.label) for value in parsed),
        *((item, b.label) for item in items),
        (lift(lambda each: each.subject)(letter(b)), b.label),
        (echo.map(words(a)), a.label),
        (garble(a), a.label),
        (echo(lift(lambda each: each.subject)(letter(a))), a.label),
    ]


def through_drivers(a: Text, b: Text) -> list[Claim]:
    return [
        (look(a), join(UNTRUSTED, a.label)),
        (recall(b), b.label),
        (twice(a), a.label),
        (echo(look("x")), UNTRUSTED),
        (merge(recall(a), twice(b)), both(a, b)),
        (send(a, b), join(UNTRUSTED, both(a, b))),
        (fail(a), a.label),
        (echo(fail(b)), b.label),
        (lift(lambda x: x)([look("x"), a]), join(UNTRUSTED, a.label)),
    ]


def through_endorsement(a: Text, b: Text) -> list[Claim]:
    """It gives trust, where the program says so: never readers, and never against the scope."""
    of_a, of_b = (Label(USER.integrity, v.label.readers) for v in (a, b))
    said, members = endorse(yes(a), into=bool), endorse("x", into=Value(["x"], b.label))
    failed = endorse(a, into=["no such text"])
    str(b)
    return [(said, of_a), (members, of_b), (failed, a.label), (endorse(yes(a), into=bool), b.label)]
