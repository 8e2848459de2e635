"""Labels survive every path through a run: for each, many cases, and nothing lost in any.

The law: what comes out is labelled no better than the join of all that could flow into it, by data
or by control; readers are never let in. Paths through memory and the journal have files of their
own, as has what labels do not cover.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path as File
from typing import Any

import pytest
from kit import count, echo, finish, merge, yes
from label_kit import (
    CASES,
    PAIRS,
    Claim,
    Path,
    answer,
    both,
    colour,
    engine,
    fail,
    garble,
    letter,
    look,
    loss,
    losses,
    recall,
    seen,
    send,
    tone,
    twice,
    unite,
    words,
)

from nlpu import Label, Value, lift, split
from nlpu.errors import BadOperand, NlpuError
from nlpu.label import UNTRUSTED, USER, join
from nlpu.programs.calling import careful
from nlpu.runtime import Computer, FakeClock, Run, first, spawn
from nlpu.runtime.drivers.endorse import endorse
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.handle import state_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import current

Text = Value[str]
warm = echo.using(temperature=1.0)
length = lift(len)
cut = lift(list)


@lift
def explode(text: str) -> str:
    """Fail, quoting what it was given."""
    raise ValueError(text)


# -- data ---------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def machine() -> Iterator[Computer]:
    with Computer(engine(), clock=FakeClock(), person=ScriptedPerson()) as made:
        yield made


@pytest.mark.parametrize("name", PATHS)
def test_no_label_is_lost(machine: Computer, name: str) -> None:
    cases, lost = losses(machine, PATHS[name])
    assert cases >= CASES and not lost, lost[:5]


def test_no_label_is_lost_in_async_programs(machine: Computer) -> None:
    claims: list[list[Claim]] = [[] for _ in PAIRS]

    async def program(a: Text, b: Text, claims: list[Claim]) -> None:
        async def task() -> str:
            return await echo(a)

        claims.append((echo("before"), USER))
        text = await asyncio.create_task(task())
        claims += [(echo("after"), a.label), (Value(text), a.label)]
        try:
            await garble(b)
        except NlpuError as error:
            claims += [(current().label, both(a, b)), (echo(str(error)), both(a, b))]
        await echo.map([a])
        claims.append((echo("more"), both(a, b)))
        for value, _ in claims:
            if isinstance(value, Value):
                await value

    def fleet() -> Any:
        pairs = zip(PAIRS, claims, strict=True)
        return [spawn(program, Value(*a), Value(*b), into) for (a, b), into in pairs]

    run = finish(machine.start(fleet))
    lost = [found for case in claims for claim in case if (found := loss(claim))]
    assert run.error is None and all(len(case) == 6 for case in claims)
    assert len(claims) >= CASES and not lost, lost[:5]


def test_no_label_is_lost_from_run_to_run(machine: Computer) -> None:
    """A run's label goes with its result; a program that reads the result has seen it."""

    def first_run(a: Text, b: Text) -> Any:
        return [echo(a), "long" if len(b) > 3 else "short"]

    def second_run(one: Run, result: Value[list[str]], claims: list[Claim]) -> list[Any]:
        claims.append((echo.map(result), one.label))
        claims.extend(after(lambda: one.result, one.label))
        return [thing for thing, _ in claims if isinstance(thing, Value)]

    for a, b in PAIRS:
        one = finish(machine.start(first_run, Value(*a), Value(*b)))
        assert one.label is join(a[1], b[1])
        claims: list[Claim] = []
        finish(machine.start(second_run, one, Value(one.result, one.label), claims))
        assert claims and not [found for claim in claims if (found := loss(claim))]
    assert len(PAIRS) >= CASES


def test_what_failed_before_a_race_was_won_is_in_its_label(tmp_path: File) -> None:
    """It came first because another failed; in a replay, where all is there at once, too."""

    def slow(asked: Seen) -> Say:
        return Say(answer(asked), seconds=9 * ("late" in asked.operands["text"]))

    def race() -> Any:
        cases = [(Value(*a), Value("late", b)) for a, (_, b) in PAIRS]
        return [(first(garble(echo(echo(a))), echo(b)), both(a, b)) for a, b in cases]

    def labels(begin: Callable[[Computer], Run]) -> tuple[str, list[Label]]:
        with Computer(Scripted(slow), clock=FakeClock(), run_dir=tmp_path) as machine:
            run = finish(begin(machine))
            nodes = state_of(run).root.subtree()
            return run.name, [node._label for node in nodes if node.work_name == "first"]

    name, found = labels(lambda machine: machine.start(lambda: [value for value, _ in race()]))
    again = labels(lambda m: m.resume(name, lambda: [value for value, _ in race()], replay=True))[1]
    assert found == again == [join(a[1], b[1]) for a, b in PAIRS]
    assert len(found) >= CASES
