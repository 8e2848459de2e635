"""Graphs that grow: nested programs, maps and reductions of what is on its way."""

from __future__ import annotations

from typing import Any

import pytest
from kit import (
    asked,
    echo,
    execute,
    merge,
    said,
    shorten,
    slow,
)

from nlpu import Op, Value, lift, op
from nlpu.errors import BadOperand
from nlpu.runtime import spawn
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import current

# -- nested programs and growing graphs ------------------------------------------------------------


def test_nested_programs_run_side_by_side() -> None:
    def part(text: str) -> str:
        return str(shorten(echo(text))) + "!"

    engine = Scripted(slow(1.0))
    run = execute(lambda: [spawn(part, f"{n}") for n in range(30)], engine=engine)
    assert run.result == [f"{n}!" for n in range(30)]
    assert run.receipt.seconds == 2.0
    assert {part.name.rsplit("/", 1)[0] for part in run.receipt.by_part} == {"main"}


def test_a_nested_program_outlives_its_parents_body() -> None:
    def nested() -> Any:
        seen, not_yet_read = echo("slow"), shorten("later")
        str(seen)
        return not_yet_read

    def program() -> Any:
        inner = spawn(nested)
        str(echo("fast"))
        return inner

    engine = Scripted(slow(lambda text: 1.0 if text == "fast" else 5.0))
    run = execute(program, engine=engine)
    assert run.result == "later"
    assert engine.cancelled == []


def test_values_go_into_and_out_of_nested_programs() -> None:
    def nested(value: Any) -> Any:
        return merge(value, echo("mine"))

    def program() -> Any:
        given = echo("given")
        return spawn(nested, given), spawn(lambda: str(spawn(nested, "deep")))

    assert execute(program).result == ("given+mine", "deep+mine")


def test_a_failing_nested_program_fails_its_value_alone() -> None:
    def bad() -> str:
        raise ZeroDivisionError("oops")

    def program() -> Any:
        inner, fine = spawn(bad), echo("fine")
        try:
            return str(inner)
        except Exception as error:
            return f"{error}", fine

    run = execute(program)
    assert run.result == ("the program bad raised ZeroDivisionError: oops", "fine")


def test_graphs_grow_from_what_arrives() -> None:
    parts = op("List the parts", list[str])

    def tree(text: str, depth: int) -> Any:
        if depth == 0:
            return echo(text)
        below = [spawn(tree, part, depth - 1) for part in parts(text)]
        return echo.reduce(below)

    def script(seen: Seen) -> str:
        text = seen.operands["text"]
        return f'["{text}l","{text}r"]' if "List" in seen.instruction else text

    run = execute(tree, "x", 3, engine=script)
    assert run.result.replace("\n", "") == "".join(
        f"x{a}{b}{c}" for a in "lr" for b in "lr" for c in "lr"
    )
    assert run.receipt.depth == 3 + 1 + 3


def test_a_map_over_a_pending_list_grows_when_it_is_there() -> None:
    listed = op("List", list[str])
    engine = Scripted(lambda s: '["a","b"]' if "List" in s.instruction else said(s))
    run = execute(lambda: echo.reduce(shorten.map(listed("x"))), engine=engine)
    assert run.result == "a\n\nb"
    assert [seen.operands["text"] for seen in engine.seen] == ["x", "a", "b", "a\n\nb"]


def test_reduction_groups_do_not_depend_on_what_has_arrived() -> None:
    def program(topic_first: bool) -> Any:
        topic = lift(lambda text: text * 700)(count_as_text("7"))
        if topic_first:
            len(topic)
        return merge.reduce([f"{n}" * 200 for n in range(9)], topic)

    counts = []
    for topic_first in (True, False):
        run = execute(program, topic_first, engine=Scripted(lambda s: "7", window=2600))
        assert run.status == "done", run.error
        counts.append(run.receipt.calls)
    assert counts[0] == counts[1]


def count_as_text(text: str) -> Value[str]:
    return echo(text)


def test_every_call_of_a_reduction_fits() -> None:
    asks: Op[str] = shorten.using(max_tokens=200)
    engine = Scripted(lambda seen: "y" * 200, window=1500)
    run = execute(lambda: asks.reduce([f"{n:03d}" + "x" * 297 for n in range(60)]), engine=engine)
    assert run.status == "done", run.error
    assert all(len(seen.request.prompt) + 200 <= 1500 for seen in engine.seen)
    firsts = [seen.operands["text"][:3] for seen in engine.seen]
    assert firsts[:3] == ["000", "004", "008"]


@pytest.mark.parametrize("known", [True, False])
def test_a_refused_reduction_leaves_no_calls_behind(known: bool) -> None:
    """Its first level fits and its second does not: what was grown by then is not sent."""
    engine = Scripted(said, window=1400)

    def program() -> str:
        room = current().processor(None).room(shorten)
        items = ["s", "t", "H" * (room - 8)]
        with pytest.raises(BadOperand, match="cannot put two items into one call"):
            str(shorten.reduce(items if known else lift(lambda: items)()))
        return str(echo("goes on"))

    assert execute(program, engine=engine).result == "goes on"
    assert asked(engine) == ["goes on"]


def test_a_reduction_whose_examples_fill_the_window_says_so() -> None:
    shown = shorten.using(examples=[("x" * 3000, "y")])
    run = execute(lambda: shown.reduce(["a", "b"]), engine=Scripted("c", window=1000))
    why = "do not fit the 0 tokens that the window of main leaves; show fewer examples, or lower"
    assert isinstance(run.error, BadOperand) and why in str(run.error)


def test_a_map_over_a_map_of_what_is_on_its_way_has_no_barrier() -> None:
    def answer(seen: Seen) -> Any:
        text = seen.operands.get("text", "")
        first = seen.instruction.startswith("Repeat")
        took = {("a", True): 9.0, ("b", False): 9.0}.get((text, first), 1.0)
        return Say(text, seconds=took)

    def known() -> Any:
        return shorten.map(echo.map(["a", "b"]))

    def on_its_way() -> Any:
        items = lift(lambda text: ["a", "b"])(echo("start"))
        return shorten.map(echo.map(items))

    at_once = execute(known, engine=Scripted(answer))
    later = execute(on_its_way, engine=Scripted(answer))
    assert at_once.result == later.result == ["a", "b"]
    assert at_once.receipt.seconds == 10.0
    assert later.receipt.seconds == 11.0  # and one for the start


def test_a_map_over_a_map_that_never_grows_fails_with_its_cause() -> None:
    def program() -> Any:
        items = lift(lambda text: 1 / 0)(echo("start"))
        return shorten.map(echo.map(items))

    run = execute(program)
    assert run.status == "failed"
    assert "ZeroDivisionError" in repr(run.error.__cause__) + repr(run.error.__cause__.__cause__)


@pytest.mark.parametrize(
    ("content", "why"), [("\ud800", "surrogates"), ([{"a": "\udc00"}], "surrogates")]
)
def test_what_a_lift_may_not_give_is_said_with_its_reason(content: Any, why: str) -> None:
    run = execute(lift(lambda: content))
    assert isinstance(run.error, BadOperand) and why in str(run.error)
