"""Programs as text, taken from runs and run again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from kit import computer, echo, execute, finish, merge, said, shorten, yes
from recorded_fixture import DIGEST, recorded
from terminal_fixture import Terminal, nlpu
from test_program_text import BOOK, Tone, brief, send

from nlpu import lift, op, split
from nlpu.errors import BadProgram, DriverFailed, ProgramError, Usage
from nlpu.label import UNTRUSTED, USER, intern_label
from nlpu.runtime import Computer, Run, first, spawn
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.endorse import endorse
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.handle import state_of
from nlpu.runtime.loader import load
from nlpu.runtime.plans.bounds import Given
from nlpu.runtime.plans.execute import program_of
from nlpu.runtime.plans.format import write
from nlpu.runtime.plans.parse import read
from nlpu.runtime.plans.trace import plan_of
from nlpu.testing.scripted import Scripted, Seen
from nlpu.value import Value

__all__ = ["nlpu"]  # a fixture


# -- from a run and back -----------------------------------------------------------------------


def written(program: Callable[..., Any], *args: Any, engine: Any = None) -> tuple[str, Run]:
    """The run's text, of which writing and reading are inverse, and the run."""
    with computer(engine) as machine:
        run = finish(machine.start(program, *args))
        given_args = inspect.signature(program).bind(*args).arguments
        plan = plan_of(state_of(run), given_args)
    text = write(plan)
    assert read(text) == plan and write(read(text)) == text
    return text, run


def books(book: str, topic: str) -> Any:
    parts = shorten.map(split(book, 40))
    whole = shorten.reduce(parts)
    return whole, merge(whole, topic)


def test_a_run_is_written_with_its_parameters_and_runs_on_other_texts() -> None:
    text, run = written(books, BOOK, "mills", engine=brief)
    assert "param %1 book: str\nparam %2 topic: str\n%3 = split %1, 40\n%4 = map shorten %3" in text
    again = execute(program_of(text), BOOK, "mills", engine=brief)
    assert again.result == list(run.result)
    assert again.receipt.calls == run.receipt.calls and not again.receipt.forced
    other = execute(program_of(text), "Another text. " * 9, "geese", engine=brief)
    assert other.result[1].endswith("+geese")


def test_equal_answers_are_each_their_own_calls(tmp_path: Path) -> None:
    topic = op("Say what it is about", Literal["food", "sport"])

    def program(texts: str) -> Any:
        found = topic.map(texts.split(", "))
        return [[text, label] for text, label in zip(texts.split(", "), found.value, strict=True)]

    name = ""
    for _ in range(2):
        with Computer(Scripted("food"), run_dir=tmp_path) as machine:
            begin = partial(machine.resume, name) if name else machine.start
            run = finish(begin(program, "a b, c d"))
            name = run.name
            text = write(plan_of(state_of(run), {}))
        again = execute(program_of(text), engine=lambda seen: ("food", "sport")["c d" in str(seen)])
        assert again.result == [["a b", "food"], ["c d", "sport"]], text


def led(topic: str) -> Any:
    known = str(echo(topic))
    inner = spawn(lambda text: str(echo(text + "!")), known)
    if yes(known):
        return {"a": merge(known, inner), "b": first(echo("q")), "c": [None, Tone.WARM]}
    return "no"


def test_branches_are_written_as_they_fell_and_hold_as_conditions() -> None:
    def agreeing(seen: Seen) -> str:
        return "yes" if "Is it so" in seen.instruction else said(seen)

    text, _ = written(led, "tides", engine=agreeing)
    assert "%3 = yes %2" in text and "given %3 = true" in text
    assert '%4 = echo "tides!"' in text  # what Python made of a text is a text
    again = execute(program_of(text), "tides", engine=agreeing)
    assert again.result == {"a": "tides+tides!", "b": "q", "c": [None, "warm"]}
    other = execute(program_of(text), "tides", engine={"Is it so": "no"})
    assert "%3 is False, and the text is written for another case" in str(other.error)


def test_functions_are_names_that_only_python_can_give() -> None:
    def joined(*texts: str) -> str:
        return " & ".join(texts)

    text, _ = written(lambda: lift(joined)(echo("a"), echo("b")))
    with pytest.raises(BadProgram, match="the function joined is not given"):
        program_of(text)
    assert execute(program_of(text, Given(functions={"joined": joined}))).result == "a & b"


def test_draws_and_items_used_alone() -> None:
    tell = op("Tell it", temperature=0.7)

    def program() -> Any:
        few = tell("a", samples=3)
        many = tell("b", samples=2)
        return few.each()[0], few, many, tell("c", sample=4), tell.using(temperature=0.1)("d")

    text, run = written(program)
    assert text.count("= tell_it ") == 3 and "%4 = draw 2 tell_it" in text
    assert "sample 4 tell_it" in text and 'tell_it_2(text: str) -> str name="tell_it"' in text
    assert execute(program_of(text)).receipt.calls == run.receipt.calls


def test_what_a_program_vouches_for_is_refused_by_name() -> None:
    with pytest.raises(BadProgram, match="endorse at main/1 cannot be written"):
        written(lambda: endorse(yes("x"), into=bool), engine="yes")


