"""``nlpu run --from RUN --set WHAT=FILE``, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal_fixture import Terminal, nlpu

from nlpu.runtime.terminal.show.archive import find

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
PROGRAM = '''
from nlpu import nlop

@nlop
def echo(text: str) -> str:
    """Repeat the text."""

@nlop
def yes(text: str) -> bool:
    """Is it so?"""

def go(text: str):
    apart = echo("apart")
    return [str(echo(f"{bool(yes(text))}")), apart]
'''


@pytest.fixture
def old(nlpu: Terminal, tmp_path: Path) -> str:
    """The name of a run with three calls: apart, yes, and one that depends on it by control."""
    (tmp_path / "go.py").write_text(PROGRAM)
    name = nlpu("run", f"{tmp_path}/go.py:go", "hello", *SCRIPTED, "--json").json["run_id"]
    assert isinstance(name, str)
    return name


def put(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_one_result_replaced_makes_what_depends_on_it(
    nlpu: Terminal, old: str, tmp_path: Path
) -> None:
    was = nlpu("show", old, "--json").json["calls_made"]
    answer = next(call for call in was if call["op"] == "yes")
    other = put(tmp_path / "other.txt", "no\n" if answer["text"] == "yes" else "yes\n")
    told = nlpu("run", "--from", old, "--set", f"{answer['position']}={other}", "--json").json
    assert told["run_id"] == f"{old}.2"
    assert (told["receipt"]["calls"], told["receipt"]["reused"]) == (1, 2)
    again = nlpu("replay", told["run_id"], "--json").json
    assert (again["result"], again["receipt"]["calls"]) == (told["result"], 0)


def test_one_ops_text_replaced_makes_its_calls(nlpu: Terminal, old: str, tmp_path: Path) -> None:
    text = put(tmp_path / "echo.txt", "Say it twice.")
    told = nlpu("run", "--from", old, "--set", f"echo={text}", "--json").json
    assert (told["receipt"]["calls"], told["receipt"]["reused"]) == (2, 1)


def test_nothing_edited_makes_nothing(nlpu: Terminal, old: str) -> None:
    told = nlpu("run", "--from", old, "--json").json
    assert (told["receipt"]["calls"], told["receipt"]["reused"]) == (0, 3)
    listed, first = nlpu("runs", "--json").json
    assert (listed["calls"], listed["nlops"], first["calls"]) == (0, 0, 3)
    shown = nlpu("show", told["run_id"]).out
    assert "\n0 calls, 0 nlops\n" in shown
    assert shown.splitlines()[-1].split() == ["all", "0", "0", "0.0", "0", "0", "0.0"]


def test_what_is_given_now_counts(nlpu: Terminal, old: str) -> None:
    given = ("--durable", "--price", "1,2")
    name = nlpu("run", "--from", old, *given, "--json").json["run_id"]
    again = nlpu("run", "--from", name, "--json").json["run_id"]  # and is kept from then on
    for run in (name, again):
        header = find(Path(".nlpu/runs"), run).past.header
        assert header["durable"] is True and header["price"]["completion"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "main/77={file}"), "no call at 'main/77'"),
        (("--set", "ecko={file}"), "called no op 'ecko'; it called: echo, yes"),
        (("--set", "echo"), "--set takes POSITION=FILE"),
        (("--set", "echo=nowhere.txt"), "there is no file nowhere.txt"),
        (("ask", "--set", "echo={file}"), "leave them out"),
        (("--set", "echo={file}", "--set", "echo={file}"), "given twice"),
    ],
)
def test_what_cannot_be_edited_is_bad_usage(
    nlpu: Terminal, old: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    file = put(tmp_path / "text.txt", "text")
    ended = nlpu("run", "--from", old, *(word.format(file=file) for word in words))
    assert ended.code == 2
    assert says in ended.err


def test_set_without_from_and_nothing_at_all_are_bad_usage(nlpu: Terminal) -> None:
    assert "name it with --from" in nlpu("run", "ask", "x", "--set", "a=b").err
    ended = nlpu("run")
    assert ended.code == 2 and "name a PROGRAM" in ended.err


def test_arguments_are_of_their_declared_types_in_every_life(
    nlpu: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "kinds.py").write_text(
        "from enum import Enum\n"
        "from nlpu import op\n"
        "class Colour(Enum):\n    RED = 'red'\n    BLUE = 'blue'\n"
        "def go(colour: Colour, size: float = 2, *rest: str):\n"
        "    return op('Tell')(f'{colour.name} {size} {rest}')\n"
    )
    first = nlpu("run", f"{tmp_path}/kinds.py:go", "blue", "3", *SCRIPTED, "--json").json
    for words in (("replay",), ("resume",), ("run", "--from")):
        again = nlpu(*words, first["run_id"], "--json").json
        assert (again["status"], again["result"]) == ("done", first["result"])


def test_a_result_can_be_set_to_nothing(nlpu: Terminal, old: str, tmp_path: Path) -> None:
    empty = put(tmp_path / "empty.txt", "")
    told = nlpu("run", "--from", old, "--set", f"main/0={empty}", "--json")
    assert told.code in (0, 1) and "is empty" not in told.err
    ended = nlpu("run", "--from", old, "--set", f"echo={empty}")
    assert ended.code == 2 and "is empty" in ended.err
