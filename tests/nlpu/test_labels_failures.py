"""A driver's failure is labelled by what had come when it failed, in later lives, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Doomed, echo, execute, resumed, said
from off_path_kit import nobody_wrote_to_the_attacker, send

from nlpu import Label, Value
from nlpu.errors import DriverFailed, Refused
from nlpu.label import SYSTEM, UNTRUSTED, USER
from nlpu.runtime import Run
from nlpu.runtime.drivers.driver import Driver, brought, driver
from nlpu.runtime.drivers.folder import files
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.testing.scripted import Scripted
from nlpu.value import current

__all__ = ["nobody_wrote_to_the_attacker"]  # a fixture
YES = ScriptedPerson(lambda call: True)


def failing(label: Label | None, effect: Any = "read", **declared: Any) -> Driver:
    """A driver of one that vouches for what it brings, and that fails with another's words."""

    @driver(effect=effect, brings=USER, idempotent=True, **declared)
    def look(name: str) -> str:
        """Look at something."""
        if label is not None:
            brought(label)
        raise ValueError("attacker")

    return look


def chosen(look: Callable[[], Any]) -> Callable[[], Any]:
    """A program that sends to whom the failure names."""

    def program() -> Any:
        try:
            to = str(look())
        except DriverFailed as error:
            to = "attacker" if "attacker" in str(error) else "ann"
        return send(to, "body").value

    return program


def refused(run: Run) -> bool:
    return isinstance(run.error, Refused) and "acted on untrusted content" in str(run.error)


@pytest.mark.parametrize("effect", ["read", "write", "external"])
def test_what_a_driver_brought_before_it_failed_counts(effect: Any) -> None:
    look = failing(UNTRUSTED, effect)
    assert refused(execute(chosen(lambda: look("x")), person=ScriptedPerson()))


@pytest.mark.parametrize("label", [USER, SYSTEM, UNTRUSTED])
def test_and_no_more_than_that(label: Label) -> None:
    kept: list[Value[str]] = []
    look = failing(label)

    def program() -> Any:
        kept.append(look("x"))
        return kept[0]

    assert isinstance(execute(program).error, DriverFailed)
    assert kept[0].label is label


def tells(content: str) -> Label:
    raise LookupError("attacker")


@driver(effect="read", brings=USER, label_of=tells)
def untold(name: str) -> str:
    """Give what the driver cannot label."""
    return "attacker"


@driver(effect="read", brings=USER, label_of=lambda content: USER, most_bytes=4)
def flooding(name: str) -> str:
    """Give more than may be given."""
    return "attacker"


@pytest.mark.parametrize(
    "look", [failing(None, label_of=lambda content: USER), untold, flooding], ids=lambda d: d.name
)
def test_where_results_say_their_label_a_failure_is_untrusted(look: Driver) -> None:
    def program() -> Any:
        with pytest.raises(DriverFailed):
            str(look("x"))
        return send("ann", "body").value

    assert refused(execute(program, person=ScriptedPerson()))


def test_a_file_that_is_too_long_or_no_text_or_no_file(tmp_path: Path) -> None:
    """Whether it is may have been the choice of who wrote it."""

    def writes() -> Any:
        mine = files(tmp_path, brings=USER)
        mine.write("long", Value("attacker" * 9, UNTRUSTED))
        return mine.write(Value("folder/note", UNTRUSTED), "x")

    assert execute(writes, person=YES).error is None
    short = files(tmp_path, brings=USER, most_bytes=20)
    looks: list[Callable[[], Any]] = [
        lambda: short.read("long"),
        lambda: short.read("folder"),
        lambda: short.write("folder", "x"),
    ]
    for look in looks:
        labels: list[Label] = []

        def program(look: Any = look, labels: Any = labels) -> None:
            with pytest.raises(DriverFailed):
                str(look())
            labels.append(current().label)

        assert execute(program).error is None and labels == [UNTRUSTED]


# -- other lives -------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("effect", ["read", "external"])
def test_later_lives_and_replays_know_it(tmp_path: Path, effect: Any, replay: bool) -> None:
    """Whether the driver is asked again (a look in a life that is no replay) or not."""
    labels: list[Label] = []

    def driven(label: Label) -> Driver:
        @driver(effect=effect, brings=USER)
        def look() -> str:
            """Look at something."""
            brought(label)
            raise ValueError("attacker")

        return look

    def whole(label: Label) -> Callable[[], Any]:
        look = driven(label)

        def body() -> Any:
            with pytest.raises(DriverFailed):
                str(look())
            labels.append(current().label)
            return echo("later")

        return body

    runs, grave = tmp_path / "runs", tmp_path / "grave"
    first = execute(whole(UNTRUSTED), engine=Doomed(said, runs, grave, at=1), run_dir=runs)
    assert first.label is UNTRUSTED
    now = whole(UNTRUSTED if effect == "read" else USER)
    again = resumed(runs if replay else grave, first, now, engine=Scripted(said), replay=replay)
    assert again.error is None and again.label is UNTRUSTED
    assert labels == [UNTRUSTED, UNTRUSTED]