def test_labels_survive_the_text() -> None:
    low = intern_label(UNTRUSTED.integrity, frozenset({"ann"}))

    def program() -> Any:
        return echo(Value("what they wrote", low)), echo("mine")

    text, _ = written(program)
    assert '= echo "what they wrote" given untrusted ["ann"]' in text

    def labels(program: Any) -> list[Any]:
        found: list[Any] = []

        def outer() -> Any:
            pair = spawn(program)
            found.append(pair)
            return pair

        execute(outer)
        return [found[0].label]

    assert labels(program_of(text)) == labels(program) == [low]


SENT: list[str] = []


@driver(effect="external", roles={"body": "content"})
def post(to: str, body: str) -> bool:
    """Post a letter."""
    SENT.append(to)
    return True


@driver(effect="read")
def fetch() -> str:
    """Fetch what somebody wrote."""
    return "Please write to me."


def test_a_decision_from_untrusted_text_gains_no_trust_by_being_written() -> None:
    """The run was approved by a person once; its text needs a person again."""

    def program() -> Any:
        return post("ann", "Hello.") if yes(fetch()) else "no"

    with computer("yes", person=ScriptedPerson(approve=lambda call: True)) as machine:
        run = finish(machine.start(program))
        text = write(plan_of(state_of(run), {}))
    assert 'post to="ann", body="Hello." given %2 = true' in text and SENT == ["ann"]
    given_drivers = Given({"post": post, "fetch": fetch})
    again = execute(program_of(text, given_drivers), engine="yes")
    assert again.status == "needs_person" and SENT == ["ann"]
    with pytest.raises(BadProgram, match="is not the one the text was written for"):
        program_of(text, Given({"post": send, "fetch": fetch}))


def test_a_result_made_of_untrusted_text_keeps_its_label_in_the_text() -> None:
    given_drivers = Given({"fetch": fetch})
    program: Any = lambda: str(fetch())[-3:]  # noqa: E731
    for _ in range(2):  # the text of the text's run, too
        with computer() as machine:
            run = finish(machine.start(program))
            text = write(plan_of(state_of(run), {}))
        assert '%2 = "me." given untrusted\nreturn %2' in text
        program = program_of(text, given_drivers)
    assert execute(lambda: post(spawn(program), "Hello.")).status == "needs_person"


def test_what_follows_a_nested_program_that_failed_is_refused_by_name() -> None:
    def inner(text: str) -> Any:
        return echo(text).value[99]

    def program(text: str) -> Any:
        try:
            return echo(spawn(inner, text).value)
        except ProgramError:
            return echo("fallback")

    with pytest.raises(BadProgram, match=r"main/1 cannot be written: it followed .* at main/0, a"):
        written(program, "hello")
    text, _ = written(program, "hello" * 30)
    assert "echo" in text


def test_a_driver_that_failed_is_a_condition() -> None:
    @driver(effect="read", label_of=lambda got: UNTRUSTED if got[0] else USER)
    def look() -> str:
        """Look."""
        raise RuntimeError("down")

    def program() -> Any:
        try:
            return str(look())
        except DriverFailed:
            return echo("none")

    text, _ = written(program)
    assert '= echo "none" given %1 failed' in text


# -- in the terminal -----------------------------------------------------------------------------


def test_a_run_is_shown_as_a_program_and_run_again(nlpu: Terminal, tmp_path: Path) -> None:
    record = recorded(tmp_path, lambda seen: "yes" if "good" in seen.instruction else said(seen))
    place = ("--run-dir", str(tmp_path / "runs"))
    shown = nlpu("show", record.name, "--program", *place)
    assert shown.code == 0 and "note: branches are written as they fell" in shown.err
    assert nlpu("show", record.name, "--program", "--json", *place).json["program"] == shown.out
    file = tmp_path / "digest.nl"
    file.write_text(shown.out)
    ended = nlpu("run", str(file), "--engine", "scripted", "--json", *place)
    name = ended.json["run_id"]
    assert DIGEST and ended.json["receipt"]["calls"] > 3
    assert nlpu("replay", name, *place).code == ended.code
    file.write_text(shown.out.replace("Shorten", "Lengthen"))
    changed = nlpu("resume", name, "--changed", *place, "--json")
    assert changed.json["receipt"]["calls"] > 0


def test_a_text_takes_its_inputs_and_says_what_is_wrong(nlpu: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "short.nl"
    file.write_text("param %1 book: str\nparam %2: str\n%3 = judge %2, %1\nreturn %3\n")
    (tmp_path / "book.txt").write_text("A book.")
    given_names = ("p2=Is it a book?", "--input", "book.txt", "--engine", "scripted")
    assert nlpu("run", str(file), *given_names).code == 0
    assert "short(book: text, p2: text)" in nlpu("run", str(file)).err
    file.write_text("%1 = summarize %2\nreturn")
    bad = nlpu("run", str(file))
    assert bad.code == 1 and bad.err.startswith("error: line 2, column 7: expected a value")
    assert nlpu("run", "missing.nl").code == 2


def test_a_file_that_is_no_text_is_said_shortly(tmp_path: Path) -> None:
    (tmp_path / "bytes.nl").write_bytes(b"\xff")
    for name, told in (("none.nl", "there is no file"), ("bytes.nl", "is not UTF-8 text")):
        with pytest.raises(Usage, match=told):
            load(str(tmp_path / name))
