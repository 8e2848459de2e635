"""What a person is told of failures: which item and why, where in their own code, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import count, echo, execute, merge, shorten
from terminal_fixture import Terminal, nlpu

from nlpu import Value, nlop
from nlpu.errors import BadOperand, DoesNotFit, Malformed, NlpuError, UpstreamFailed, chain_of
from nlpu.lifting import gather
from nlpu.runtime import spawn
from nlpu.runtime.terminal.output import said

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
ITEMS = ["1", "2", "a letter that says nothing of numbers", "4", "none"]


@nlop
def total(numbers: list[int]) -> int:
    """Sum."""


def numbers(seen: Any) -> str:
    """The operand itself: what is no number is no result."""
    return "7" if "Sum" in seen.instruction else next(iter(seen.operands.values()))


def error_of(program: Any) -> BaseException:
    run = execute(program, engine=numbers)
    assert run.error is not None
    return run.error


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "reader",
    [
        lambda mapped: mapped,
        lambda mapped: mapped.value,
        lambda mapped: {"numbers": mapped, "other": echo("x")},
        total,
        lambda mapped: shorten(gather([total(mapped)])),
        lambda mapped: spawn(total, mapped),
        lambda mapped: total.map([gather([part]) for part in mapped.each()]),
    ],
)
def test_whoever_reads_a_map_is_told_which_item_failed_and_why(reader: Any, late: bool) -> None:
    def program() -> Any:
        items: Any = [echo(item) for item in ITEMS] if late else ITEMS
        return reader(count.map(items))

    message = str(error_of(program))
    item = "item 3 of 5 of count at main/"
    assert "could not run: " + item in message, message
    assert '("a letter that says nothing of numbers") failed' in message
    assert message.endswith("is not a whole number; it was asked 2 times")
    assert said(error_of(program)).count("could not run") == 1  # no chain of those between


def test_a_map_says_how_many_more_failed() -> None:
    assert "failed, as did 1 more: " in str(error_of(lambda: count.map(ITEMS)))
    assert "failed: " in str(error_of(lambda: count.map(ITEMS[:4])))


def test_other_failures_are_told_with_what_they_were_given() -> None:
    drawn = str(error_of(lambda: echo.using(temperature=1.0, retries=0)("", samples=3)))
    assert "could not run: draw 1 of 3 of echo at main/0/0" in drawn
    long = "word " * 50_000
    one = error_of(lambda: merge(shorten(long), "b"))
    assert 'shorten at main/0 ("word word word' in str(one) and "…" in str(one)
    assert str(one).endswith("lower max_tokens") and isinstance(one.__cause__, DoesNotFit)
    assert chain_of(one) == said(one) == str(one)


def test_the_good_items_of_a_map_can_be_kept() -> None:
    def program() -> Any:
        parts = count.map(ITEMS).each()
        bad = [type(part.error).__name__ for part in parts if part.error is not None]
        return [part for part in parts if part.error is None], bad

    run = execute(program, engine=numbers)
    assert run.result == ([1, 2, 4], ["Malformed", "Malformed"])


def test_an_error_is_asked_for_as_a_content_is() -> None:
    def program() -> Any:
        wrong = count("none")
        assert isinstance(wrong.error, Malformed) and wrong.ready
        assert Value("literal").error is None
        with pytest.raises(UpstreamFailed):
            _ = echo(wrong).value
        return count("5").error

    assert execute(program, engine=numbers).result is None

    async def waiting() -> Any:
        with pytest.raises(BadOperand, match="await"):
            _ = count("none").error
        with pytest.raises(Malformed):
            await count("none")
        return "caught"

    assert execute(waiting, engine=numbers).result == "caught"


def test_an_error_that_is_caught_twice_tells_of_the_second_place() -> None:
    def lines(error: BaseException) -> int:
        trace, found = error.__traceback__, 0
        while trace is not None:
            trace, found = trace.tb_next, found + 1
        return found

    def program() -> list[int]:
        wrong, found = count("none"), []
        for _ in range(3):
            try:
                _ = wrong.value
            except NlpuError as error:
                found.append(lines(error))
        return found

    first, second, third = execute(program, engine=numbers).result
    assert first == second == third


PROGRAM = """import asyncio
from nlpu import op, lift
from nlpu.lifting import gather
from nlpu.runtime import spawn

