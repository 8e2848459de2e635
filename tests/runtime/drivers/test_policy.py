"""The policy, case by case: its table, its readers, and how the dispatcher keeps to it.

What is expected is written out here a second time, in words of its own, so that a rule that is
turned round or left out is seen (``test_policy_mutants`` does both to every one).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from kit import echo, execute, resumed
from label_kit import LABELS, fail

from nlpu import Label, Value, lift
from nlpu.errors import Diverged, DriverFailed, Refused
from nlpu.label import SYSTEM, UNTRUSTED, USER, Integrity, intern_label, join
from nlpu.runtime import spawn
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import EFFECTS, ROLES, Driver, brought, driver, label_given
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.drivers.policy import objections

NEEDS_TRUST = {
    "pure": "",
    "read": "authority",
    "write": "authority selector",
    "external": "authority selector",
}
ACTS = {"pure": False, "read": False, "write": True, "external": True}
ANN = intern_label(Integrity.USER, frozenset({"ann"}))
BAD = Value("bad", UNTRUSTED)


def declared(effect: Any, role: Any = "authority", **more: Any) -> Driver:
    def act(what: str) -> str:
        """Act."""
        return what

    made: Driver = driver(act, effect=effect, roles={"what": role}, **more)
    return made


def told(found: Any) -> list[tuple[Any, Any, Label]]:
    return [(each.argument, each.role, each.label) for each in found]


@pytest.mark.parametrize("effect", EFFECTS)
def test_who_must_be_trusted(effect: str) -> None:
    for role, label, scope in product(ROLES, LABELS, LABELS):
        made = declared(effect, role, audience=frozenset())  # nobody comes to read it
        expected: list[tuple[Any, Any, Label]] = []
        if ACTS[effect] and scope.integrity is Integrity.UNTRUSTED:
            expected.append((None, None, scope))
        if role in NEEDS_TRUST[effect].split() and label.integrity is Integrity.UNTRUSTED:
            expected.append(("what", role, label))
        found = objections(made, {"what": label}, scope)
        assert told(found) == expected, (role, label, scope)
        assert all(each.breaks(each.label) and not each.breaks(USER) for each in found)
        assert all("untrusted" in each.why for each in found)


@pytest.mark.parametrize("effect", EFFECTS)
def test_who_may_come_to_read_it(effect: str) -> None:
    audiences = [None, *(frozenset(who) for who in ("", "a", "b", "ab", "c", "abc"))]
    trusted = [label for label in LABELS if label.integrity is Integrity.USER]
    for audience, label, scope in product(audiences, trusted, trusted):
        made = declared(effect, "content", audience=audience)
        expected = []
        for name, role, each in ((None, None, scope), ("what", "content", label)):
            all_may = each.readers is None
            some_may = audience is not None and all(who in (each.readers or ()) for who in audience)
            if ACTS[effect] and not all_may and not some_may:
                expected.append((name, role, each))
        found = objections(made, {"what": label}, scope)
        assert told(found) == expected, (audience, label, scope)
        assert all(each.breaks(each.label) and not each.breaks(USER) for each in found)
        for each in found:
            who = ", ".join(sorted(each.label.readers or ())) or "nobody"
            assert f"{who} alone" in each.why


def test_all_that_stands_against_a_call_is_said_in_order() -> None:
    low = intern_label(Integrity.UNTRUSTED, frozenset())
    found = objections(declared("write"), {"what": low}, low)
    assert [each.argument for each in found] == [None, None, "what", "what"]
    assert ["untrusted" in each.why for each in found] == [True, False, True, False]


# -- the dispatcher --------------------------------------------------------------------------------


class Acts:
    """A driver of one effect that counts what it did; it gives what it was given."""

    def __init__(self, effect: Any, **more: Any) -> None:
        self.done: list[str] = []

        def act(what: str) -> str:
            """Act."""
            self.done.append(what)
            return what

        self.act: Driver = driver(act, effect=effect, **more)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("label", [USER, SYSTEM, UNTRUSTED])
@pytest.mark.parametrize("given", ["value", "literal", "scope"])
def test_a_call_is_made_exactly_if_nothing_stands_against_it(
    effect: str, label: Label, given: str
) -> None:
    def program() -> Any:
        value = echo(Value("text", label))
        if given == "value":
            return acts.act(value)
        return acts.act(str(value) if given == "scope" else Value(str(value)))

    acts = Acts(effect)
    run = execute(program)
    refused = label is UNTRUSTED and effect != "pure"
    assert acts.done == ([] if refused else ["text"])
    assert run.status == ("needs_person" if refused else "done")
    acts = Acts(effect)
    yes = ScriptedPerson(approve=lambda call: True)
    assert execute(program, person=yes).result == "text"
    assert (acts.done, len(yes.asked)) == (["text"], refused)
    acts = Acts(effect)
    no = ScriptedPerson()
    run = execute(program, person=no)
    assert (type(run.error) is Refused) is refused
    assert acts.done == ([] if refused else ["text"])


def test_a_literal_argument_is_as_trusted_as_the_program() -> None:
    """The scope's label at the time of the call, not before and not after."""
    acts = Acts("read")

    def program() -> Any:
        before = acts.act("before")
        str(BAD)
        return before, acts.act("after")

    run = execute(program)
    assert run.status == "needs_person"
    assert 'act({"what":"after"}) at main/1 needs a person' in str(run.error)
    assert acts.done == ["before"]


