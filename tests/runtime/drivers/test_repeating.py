"""Effects of former lives: none is made twice, wherever the program asks for it now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, finish, resumed, said, shorten

from nlpu import lift
from nlpu.errors import Diverged, DriverFailed, HostError, Unauthorized
from nlpu.label import USER
from nlpu.runtime import Budget, now
from nlpu.runtime.drivers.driver import Driver, driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.edits import Edits
from nlpu.testing.scripted import Say, Scripted, Seen


class Post:
    """A letter box."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        post = self

        @driver(effect="external", roles={"body": "content"}, brings=USER)
        def send(body: str) -> int:
            """Send a letter."""
            post.sent.append(body)
            return len(post.sent)

        self.send: Driver = send


@pytest.fixture
def post() -> Post:
    return Post()


def broken_today(seen: Seen) -> str | Say | Exception:
    return Unauthorized("not today") if "Shorten" in seen.instruction else said(seen)


def detours(post: Post, *letters: str) -> Any:
    """Sends after a detour, which is not needed once the host is well again."""
    try:
        str(shorten("text"))
    except HostError:
        str(echo("instead"))
    numbers = [post.send(letter).value for letter in letters]
    return [*numbers, echo("after").value]


@pytest.mark.parametrize("letters", [["hello"], ["hello", "hello"], ["hello", "ann"]])
def test_a_letter_is_not_sent_again_from_another_position(
    post: Post, tmp_path: Path, letters: list[str]
) -> None:
    engine = Scripted(broken_today)
    with computer(engine, run_dir=tmp_path) as machine:
        cut = finish(machine.start(detours, post, *letters, budget=Budget(calls=1)))
    assert cut.status == "stopped" and post.sent == letters
    numbers = [*range(1, len(letters) + 1)]
    for _ in range(2):  # in the second life after it, what was taken over is met at its position
        done = resumed(tmp_path, cut, detours, post, *letters, budget=Budget())
        assert done.result == [*numbers, "after"] and post.sent == letters


def test_what_is_asked_for_once_more_than_before_is_made(post: Post, tmp_path: Path) -> None:
    engine = Scripted(broken_today)
    with computer(engine, run_dir=tmp_path) as machine:
        cut = finish(machine.start(detours, post, "hello", budget=Budget(calls=1)))
    more = resumed(tmp_path, cut, detours, post, "hello", "hello", "other", budget=Budget())
    assert more.result == [1, 2, 3, "after"] and post.sent == ["hello", "hello", "other"]


def writes(post: Post) -> Any:
    letter = shorten("text").value
    return [post.send("hello").value, post.send(letter).value]


def test_an_edited_run_takes_over_the_effects_that_are_the_same(post: Post, tmp_path: Path) -> None:
    edits = Edits(results={"main/0": "better"})
    with computer(run_dir=tmp_path) as machine:
        old = finish(machine.start(writes, post))
        assert post.sent == ["hello", "text"]
        new = finish(machine.rerun(old.name, writes, post, edits=edits))
        assert new.result == [1, 3] and post.sent == ["hello", "text", "better"]
        same = finish(machine.rerun(new.name, writes, post, edits=edits))
        assert same.result == [1, 3] and len(post.sent) == 3
    assert resumed(tmp_path, new, writes, post, replay=True).result == [1, 3]


def test_an_edited_run_that_is_resumed_takes_no_effect_over_twice(
    post: Post, tmp_path: Path
) -> None:
    def program(times: int) -> Any:
        short = shorten("text")
        numbers = [post.send("hello").value for _ in range(times)]
        return [*numbers, echo(short).value]

    edits = Edits(results={"main/0": "better"})
    with computer(run_dir=tmp_path) as machine:
        old = finish(machine.start(program, 1))
        cut = finish(machine.rerun(old.name, program, 1, edits=edits, budget=Budget(calls=0)))
    assert cut.status == "stopped" and post.sent == ["hello"]
    more = resumed(tmp_path, cut, program, 2, budget=Budget(), changed=True)
    assert more.result == [1, 2, "better"] and post.sent == ["hello", "hello"]


def test_an_outcome_that_is_not_known_is_a_person_s_to_settle_anywhere(
    post: Post, tmp_path: Path
) -> None:
    engine, lost = Scripted(broken_today), tmp_path / "lost"
    inner = post.send.function

    @driver(effect="external", roles={"body": "content"}, brings=USER)
    def send(body: str) -> int:
        """Send a letter."""
        if not lost.exists():
            lost.mkdir()
            for path in tmp_path.glob("*.db*"):
                (lost / path.name).write_bytes(path.read_bytes())
        return int(inner(body))

    post.send = send
    with computer(engine, run_dir=tmp_path) as machine:
        run = finish(machine.start(detours, post, "hello"))
    nobody = resumed(lost, run, detours, post, "hello")
    assert nobody.status == "needs_person" and post.sent == ["hello"]
    person = ScriptedPerson(settle=lambda call: "done")
    told = resumed(lost, run, detours, post, "hello", person=person)
    assert "its result is lost" in str(told.error) and len(person.asked) == 1
    for _ in range(2):  # what the person said is known from then on
        told = resumed(lost, run, detours, post, "hello", person=person)
        assert "its result is lost" in str(told.error) and len(person.asked) == 1
    assert post.sent == ["hello"]


