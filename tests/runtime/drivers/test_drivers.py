"""Drivers: declared functions that reach outside, dispatched, journaled and contained."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import PATIENCE_S, computer, echo, execute, finish, keep, resumed, shorten, slow

from nlpu import Value
from nlpu.errors import BadOp, BadOperand, DriverFailed, NeedsPerson, Refused
from nlpu.label import SYSTEM, UNTRUSTED, USER, Label
from nlpu.runtime import Budget, first, spawn
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import Driver, driver, fencing_token, idempotency_key
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.testing.scripted import Scripted


class World:
    """What the drivers of these tests read and change."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.keys: list[str] = []
        self.fences: list[int] = []
        self.looks = 0
        world = self

        @driver(effect="read", roles={"what": "selector"})
        def look(what: str) -> str:
            """Look something up."""
            world.looks += 1
            return f"about {what}"

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            world.sent.append((to, body))
            world.keys.append(idempotency_key())
            world.fences.append(fencing_token())
            return True

        @driver(effect="pure")
        def add(left: int, right: int) -> int:
            """Add two numbers."""
            return left + right

        self.look: Driver = look
        self.send: Driver = send
        self.add: Driver = add


@pytest.fixture
def world() -> World:
    return World()


def everything(world: World) -> Any:
    found = world.look("looms")
    return shorten(found), world.send("ann", found), world.add(1, world.add(2, 3))


def test_calls_are_nodes_with_results_of_their_type(world: World) -> None:
    run = execute(everything, world)
    assert run.result == ("about looms", True, 6)
    assert world.sent == [("ann", "about looms")]
    assert (run.receipt.calls, run.receipt.driven) == (1, 4)
    kinds = {facts["op"]: facts["label"] for _, facts in run.graph.nodes(data=True)}
    assert kinds["look"] == kinds["send"] == kinds["shorten"] == str(UNTRUSTED)
    assert kinds["add"] == str(USER)


def test_an_effect_is_made_even_if_nobody_reads_its_result(world: World) -> None:
    def careless() -> str:
        world.send("ann", echo("the body"))
        world.look("not needed, and looked at all the same")
        return "done"

    assert execute(careless).result == "done"
    assert world.sent == [("ann", "the body")]


def test_untrusted_authority_is_refused_without_a_person_s_word(world: World) -> None:
    def misled() -> Any:
        return world.send(world.look("whom to write"), "money")

    run = execute(misled)
    assert (run.status, type(run.error)) == ("needs_person", NeedsPerson)
    assert "'to' decides what it does (authority) and is untrusted" in str(run.error)
    person = ScriptedPerson()
    run = execute(misled, person=person)
    assert isinstance(run.error, Refused)
    assert world.sent == []
    (asked,) = person.asked
    assert isinstance(asked, ExactCall)
    assert str(asked) == 'send({"to":"about whom to write","body":"money"})'


def test_a_program_that_has_looked_at_untrusted_content_has_lost_its_trust(world: World) -> None:
    def persuaded() -> Any:
        if "looms" in str(world.look("looms")):
            return world.send("ann", "hello")
        return None

    person = ScriptedPerson(approve=lambda call: True)
    assert execute(persuaded, person=person).result is True
    (asked,) = person.asked
    assert isinstance(asked, ExactCall)
    assert [each.argument for each in asked.objections] == [None, "to"]


def test_an_approval_is_of_one_exact_call(world: World) -> None:
    def twice() -> Any:
        to = world.look("whom")
        return world.send(to, "one"), world.send(to, "two")

    person = ScriptedPerson(approve=lambda call: '"one"' in call.arguments)
    run = execute(twice, person=person)
    assert run.error is not None and isinstance(run.error.__cause__, Refused)
    assert world.sent == [("about whom", "one")]


@pytest.mark.parametrize("own", [True, False])
def test_what_is_called_is_what_was_shown_or_nothing(world: World, own: bool) -> None:
    invited: list[list[str]] = []

    @driver(effect="external")
    def invite(guests: list[str]) -> bool:
        """Invite some people."""
        invited.append(guests)
        return True

    def changes_it_meanwhile() -> Any:
        str(world.look("whom"))
        guests = ["ann"]
        given = guests if own else Value(guests)
        changed = guests if own else given._content  # type: ignore[attr-defined]  # of nobody's
        person.approve = lambda call: not changed.append("eve")
        return invite(given)

    person = ScriptedPerson()
    run = execute(changes_it_meanwhile, person=person)
    assert [str(each) for each in person.asked] == ['invite({"guests":["ann"]})']
    assert invited == ([["ann"]] if own else [])
    assert own or "changed after" in str(run.error)


def test_values_in_a_list_are_waited_for_and_keep_their_labels(world: World) -> None:
    @driver(effect="external")
    def invite(guests: list[str]) -> int:
        """Invite some people."""
        return len(guests)

    assert execute(lambda: invite([echo("ann"), "bo"])).result == 2
    assert execute(lambda: invite(["ann", world.look("whom")])).status == "needs_person"


def test_a_journaled_result_is_never_made_again(world: World, tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        cut = finish(machine.start(everything, world, budget=Budget(calls=0)))
    assert cut.status == "stopped"
    done = resumed(tmp_path, cut, everything, world, engine=Scripted("short"), budget=Budget())
    assert done.result == ("short", True, 6)
    assert (len(world.sent), world.looks) == (1, 1)
    again = resumed(tmp_path, cut, everything, world, engine=Scripted("never"), replay=True)
    assert again.result == done.result
    assert (len(world.sent), world.looks) == (1, 1)


class Killed(World):
    """Keeps what would survive if the process were killed while the first letter is on its way."""

    def __init__(self, run_dir: Path, grave: Path) -> None:
        super().__init__()
        inner = self.send.function

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            if not grave.exists():
                keep(run_dir, grave)
            return bool(inner(to, body))

        self.send = send


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Killed, Any, Path]:
    run_dir, grave = tmp_path / "runs", tmp_path / "grave"
    world = Killed(run_dir, grave)
    return world, execute(everything, world, run_dir=run_dir), grave


def test_an_unknown_outcome_is_put_to_a_person(killed: Any) -> None:
    world, cut, grave = killed
    nobody = resumed(grave, cut, everything, world)
    assert nobody.status == "needs_person"
    assert "its outcome is not known" in str(nobody.error)
    person = ScriptedPerson(settle=lambda call: "again")
    done = resumed(grave, cut, everything, world, person=person)
    assert done.error is None and len(world.sent) == 2
    assert len(set(world.keys)) == 1 and world.keys[0]  # of the call that was made again, the same
    assert world.fences[0] == 1 < world.fences[1], "a later life's is larger"
    execute(everything, world)
    assert len(set(world.keys)) == 2 and idempotency_key() == ""
    assert world.fences[2] == 1 and fencing_token() == 0


def test_a_person_may_say_that_it_was_done(killed: Any) -> None:
    world, cut, grave = killed
    person = ScriptedPerson(settle=lambda call: "done")
    done = resumed(grave, cut, everything, world, person=person)
    assert done.error is not None
    lost = done.error.__cause__
    assert isinstance(lost, DriverFailed) and "its result is lost" in str(lost)
    assert len(world.sent) == 1


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