def test_what_a_driver_brings_is_joined_with_what_it_was_given() -> None:
    found: list[tuple[Value[Any], Label]] = []

    def program() -> list[Any]:
        for label, brings in product((USER, SYSTEM, UNTRUSTED, ANN), (USER, SYSTEM, UNTRUSTED)):
            acts = Acts("read", roles={"what": "content"}, brings=brings)
            found.append((acts.act(Value("x", label)), join(label, brings)))
        return [value for value, _ in found]

    assert execute(program).error is None
    assert [value.label for value, _ in found] == [label for _, label in found]


def test_what_a_result_says_of_its_own_label_is_joined_too() -> None:
    found: list[tuple[Value[Any], Label]] = []

    def program() -> list[Any]:
        for given, said in product((USER, SYSTEM, ANN), (USER, SYSTEM, UNTRUSTED)):
            acts = Acts(
                "read", roles={"what": "content"}, brings=USER, label_of=lambda _, s=said: s
            )
            found.append((acts.act(Value("x", given)), join(given, said)))
        return [value for value, _ in found]

    assert execute(program).error is None
    assert [value.label for value, _ in found] == [label for _, label in found]


def test_what_a_driver_says_of_what_it_brings_is_joined_too() -> None:
    """It is told whose word its argument is, and the program's that gives it."""
    found: list[tuple[Value[Any], Label]] = []

    @driver(effect="read", roles={"what": "content"}, brings=USER)
    def act(what: str, says: str) -> str:
        """Act."""
        heard.append(label_given("what"))
        brought(SYSTEM)
        brought({str(each): each for each in (USER, UNTRUSTED, ANN)}[says])
        return what

    def nested(label: Label) -> list[Any]:
        str(Value("seen", SYSTEM))
        for says in (USER, UNTRUSTED, ANN):
            value = act(Value("x", label), str(says))
            found.append((value, join(join(label, says), SYSTEM)))
        return [value for value, _ in found]

    heard: list[Label] = []
    assert execute(nested, ANN).error is None
    assert [value.label for value, _ in found] == [label for _, label in found]
    assert heard == [join(ANN, SYSTEM)] * 3


def test_what_a_driver_brings_is_joined_with_what_the_program_has_seen() -> None:
    acts = Acts("read", brings=USER, label_of=lambda text: USER)

    def program() -> Any:
        str(Value("secret", ANN))
        kept.append(acts.act("constant"))
        return kept[0]

    kept: list[Value[Any]] = []
    assert execute(program).error is None
    assert kept[0].label is ANN


def test_a_failure_is_labelled_as_a_result_would_be() -> None:
    labels: list[Label] = []

    def inner(look: Any, label: Label) -> None:
        try:
            str(look(Value("x", label)))
        except DriverFailed:
            labels.append(echo("after")._label)

    def program() -> list[Any]:
        return [spawn(inner, look, label) for look in (fail, bad) for label in (USER, UNTRUSTED)]

    @driver(effect="read", roles={"what": "content"})
    def bad(what: str) -> int:
        """Give what was not declared."""
        return what  # type: ignore[return-value]

    assert execute(program).error is None
    assert labels == [USER, UNTRUSTED, UNTRUSTED, UNTRUSTED]


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_dry_run_acts_on_nothing(effect: str) -> None:
    acts = Acts(effect)
    run = execute(lambda: acts.act("x"), dry=True, person=ScriptedPerson(approve=lambda call: True))
    assert acts.done == ([] if ACTS[effect] else ["x"])
    assert (type(run.error) is Refused) is ACTS[effect]


# -- later lives -----------------------------------------------------------------------------------


def once(act: Driver) -> Any:
    try:
        return act("x").value
    except DriverFailed as error:
        return str(error)