def test_a_position_that_was_taken_by_another_call_forgets_neither(
    post: Post, tmp_path: Path
) -> None:
    """The second life makes another call where the first made one that it takes over later."""

    def program() -> Any:
        try:
            letters = [str(shorten("new")), "old"]
        except HostError:
            letters = ["old"]
        numbers = [post.send(letter).value for letter in letters]
        return [*numbers, echo("after").value, echo("more").value]

    with computer(Scripted(broken_today), run_dir=tmp_path) as machine:
        cut = finish(machine.start(program, budget=Budget(calls=1)))
    assert cut.status == "stopped" and post.sent == ["old"]
    second = resumed(tmp_path, cut, program, budget=Budget(calls=2))
    assert second.status == "stopped" and post.sent == ["old", "new"]
    for _ in range(2):
        done = resumed(tmp_path, cut, program, budget=Budget())
        assert done.result == [2, 1, "after", "more"] and post.sent == ["old", "new"]


# -- programs that were changed ------------------------------------------------------------------


def one_letter(post: Post) -> Any:
    return [post.send("hello").value, echo("after").value]


@pytest.mark.parametrize(
    "line", [lambda: echo("new").value, now, lambda: lift(str.upper)("x").value]
)
def test_a_line_before_a_letter_is_told_and_sends_no_second_one(
    post: Post, tmp_path: Path, line: Any
) -> None:
    def changed(post: Post) -> Any:
        line()
        return one_letter(post)

    with computer(run_dir=tmp_path) as machine:
        cut = finish(machine.start(one_letter, post, budget=Budget(calls=0)))
    assert cut.status == "stopped" and post.sent == ["hello"]
    told = resumed(tmp_path, cut, changed, post, budget=Budget())
    assert isinstance(told.error, Diverged) and "had a driver there" in str(told.error)
    for _ in range(2):
        done = resumed(tmp_path, cut, changed, post, budget=Budget(), changed=True)
        assert done.result == [1, "after"] and post.sent == ["hello"]


def test_a_driver_where_a_call_was_is_told(post: Post, tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        cut = finish(machine.start(lambda: [echo("a").value, echo("b").value], budget=Budget(1)))
    told = resumed(tmp_path, cut, one_letter, post, budget=Budget())
    assert "at main/0" in str(told.error) and "had a call there" in str(told.error)
    assert post.sent == []


def test_an_edit_of_an_edit_sends_nothing_again(post: Post, tmp_path: Path) -> None:
    def program() -> Any:
        letter = echo(shorten("text")).value
        return [post.send("first").value, post.send(letter).value]

    with computer(run_dir=tmp_path) as machine:
        first = finish(machine.start(program))
        none = Budget(calls=0)
        edits = Edits(results={"main/0": "better"})
        second = finish(machine.rerun(first.name, program, edits=edits, budget=none))
        assert second.status == "stopped"  # before it sends anything
        again = Edits(results={"main/0": "text"})
        third = finish(machine.rerun(second.name, program, edits=again))
    assert third.result == [1, 2] and post.sent == ["first", "text"]
    assert resumed(tmp_path, third, program, replay=True).result == [1, 2]


# -- looks ---------------------------------------------------------------------------------------


class Sky:
    """What a look finds changes; it may be cloudy."""

    def __init__(self) -> None:
        self.looks, self.cloudy = 0, False
        sky = self

        @driver(effect="read", brings=USER)
        def look() -> int:
            """Look up."""
            sky.looks += 1
            if sky.cloudy:
                raise OSError("clouds")
            return sky.looks

        self.look: Driver = look


def test_a_look_that_failed_may_succeed_on_a_resume(tmp_path: Path) -> None:
    sky = Sky()

    def program() -> Any:
        try:
            seen = str(sky.look().value)
        except DriverFailed:
            seen = "nothing"
        return [echo(seen).value, echo("after").value]

    sky.cloudy = True
    with computer(run_dir=tmp_path) as machine:
        cut = finish(machine.start(program, budget=Budget(calls=1)))
    sky.cloudy = False
    for _ in range(2):
        done = resumed(tmp_path, cut, program, budget=Budget())
        assert done.result == ["2", "after"]


def test_a_call_that_the_host_failed_may_take_two_resumes(tmp_path: Path) -> None:
    def program() -> Any:
        try:
            short = str(shorten("text"))
        except HostError:
            short = str(echo("instead"))
        return [echo(short + "!").value, echo("after").value]

    with computer(Scripted(broken_today), run_dir=tmp_path) as machine:
        cut = finish(machine.start(program, budget=Budget(calls=1)))
    again = resumed(tmp_path, cut, program, budget=Budget(calls=2))
    assert again.status == "stopped"
    assert resumed(tmp_path, cut, program, budget=Budget()).result == ["text!", "after"]


def test_an_edited_run_sees_what_the_old_one_saw(tmp_path: Path) -> None:
    sky = Sky()

    def program() -> Any:
        return [shorten("text").value, echo(str(sky.look().value)).value]

    with computer(run_dir=tmp_path) as machine:
        old = finish(machine.start(program))
        new = finish(machine.rerun(old.name, program, edits=Edits(results={"main/0": "better"})))
    assert new.result == ["better", "1"] and sky.looks == 1 and new.counts.calls == 0
