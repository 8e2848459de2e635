"""Greenlets of programs' own: who switches to one that another program made gets an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from greenlet import getcurrent, greenlet
from kit import echo, execute
from off_path_kit import BAD, nobody_wrote_to_the_attacker, send, there

from nlpu import Value
from nlpu.errors import ProgramError
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import current

__all__ = ["nobody_wrote_to_the_attacker"]  # a fixture
LATE = "another one made"


def raises() -> None:
    raise KeyError("inside")


DOES: dict[str, Callable[[Value[str]], Any]] = {
    "reads": str,
    "ends": lambda mail: None,
    "raises": lambda mail: raises(),
    "waits": lambda mail: str(echo("something else")),
    "sees": lambda mail: str(BAD),
}


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "over"])
@pytest.mark.parametrize("does", DOES)
def test_who_switches_to_a_greenlet_of_another_gets_an_error(does: str, parked: bool) -> None:
    """And the one that made it goes on with what it has waited for."""
    made: list[greenlet] = []

    def child(mail: Value[str]) -> str:
        made.append(greenlet(lambda: DOES[does](mail)))
        return str(echo("the child's own")) if parked else "the child's own"

    def program() -> Any:
        mail = there()
        spawned = spawn(child, mail)
        while not made:
            str(echo(f"time passes {len(made)}"))
        with pytest.raises(ProgramError, match=LATE):
            made[0].switch()
        assert current().label is USER
        return [echo("goes on").value, spawned]

    assert execute(program).result == ["goes on", "the child's own"]


def test_nor_does_it_bring_a_content_back_by_hand() -> None:
    made: list[greenlet] = []

    def child(mail: Value[str]) -> str:
        made.append(greenlet(lambda back: back.switch(str(mail))))
        return str(echo("the child's own"))

    def program() -> Any:
        mail = there()
        spawn(child, mail)
        while not made:
            str(echo(f"time passes {len(made)}"))
        return send(made[0].switch(getcurrent()), "body").value

    run = execute(program, person=ScriptedPerson())
    assert isinstance(run.error, ProgramError) and LATE in str(run.error)
    assert "off its program's path" in str(run.error.__cause__)


@pytest.mark.parametrize("to", ["the hub", "a parked program"])
def test_nor_to_what_is_no_greenlet_of_its_own(to: str) -> None:
    greenlets: list[Any] = []

    def child() -> str:
        greenlets.append(getcurrent())
        return str(echo("the child's own"))

    def program() -> Any:
        spawned = spawn(child)
        while not greenlets:
            str(echo(f"time passes {len(greenlets)}"))
        with pytest.raises(ProgramError, match=LATE):
            (getcurrent().parent if to == "the hub" else greenlets[0]).switch()
        return spawned

    assert execute(program).result == "the child's own"


def test_who_does_so_again_and_again_ends_all_the_same() -> None:
    def program() -> str:
        for _ in range(3):
            with pytest.raises(ProgramError, match=LATE):
                getcurrent().parent.switch()  # type: ignore[union-attr]
        return "over"

    assert execute(program).result == "over"


def test_a_greenlet_of_its_own_is_as_it_was() -> None:
    def program() -> str:
        mail = there()
        assert greenlet(lambda: str(mail)).switch() == "attacker"
        assert current().label is UNTRUSTED
        with pytest.raises(KeyError):
            greenlet(raises).switch()
        return str(echo("goes on"))

    assert execute(program).result == "goes on"
