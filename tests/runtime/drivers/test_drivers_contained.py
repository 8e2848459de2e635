"""Drivers: the order of their effects, what they do wrong, and how they must be declared."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any, Literal

import pytest
from driver_kit import World, world
from hypothesis import given
from hypothesis import strategies as st
from kit import PATIENCE_S, echo, execute, slow

from nlpu import Value
from nlpu.errors import BadOp, BadOperand, DriverFailed
from nlpu.label import SYSTEM, UNTRUSTED, USER, Label
from nlpu.runtime import first, spawn
from nlpu.runtime.drivers.driver import Driver, driver

__all__ = ["world"]  # a fixture


# -- order ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=8))
def test_effects_come_in_order_and_looks_see_what_was_done_before(acts: Any) -> None:
    """Each takes longer than those after it; the clock jumps."""
    world, late = {"n": -1}, iter(range(len(acts), 0, -1))

    @driver(effect="write", brings=USER)
    async def put(n: int) -> int:
        """Set the number."""
        await asyncio.sleep(next(late))
        world["n"] = n
        return n

    @driver(effect="read", brings=USER)
    async def look() -> int:
        """Tell the number."""
        await asyncio.sleep(next(late))
        return world["n"]

    def program() -> list[Any]:
        return [put(n) if is_put else look() for is_put, n in acts]

    expected, now = [], -1
    for is_put, n in acts:
        now = n if is_put else now
        expected.append(now)
    assert execute(program).result == expected


def test_looks_run_in_parallel_and_nested_programs_have_an_order_of_their_own() -> None:
    seconds: list[float] = []

    @driver(effect="external", brings=USER)
    async def knock() -> bool:
        """Knock."""
        await asyncio.sleep(3)
        return True

    @driver(effect="read", brings=USER)
    async def wait() -> bool:
        """Look for long."""
        await asyncio.sleep(3)
        return True

    for program in (
        lambda: [wait(), wait(), wait()],
        lambda: [spawn(knock), spawn(knock)],
        lambda: [knock(), knock()],
    ):
        seconds.append(execute(program).receipt.seconds)
    assert seconds == [3.0, 3.0, 6.0]


def test_an_effect_in_a_nested_program_that_nobody_waits_for_is_made(world: World) -> None:
    def child() -> None:
        world.send("ann", echo("slow"))

    def program() -> str:
        spawn(lambda: spawn(child))
        return echo("meanwhile").value

    engine = slow(lambda text: 5.0 if text == "slow" else 1.0)
    assert execute(program, engine=engine).result == "meanwhile"
    assert world.sent == [("ann", "slow")]


def test_a_cancelled_program_stays_cancelled_when_its_effect_ends() -> None:
    @driver(effect="write", deadline_s=1e6)
    async def write() -> bool:
        """Write for long."""
        await asyncio.sleep(100)
        return True

    def loser() -> str:
        write()
        return "loser"

    def program() -> list[str]:
        losing = spawn(loser)
        states = [first(losing, echo("fast")).value, repr(losing)]
        return [*states, echo("more").value and repr(losing)]

    winner, before, after = execute(program, engine=slow(1.0)).result
    assert winner == "fast" and before == after and "Cancelled" in after


def test_an_effect_that_fails_stops_none_after_it() -> None:
    world = World()

    @driver(effect="write")
    def fail() -> bool:
        """Fail."""
        raise OSError("no")

    run = execute(lambda: (fail(), world.send("ann", "x"))[1])
    assert run.result is True and world.sent == [("ann", "x")]


# -- containment ---------------------------------------------------------------------------------


def bad(make: Any, is_async: bool, **declared: Any) -> Driver:
    @driver(effect="read", **declared)
    def misbehave() -> int:
        """Misbehave."""
        return make()  # type: ignore[no-any-return]

    async def later() -> int:
        return make()  # type: ignore[no-any-return]

    return replace(misbehave, function=later) if is_async else misbehave


def raises() -> None:
    raise KeyError("inside")


def exits() -> None:
    raise SystemExit(3)


def ends() -> None:
    raise asyncio.CancelledError


def labels(content: int) -> Label:
    raise LookupError("no label")


@pytest.mark.parametrize(
    ("make", "declared", "says"),
    [
        (raises, {}, "KeyError: 'inside'"),
        (exits, {}, "SystemExit: 3"),
        (ends, {}, "CancelledError"),
        (lambda: 1, {"label_of": labels}, "cannot be told: LookupError: no label"),
        (lambda: "many", {}, "must be a whole number"),
        (lambda: 10**6, {"most_bytes": 3}, "longer than 3 bytes"),
        (
            lambda: threading.Event().wait(PATIENCE_S),
            {"deadline_s": 0.05},
            "no answer within 0.05 s",
        ),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_driver_does_wrong_fails_its_node_alone(
    make: Any, declared: Any, says: str, is_async: bool
) -> None:
    if is_async and "deadline_s" in declared:
        pytest.skip("a coroutine that blocks its loop cannot be stopped")

    def program() -> Any:
        wrong, right = bad(make, is_async, **declared)(), echo("right")
        try:
            return wrong.value
        except DriverFailed as error:
            return f"{right}: {error}"

    result = execute(program, clock=None).result
    assert result.startswith("right: ") and says in result


def test_an_async_driver_is_awaited() -> None:
    @driver(effect="read", brings=SYSTEM)
    async def later(word: str) -> Literal["a", "b"]:
        """Say it later."""
        return word  # type: ignore[return-value]

    assert execute(lambda: later("b")).result == "b"
    failed = execute(lambda: later("c"))
    assert isinstance(failed.error, DriverFailed)


# -- declaring -----------------------------------------------------------------------------------


def test_what_is_not_declared_is_external_and_authority() -> None:
    @driver
    def undeclared(one: str, two: int = 2) -> str:
        """Do something."""
        return one

    assert undeclared.effect == "external"
    assert [each.role for each in undeclared.arguments] == ["authority", "authority"]
    assert undeclared.brings is UNTRUSTED


def test_a_driver_must_be_declared_well() -> None:
    def no_docstring(one: str) -> str:
        return one

    def no_type(one) -> str:  # type: ignore[no-untyped-def]
        """Do something."""
        return str(one)

    def good(one: str) -> str:
        """Do something."""
        return one

    for function, declared, says in (
        (no_docstring, {}, "docstring"),
        (no_type, {}, "'one'.*needs a type"),
        (good, {"roles": {"two": "content"}}, "no argument 'two'"),
        (good, {"roles": {"one": "boss"}}, "role of 'one' is one of"),
        (good, {"effect": "magic"}, "effect is one of"),
        (good, {"deadline_s": 0}, "more than 0 seconds"),
    ):
        with pytest.raises(BadOp, match=says):
            driver(function, **declared)  # type: ignore[arg-type]


def test_arguments_are_checked_where_the_program_gives_them(world: World) -> None:
    for program, says in (
        (lambda: world.add(1), "'right' is missing"),
        (lambda: world.add(1, 2, 3), "got 3 arguments"),
        (lambda: world.add(1, 2, third=3), "'third' does not fit"),
        (lambda: world.add("one", 2), "argument 'left' of add"),
        (lambda: world.add(Value("one"), 2), "argument 'left' of add"),
    ):
        run = execute(program)
        assert isinstance(run.error, BadOperand) and says.replace("'", "'") in str(run.error)
