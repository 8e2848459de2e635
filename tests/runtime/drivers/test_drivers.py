"""Drivers: declared functions that reach outside, dispatched, journaled and approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver_kit import World, world
from kit import computer, echo, execute, finish, keep, resumed, shorten

from nlpu import Value
from nlpu.errors import DriverFailed, NeedsPerson, Refused
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import Budget
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import driver, fencing_token, idempotency_key
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.testing.scripted import Scripted

__all__ = ["world"]  # a fixture


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