class Killed:
    """A run whose process dies between the intent of its first driver's call and the outcome."""

    def __init__(
        self, place: Path, effect: Any, program: Any = once, person: Any = None, **more: Any
    ) -> None:
        self.acts = Acts(effect, **more)
        self.grave, inner = place / "grave", self.acts.act.function

        def act(what: str) -> str:
            """Act."""
            if not self.grave.exists():
                self.grave.mkdir()
                for path in place.glob("*.db*"):
                    (self.grave / path.name).write_bytes(path.read_bytes())
            return str(inner(what))

        self.made: Driver = driver(act, effect=effect, **more)
        self.program = lambda: program(self.made)
        self.run = execute(self.program, run_dir=place, person=person)

    def again(self, **options: Any) -> Any:
        return resumed(self.grave, self.run, self.program, **options)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_what_may_be_repeated_is_and_the_rest_is_asked(
    tmp_path: Path, effect: str, idempotent: bool
) -> None:
    harmless = idempotent or not ACTS[effect]
    killed = Killed(tmp_path, effect, idempotent=idempotent)
    alone = killed.again()
    assert alone.status == ("done" if harmless else "needs_person")
    assert len(killed.acts.done) == 1 + harmless
    if not harmless:
        for verdict, result, times in (
            ("stop", None, 1),
            ("done", "its result is lost", 1),
            ("again", "x", 2),
        ):
            person = ScriptedPerson(settle=lambda call, verdict=verdict: verdict)
            run = killed.again(person=person)
            assert len(person.asked) == 1 and len(killed.acts.done) == times
            assert run.status == ("needs_person" if result is None else "done")
            assert result is None or result in run.result
            if verdict == "done":
                break  # it is settled now
    nobody = killed.again(replay=True)
    assert len(killed.acts.done) == (2 if harmless else 1)
    assert nobody.status in ("done", "failed")


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("label", [USER, UNTRUSTED])
def test_a_call_without_an_outcome_has_none_in_a_replay(
    tmp_path: Path, effect: str, label: Label
) -> None:
    """It was made, so it was not refused; what it gave is not known."""
    yes = ScriptedPerson(approve=lambda call: True)
    killed = Killed(tmp_path, effect, lambda act: act(echo(Value("x", label))), person=yes)
    replay = killed.again(replay=True)
    assert isinstance(replay.error, Diverged) and "has no result for this call" in str(replay.error)
    assert killed.acts.done == ["x"]


@pytest.mark.parametrize("effect", EFFECTS)
def test_another_call_at_the_same_place_is_another_call(tmp_path: Path, effect: str) -> None:
    killed = Killed(tmp_path, effect)
    killed.program = lambda: killed.made("y")
    stays = killed.again()
    assert isinstance(stays.error, Diverged) and "another call was made there" in str(stays.error)
    assert killed.acts.done == ["x"]
    assert killed.again(changed=True).result == "y"
    assert killed.acts.done == ["x", "y"]


def test_what_was_approved_of_is_not_asked_again_and_anything_else_is(tmp_path: Path) -> None:
    def program(act: Driver) -> Any:
        one = act(echo(BAD))
        return one, act(lift(lambda text: f"not {text}")(one))

    yes, no = ScriptedPerson(approve=lambda call: True), ScriptedPerson()
    killed = Killed(tmp_path, "external", program, person=yes, idempotent=True)
    assert killed.acts.done == ["bad", "not bad"] and len(yes.asked) == 2
    again = killed.again(person=no)
    assert again.error is not None and isinstance(again.error.__cause__, Refused)
    assert killed.acts.done == ["bad", "not bad", "bad"]
    (asked,) = no.asked
    assert isinstance(asked, ExactCall) and asked.arguments == '{"what":"not bad"}'


def failing(effect: Any, tried: list[str]) -> Driver:
    def act(what: str) -> str:
        """Act."""
        tried.append(what)
        raise ValueError("no")

    made: Driver = driver(act, effect=effect)
    return made


def test_a_failure_is_not_tried_again_unless_that_is_harmless(tmp_path: Path) -> None:
    for effect in EFFECTS:
        tried: list[str] = []

        made = failing(effect, tried)

        def program(made: Driver = made) -> Any:
            return made("x"), echo("later")

        place = tmp_path / effect
        cut = execute(program, run_dir=place)
        assert isinstance(cut.error and cut.error.__cause__, DriverFailed)
        again = resumed(place, cut, program)
        assert isinstance(again.error and again.error.__cause__, DriverFailed)
        assert len(tried) == (1 if ACTS[effect] else 2)
        replay = resumed(place, cut, program, replay=True)
        assert isinstance(replay.error and replay.error.__cause__, DriverFailed)
        assert len(tried) == (1 if ACTS[effect] else 2)


def test_a_refusal_that_was_caught_is_met_again_in_a_replay(tmp_path: Path) -> None:
    acts = Acts("write")

    def program() -> Any:
        try:
            return acts.act(echo(BAD)).value
        except Refused as error:
            return f"refused: {error}"

    run = execute(program, person=ScriptedPerson(), run_dir=tmp_path)
    again = resumed(tmp_path, run, program, replay=True)
    assert again.result == run.result and run.result.startswith("refused: act(")
    assert acts.done == []
