"""What has changed since a run was journaled: it is named, and stops the run."""

from __future__ import annotations

import random as dice
import time
from pathlib import Path
from typing import Any

import pytest
from journal_kit import Opened
from kit import (
    asked,
    echo,
    execute,
    resumed,
    said,
    shorten,
    slow,
)

from nlpu import NlpuError, lift, op
from nlpu.errors import Diverged
from nlpu.runtime import Budget, first, now, random, spawn
from nlpu.testing.scripted import Scripted


def two(text: str) -> Any:
    return shorten(echo(text))


def other_op(text: str) -> Any:
    return echo(echo(text + "!"))


def changed_text(text: str) -> Any:
    return op("Shorten the text a lot.", name="shorten")(echo(text))


def fewer(text: str) -> Any:
    return echo(text)


def dated(text: str) -> Any:
    return echo(f"{text} at {time.time_ns()}")


def diced(text: str) -> Any:
    return echo(f"{text} {dice.random()}")


def unstable(text: str) -> Any:
    return lift(lambda value: f"{value} {dice.random()}")(echo(text))


def warmer(text: str) -> Any:
    return shorten.using(temperature=0.5)(echo(text))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (two, changed_text, "at main/1 (shorten) the run differs from its journal: the op shorten"),
        (two, other_op, "main/0 (echo) the run differs from its journal: its operand 'text'"),
        (other_op, two, "its operand 'text' differs"),
        (fewer, lambda text: shorten(text + ""), "called echo there before, and calls shorten now"),
        (two, warmer, "the op shorten has changed"),
        (dated, dated, "random numbers from nlpu.runtime.now() and nlpu.runtime.random()"),
        (diced, diced, "its operand 'text' differs"),
        (unstable, unstable, "gave another result before"),
    ],
)
def test_a_divergence_is_named_and_stops_the_run(
    tmp_path: Path, before: Any, after: Any, words: str
) -> None:
    run = execute(before, "x", run_dir=tmp_path)
    engine = Scripted(said)
    for _ in range(2):  # resuming once does not hide it from the next
        again = resumed(tmp_path, run, after, "x", engine=engine)
        assert again.status == "failed"
        assert isinstance(again.error, Diverged)
        assert words in str(again.error)
        assert engine.seen == []


def test_a_changed_model_is_named(tmp_path: Path) -> None:
    run = execute(two, "x", run_dir=tmp_path, engine=Scripted(said, model="small"))
    again = resumed(tmp_path, run, two, "x", engine=Scripted(said, model="large"))
    assert "the model was small before" in str(again.error)


def test_a_divergence_cannot_be_caught_nor_lose_a_race(tmp_path: Path) -> None:
    def program(text: str) -> Any:
        try:
            return str(first(echo(text), shorten("slow one")))
        except NlpuError as error:
            return f"caught {type(error).__name__}"

    engine = Scripted(slow(lambda text: 9.0 if text == "slow one" else 1.0))
    run = execute(program, "x", engine=engine, run_dir=tmp_path)
    assert run.result == "x"
    again = resumed(tmp_path, run, program, "y", engine=Scripted(said))
    assert isinstance(again.error, Diverged)


def test_fewer_calls_are_no_divergence(tmp_path: Path) -> None:
    run = execute(two, "x", run_dir=tmp_path)
    again = resumed(tmp_path, run, fewer, "x", engine=Scripted("never"))
    assert (again.result, again.receipt.calls) == ("x", 0)


def test_changed_reuses_what_is_the_same(tmp_path: Path) -> None:
    def before(texts: list[str]) -> Any:
        return shorten.map(echo.map(texts)), first(echo("a"), echo("b"), echo("c"))

    def after(texts: list[str]) -> Any:
        return changed.map(echo.map(texts)), first(echo("a"))

    changed = op("Shorten the text a lot.", name="shorten")
    slow_c = slow(lambda text: 1.0 if text == "c" else 2.0)
    run = execute(before, ["u", "v"], engine=Scripted(slow_c), run_dir=tmp_path)
    assert run.result == (["u", "v"], "c")
    engine = Scripted(said)
    again = resumed(tmp_path, run, after, ["new", "v", "u"], engine=engine, changed=True)
    assert again.result == (["new", "v", "u"], "a")
    assert "the run differs from its journal" in str(again.divergence)
    assert asked(engine).count("v") == asked(engine).count("u") == 1  # the changed op alone
    assert again.receipt.reused == 2


# -- replays -----------------------------------------------------------------------------------


def rows_in(run_dir: Path) -> int:
    (path,) = run_dir.glob("*.db")
    journal = Opened(path, read_only=True)
    journal.close()
    return len(journal.rows)


def with_fallback(text: str) -> Any:
    first_part = str(echo(text))
    try:
        return first_part + str(shorten("new"))
    except Exception:
        return first_part + " FALLBACK"


def without_call(text: str) -> Any:
    return 7


def told_otherwise(text: str) -> Any:
    return echo(text + str(random().random()))


def timed(text: str) -> Any:
    return echo(text + now().isoformat())


def lifted(text: str) -> Any:
    return lift(str.upper)(now().isoformat()), two(text)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (two, without_call, "another result than the journal holds"),
        (fewer, with_fallback, "the journal has no result for this call"),
        (timed, told_otherwise, "asked for the time there before, and for a random number now"),
        (two, lifted, "the program had a call there, and now it asks for the time"),
    ],
)
def test_a_replay_of_a_changed_program_is_no_success_and_writes_nothing(
    tmp_path: Path, before: Any, after: Any, says: str
) -> None:
    run = execute(before, "text", run_dir=tmp_path)
    assert run.error is None
    rows = rows_in(tmp_path)
    again = resumed(tmp_path, run, after, "text", engine=Scripted("never"), replay=True)
    assert isinstance(again.error, Diverged) and says in str(again.error)
    assert again.status == "failed"
    assert rows_in(tmp_path) == rows


def test_a_replay_of_an_unfinished_run_cannot_be_talked_out_of_it(tmp_path: Path) -> None:
    def patient() -> list[str]:
        said = []
        for number in range(5):
            try:
                said.append(str(echo(f"{number}")))
            except Exception as error:
                said.append(type(error).__name__)
        return said

    cut = execute(patient, run_dir=tmp_path, budget=Budget(calls=2))
    again = resumed(tmp_path, cut, patient, engine=Scripted("never"), replay=True)
    assert isinstance(again.error, Diverged)


def test_changed_gets_past_what_was_told_from_outside(tmp_path: Path) -> None:
    run = execute(timed, "text", run_dir=tmp_path)
    engine = Scripted(said)
    again = resumed(tmp_path, run, told_otherwise, "text", engine=engine, changed=True)
    assert again.error is None and len(engine.seen) == 1
    assert "asked for the time there before" in str(again.divergence)


def test_a_replay_of_an_unfinished_run_with_nested_programs_ends(tmp_path: Path) -> None:
    def nested() -> list[Any]:
        def careful(number: int) -> str:
            try:
                return str(shorten(str(echo(f"{number}"))))
            except NlpuError as error:
                return type(error).__name__

        return [spawn(careful, number) for number in range(9)]

    cut = execute(nested, run_dir=tmp_path, budget=Budget(calls=7))
    again = resumed(tmp_path, cut, nested, engine=Scripted("never"), replay=True)
    assert isinstance(again.error, Diverged)
