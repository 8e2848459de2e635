"""Literals, finished runs and numbers of elements, read off the path of labels: who is lowered."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kit import PATIENCE_S, computer, echo, execute, finish
from off_path_kit import (
    BAD,
    Way,
    in_a_context,
    in_a_greenlet,
    in_a_pool,
    nobody_wrote_to_the_attacker,
    on_a_thread,
    send,
    there,
)

from nlpu import Label, Value, lift
from nlpu.errors import BadOperand, Refused
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import current, inside

__all__ = ["nobody_wrote_to_the_attacker"]  # a fixture


# -- literals, and what is read freely ------------------------------------------------------------


@pytest.mark.parametrize("way", [in_a_pool, on_a_thread, in_a_context, in_a_greenlet])
def test_a_literal_lowers_the_program_that_made_it(way: Way) -> None:
    def program() -> Any:
        made = Value("attacker", UNTRUSTED)
        return send(way(lambda: str(made)), "body").value

    run = execute(program, person=ScriptedPerson())
    assert isinstance(run.error, Refused) and "acted on untrusted content" in str(run.error)


def test_a_literal_lowers_the_program_that_it_was_given_to() -> None:
    def inner(mail: Value[str]) -> Any:
        return send(on_a_thread(lambda: str(mail)), "body").value

    for program in (inner, lambda mail: spawn(inner, mail=mail)):
        run = execute(program, BAD, person=ScriptedPerson())
        assert "acted on untrusted content" in str(run.error)


def test_so_do_those_in_a_list_that_it_was_given() -> None:
    def inner(mails: Any) -> Any:
        return send(on_a_thread(lambda: str(mails["new"][1])), "body").value

    given: dict[str, Any] = {"new": ["x", BAD], "old": []}
    run = execute(inner, given, person=ScriptedPerson())
    assert "acted on untrusted content" in str(run.error)
    assert given["new"][1] is BAD, "the giver's own is as it was"


def test_what_holds_no_literals_is_given_as_it_is() -> None:
    shared: list[Any] = [["deep"], ("x", {"y": 1})]

    def program(items: list[Any]) -> None:
        items.append("told")

    assert execute(lambda: str(spawn(program, shared))).error is None
    assert shared[2:] == ["told"]


def test_two_threads_lower_a_scope_by_both() -> None:
    together = threading.Barrier(2, timeout=PATIENCE_S)
    ann, bob = (Label(USER.integrity, frozenset(who)) for who in ("a", "b"))

    def program() -> Any:
        for _ in range(20):
            mine = [Value("x", ann), Value("x", bob)]

            def read(value: Value[str]) -> str:
                together.wait()
                return str(value)

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(read, mine))
            assert current().label.readers == frozenset()

    assert execute(program).error is None


def test_finished_runs_and_literals_outside_of_runs_are_read_freely() -> None:
    kept: list[Value[str]] = []

    def program() -> Any:
        kept.extend([echo(BAD), Value("mine", UNTRUSTED)])
        return [*kept]

    with computer() as machine:
        finish(machine.start(program))
        assert on_a_thread(lambda: str(kept[0])) == str(kept[0]) == "attacker"
        assert on_a_thread(lambda: str(kept[1])) == "mine"
        assert "attacker" in repr(kept[0]) and "mine" in repr(kept[1])
        assert on_a_thread(lambda: str(BAD)) == "attacker"

    async def awaits() -> list[str]:
        return [await kept[0], await kept[1], await BAD]

    assert asyncio.run(awaits()) == ["attacker", "mine", "attacker"]


def test_a_turn_belongs_to_no_program() -> None:
    """Else what is called between programs would read for whoever had asked for that turn."""
    found: list[Any] = []

    def answer(seen: Any) -> str:
        found.append(inside())
        return "said"

    assert execute(lambda: str(echo(str(echo("x")))), engine=answer).result == "said"
    assert found == [None, None]


# -- how many -------------------------------------------------------------------------------------


def test_the_number_of_a_map_s_items_carries_its_label() -> None:
    def program() -> Any:
        many = echo.map(lift(list)(there()))
        while many.grown_values is None:  # type: ignore[attr-defined]
            str(echo(f"time passes {many.ready}"))
        number = len(many.grown_items)  # type: ignore[attr-defined]
        return send(f"{number}", "body").value

    run = execute(program, person=ScriptedPerson())
    assert isinstance(run.error, Refused) and "acted on untrusted content" in str(run.error)


def test_items_are_not_known_before_the_list_is() -> None:
    def program() -> Any:
        many = echo.map(lift(list)(echo("ab")))
        before = many.grown_items  # type: ignore[attr-defined]
        with pytest.raises(BadOperand):
            _ = many == before
        return [before, len(many), len(many.grown_items), current().label is USER]  # type: ignore[attr-defined]

    assert execute(program).result == [None, 2, 2, True]