def helper(n):
    return {"a": 1}["b" * n]

def plain(n: int):
    return helper(n)

def nested(n: int):
    return spawn(plain, n).value

def lifted(n: int):
    return lift(helper)(op("Say")("x").value and n)

def blocking(n: int):
    return lift(helper, blocking=True)(n)

async def waiting(n: int):
    return helper(n)

def asked(n: int):
    return op("Shorten").map(["word " * 50_000 * n]).value

async def grouped(n: int):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(waiting(n))

def caused(n: int):
    try:
        helper(n)
    except KeyError as error:
        raise ValueError("no such thing") from error
"""


@pytest.mark.parametrize(
    "name", ["plain", "nested", "lifted", "blocking", "waiting", "grouped", "caused"]
)
def test_debug_shows_the_users_frames_alone(
    nlpu: Terminal, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    ended = nlpu("run", f"p.py:{name}", "2", *SCRIPTED)
    line = 35 if name == "caused" else 7
    assert ended.code == 1 and f"(p.py:{line})" in ended.err and "Traceback" not in ended.err
    plainly = ended.err
    monkeypatch.setenv("NLPU_DEBUG", "1")
    ended = nlpu("run", f"p.py:{name}", "2", *SCRIPTED)
    files = [line.split('"')[1] for line in ended.err.splitlines() if line.startswith("  File ")]
    assert files and {Path(file).name for file in files} == {"p.py"}, ended.err
    assert ("KeyError" in plainly) == (name != "caused")  # there it is behind the ValueError
    assert '{"a": 1}["b" * n]' in ended.err and "KeyError: 'bb'" in ended.err


def test_debug_shows_where_a_failure_was_asked_for(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    assert "lower max_tokens (p.py:25)" in nlpu("run", "p.py:asked", "1", *SCRIPTED).err
    monkeypatch.setenv("NLPU_DEBUG", "1")
    ended = nlpu("run", "p.py:asked", "1", *SCRIPTED)
    assert '    return op("Shorten").map(["word " * 50_000 * n]).value\n' in ended.err
    assert "runtime/" not in ended.err and "nlpu/" not in ended.err
    (tmp_path / "broken.py").write_text("def go(:\n    pass\n")
    ended = nlpu("run", "broken.py:go", *SCRIPTED)
    assert "    def go(:" in ended.err and "runtime/" not in ended.err


MAPPED = """from nlpu import op

def go():
    return op("Shorten").map(["short", "word " * 50_000])
"""


def test_every_place_tells_the_same(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(MAPPED)
    ended = nlpu("run", "p.py:go", *SCRIPTED, "--json")
    told = ended.json["error"]["message"]
    assert told.startswith(
        'shorten at main/0 could not run: item 2 of 2 of shorten at main/0/1 ("w'
    )
    assert told.endswith("or lower max_tokens") and told in ended.err
    run = ended.json["run_id"]
    assert "".join(told.split()) in "".join(nlpu("show", run).out.split())  # its lines are broken
    assert nlpu("show", run, "--json").json["error"]["message"] == told
    again = nlpu("resume", run)
    assert told in again.err and again.code == 1
    typed = nlpu("repl", *SCRIPTED, stdin="run p.py:go\nWhat now?\n")
    assert told.partition(" at main/0/1")[2] in " ".join(typed.err.split()) and typed.code == 1


def test_debug_tells_of_a_line_of_the_console(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    monkeypatch.setenv("NLPU_DEBUG", "1")
    told = nlpu("repl", *SCRIPTED, stdin="run p.py:plain 3\n").err
    assert "KeyError: 'bbb'\nerror: the program plain raised" in told and "runtime/" not in told
