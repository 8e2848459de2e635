"""Work, span and depth on graphs where they can be computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from kit import count, echo, execute, merge, said, shorten

from nlpu import lift
from nlpu.runtime import Receipt, first, spawn
from nlpu.testing.scripted import Say, Scripted, Seen

SECONDS = {"a": 2.0, "b": 5.0, "c": 1.0}


def timed(seen: Seen) -> Say:
    """Ten tokens a second; a, b and c take 2, 5 and 1 seconds, all else 1."""
    text = next(iter(seen.operands.values()))
    seconds = SECONDS.get(text[0], 1.0)
    return Say(said(seen), tokens=int(seconds * 10), seconds=seconds)


def timed_run(program: Any, **settings: Any) -> Receipt:
    run = execute(program, engine=Scripted(timed), **settings)
    assert run.status == "done", run.error
    return run.receipt


def shape(receipt: Receipt) -> tuple[float, float, int, float]:
    assert receipt.work_tokens == receipt.work_s * 10
    assert receipt.span_tokens == receipt.span_s * 10
    return receipt.work_s, receipt.span_s, receipt.depth, receipt.seconds


def test_a_chain() -> None:
    receipt = timed_run(lambda: merge(shorten(echo("a")), "x"))
    assert shape(receipt) == (6.0, 6.0, 3, 6.0)
    assert receipt.parallelism == 1.0


def test_a_fan_and_its_join() -> None:
    receipt = timed_run(lambda: merge(echo("a"), echo("b")))
    assert shape(receipt) == (9.0, 7.0, 2, 7.0)
    assert receipt.parallelism == pytest.approx(9 / 7, abs=1e-3)


def test_what_is_issued_after_a_forced_value_depends_on_it() -> None:
    def program() -> Any:
        text = str(echo("b"))
        return shorten("c" if text else "a")

    assert shape(timed_run(program)) == (6.0, 6.0, 2, 6.0)


def test_what_was_issued_before_does_not() -> None:
    def program() -> Any:
        before = shorten("a")
        str(echo("b"))
        return before, count("c" if False else "c2")

    run = execute(
        program,
        engine=Scripted(lambda s: Say("7", 10, 1.0) if "many" in s.instruction else timed(s)),
    )
    assert shape(run.receipt) == (8.0, 6.0, 2, 6.0)


def test_nested_programs_are_on_the_path() -> None:
    def nested() -> Any:
        return shorten("a") if str(echo("b")) else None

    receipt = timed_run(lambda: (merge(spawn(nested), "x"), echo("c")))
    assert shape(receipt) == (2 + 5 + 2 + 1, 9.0, 3, 9.0)


def test_a_map_over_a_list_that_was_made() -> None:
    receipt = timed_run(lambda: shorten.map(lift(lambda text: [text, "c", "c2"])(echo("b"))))
    assert shape(receipt) == (5 + 5 + 1 + 1, 10.0, 2, 10.0)


def test_a_reduction_is_a_tree() -> None:
    receipt = timed_run(lambda: echo.reduce([f"x{n}" for n in range(16)]))
    assert shape(receipt) == (3.0, 2.0, 2, 2.0)


def test_a_shared_call_is_on_the_path_of_those_who_share_it() -> None:
    def program() -> Any:
        one = echo("b")
        return one, merge(echo("b"), "x")

    receipt = timed_run(program)
    assert receipt.shared == 1
    assert shape(receipt) == (5 + 5, 10.0, 2, 10.0)


def test_sharing_late_does_not_lengthen_the_path() -> None:
    def program() -> Any:
        long, short = echo("b"), str(shorten("a"))
        return long, merge(echo("b"), short)  # asked after 2 of 5 seconds

    receipt = timed_run(program)
    assert receipt.span_s == receipt.seconds == 10.0


def test_no_run_is_shorter_than_its_span() -> None:
    def program() -> Any:
        parts = echo.map(["a", "b", "c", "b"])
        quick = first(shorten(parts[0]), shorten("c"))
        return echo.reduce(parts), quick, [spawn(lambda: shorten(parts[1])), merge("b", "a")]

    receipt = timed_run(program)
    assert receipt.span_s <= receipt.seconds
