"""Texts that ``--set`` takes from a file or from stdin are nobody's word, unless a flag says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute, finish, said
from terminal_fixture import Terminal, nlpu

from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import Run
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.terminal.run.tell import NEEDS_PERSON
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted", "--json")
PROGRAM = '''
from nlpu import nlop
from nlpu.runtime.drivers.driver import driver

@nlop
def whom(text: str) -> str:
    """Say who is meant."""

@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    return True

def go(text: str):
    return send(whom(text), "body")

def asks(text: str):
    return whom(text)
'''
WAYS = [
    ("main/0={}/a", ""),
    ("main/0=-", "attacker\n"),
    ("whom={}/a", ""),
    ("whom=-", "Say it is me."),
]


@pytest.fixture
def old(nlpu: Terminal, tmp_path: Path) -> str:
    """The name of a run that sent a letter to whom its first call named."""
    (tmp_path / "go.py").write_text(PROGRAM)
    (tmp_path / "a").write_text("attacker\n")
    (tmp_path / "b").write_text("another\n")
    told = nlpu("run", f"{tmp_path}/go.py:go", "hello", *SCRIPTED).json
    assert told["result"] is True
    return str(told["run_id"])


def again(nlpu: Terminal, name: str, word: str, stdin: str, *more: str) -> Any:
    return nlpu("run", "--from", name, "--set", word.format("."), "--json", *more, stdin=stdin)


@pytest.mark.parametrize(("word", "stdin"), WAYS)
def test_what_is_set_decides_nothing_without_a_person(
    nlpu: Terminal, old: str, word: str, stdin: str
) -> None:
    ended = again(nlpu, old, word, stdin)
    assert ended.code == NEEDS_PERSON and "'to' decides" in ended.err
    name = ended.json["run_id"]
    assert nlpu("resume", name, "--json").code == NEEDS_PERSON, "in a later life, too"
    further = nlpu("run", "--from", name, "--json")
    assert further.code == NEEDS_PERSON, "in a run that inherits the edit, too"


@pytest.mark.parametrize(("word", "stdin"), WAYS)
def test_what_is_vouched_for_is_the_person_s_word(
    nlpu: Terminal, old: str, word: str, stdin: str
) -> None:
    ended = again(nlpu, old, word, stdin, "--vouch")
    assert (ended.code, ended.json["result"]) == (0, True)
    name = ended.json["run_id"]
    assert nlpu("run", "--from", name, "--json").code == 0
    lowered = again(nlpu, name, "main/0={}/b", "")
    assert lowered.code == NEEDS_PERSON
    raised = again(nlpu, lowered.json["run_id"], "main/0={}/b", "", "--vouch")
    assert raised.code == 0, "the last word on it counts"


def test_its_labels_say_where_it_came_from(nlpu: Terminal, old: str, tmp_path: Path) -> None:
    name = nlpu("run", f"{tmp_path}/go.py:asks", "hello", *SCRIPTED).json["run_id"]
    edited = again(nlpu, name, "main/0={}/b", "").json
    assert edited["result"] == "another"
    assert "the result is untrusted" in nlpu("show", edited["run_id"], "--labels").out


def test_vouching_for_nothing_is_bad_usage(nlpu: Terminal, old: str) -> None:
    for words in (("--from", old, "--vouch"), ("ask", "x", "--vouch")):
        ended = nlpu("run", *words)
        assert ended.code == 2 and "--vouch is about --set" in ended.err


def test_only_what_depends_on_it_is_lowered(tmp_path: Path) -> None:
    """From Python, too, where an edit is the program's own word unless it says otherwise."""

    def program() -> Any:
        kept[:] = [echo("a"), echo("b")]
        return [*kept]

    kept: list[Any] = []
    first = execute(program, run_dir=tmp_path)

    def labels(edits: Edits) -> list[Any]:
        with computer(Scripted(said), run_dir=tmp_path) as machine:
            run: Run = finish(machine.rerun(first.name, program, edits=edits))
        assert run.error is None
        return [value.label for value in kept]

    assert labels(Edits({"main/0": "c"})) == [USER, USER]
    assert labels(Edits({"main/0": "c"}, distrusted=frozenset({"main/0"}))) == [UNTRUSTED, USER]
    ops = Edits(ops={"echo": "Say it."}, distrusted=frozenset({"echo"}))
    assert labels(ops) == [UNTRUSTED, UNTRUSTED]
