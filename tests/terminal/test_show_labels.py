"""``nlpu show RUN --labels``: why a call was refused, and whose word each value is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import COMMAND, Terminal, environment, nlpu

__all__ = ["nlpu"]  # a fixture
PROGRAM = '''
from pathlib import Path
from nlpu import lift, nlop
from nlpu.errors import Refused
from nlpu.runtime import spawn
from nlpu.runtime.drivers.driver import driver

@nlop
def shorten(text: str) -> str:
    """Shorten the text."""

@nlop
def urgent(text: str) -> bool:
    """Is it urgent?"""

@driver(effect="read", roles={"path": "selector"})
def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()

@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    Path("sent.txt").write_text(to)
    return True

def by_data(path: str):
    first_line = lift(lambda text: text.splitlines()[0])
    return send(first_line(shorten(read_file(path))), "hello")

def by_control(path: str):
    harmless = shorten("a text of the user's own")
    letter = read_file(path)
    if urgent(letter):  # here
        return send("ann", harmless)

def judge(letter):
    return "yes" if urgent(letter) else "no"

def nested(path: str):
    words = shorten.map(lift(str.split)(read_file(path)))
    verdicts = [spawn(judge, word) for word in words.each()]  # how many
    str(verdicts[0])
    return send("ann", "hello")

def caught(path: str):
    try:
        return send(read_file(path), "hello").value
    except Refused:
        return "not sent"

def allowed(path: str):
    return send("ann", read_file(path))
'''
GIVEN = ("letter.txt", "--engine", "scripted")
WORDS = "eve@evil\x1b[2J tells you"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "post.py").write_text(PROGRAM)
    (tmp_path / "letter.txt").write_text(WORDS)
    return tmp_path


def line_of(mark: str) -> int:
    return next(n for n, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith(f"# {mark}"))


def explained(nlpu: Terminal, place: Path, name: str) -> tuple[dict[str, Any], str, int]:
    ended = nlpu(
        "run", f"{place / 'post.py'}:{name}", "letter.txt", "--engine", "scripted", "--json"
    )
    run = ended.json["run_id"]
    assert not (place / "sent.txt").exists() or name == "allowed"
    told = nlpu("show", run, "--labels", "--json").json
    return told, nlpu("show", run, "--labels").out, ended.code


def steps(told: dict[str, Any], objection: int = 0) -> list[tuple[str, str]]:
    (refused,) = told["refused"]
    return [(step["op"], step["how"]) for step in refused["objections"][objection]["path"]]


def test_a_path_of_data(nlpu: Terminal, place: Path) -> None:
    told, shown, code = explained(nlpu, place, "by_data")
    assert code == 4
    assert steps(told) == [
        ("read_file", "brings it"),
        ("shorten", "reads it as 'text'"),
        ("<lambda>", "reads it as a part"),
        ("send", "reads it as 'to'"),
    ]
    (refused,) = told["refused"]
    assert refused["position"] == "main/3" and '"body":"hello"' in refused["call"]
    (objection,) = refused["objections"]
    assert (objection["argument"], objection["role"]) == ("to", "authority")
    assert shown.startswith("refused at main/3: send(")
    assert "- 'to' decides what it does (authority) and is untrusted" in shown
    assert re.search(r"main/0 +read_file +brings it +untrusted\n", shown)
    assert "the result is untrusted" in shown


def test_a_path_of_control(nlpu: Terminal, place: Path) -> None:
    told, _, _ = explained(nlpu, place, "by_control")
    assert steps(told) == [
        ("read_file", "brings it"),
        ("urgent", "reads it as 'text'"),
        ("main", f"saw it at post.py:{line_of('here')}"),
        ("send", "is issued after that"),
    ]
    assert [each["argument"] for each in told["refused"][0]["objections"]] == [None, "to"]
    assert steps(told, 1) == steps(told)  # "ann" is the program's word, and so is its label
    assert {each["op"]: each["label"] for each in told["labels"]}["shorten"] == "user"


def test_a_path_through_lists_and_nested_programs(nlpu: Terminal, place: Path) -> None:
    told, _, _ = explained(nlpu, place, "nested")
    assert steps(told) == [
        ("read_file", "brings it"),
        ("split", "reads it as a part"),
        ("map", "grew from it"),
        ("shorten", "is made in it"),
        ("main", f"saw it at post.py:{line_of('how many')}"),
        ("send", "is issued after that"),
    ]


def test_a_refusal_that_the_program_survived(nlpu: Terminal, place: Path) -> None:
    """With a person who says no, it is a result like others; without one the run stopped there."""
    told, _, code = explained(nlpu, place, "caught")
    assert code == 4
    assert steps(told) == [("read_file", "brings it"), ("send", "reads it as 'to'")]


def test_without_a_refusal_labels_are_listed(nlpu: Terminal, place: Path) -> None:
    told, shown, code = explained(nlpu, place, "allowed")
    assert code == 0 and told["refused"] == []
    assert [each["label"] for each in told["labels"]] == ["untrusted", "untrusted"]
    assert "2 of 2 nodes are not the user's:" in shown


def test_no_text_of_a_run_drives_the_terminal(place: Path) -> None:
    """The command as a process, on a terminal of its own."""
    import pexpect  # beside its one use: a terminal

    run = [*COMMAND, "run", f"{place / 'post.py'}:caught", *GIVEN]
    told = subprocess.run(
        [*run, "--json"], cwd=place, env=environment(), capture_output=True, text=True, check=False
    )
    name = re.search(r'"run_id":"([^"]+)"', told.stdout)
    assert name is not None
    shown = pexpect.run(
        " ".join([*COMMAND, "show", name[1], "--labels"]),
        cwd=str(place),
        env=environment(TERM="xterm", NO_COLOR="1", COLUMNS="100"),
        encoding="utf-8",
        timeout=30,
    )
    assert "eve@evil" in shown and "\x1b[2J" not in shown
    assert "was refused" not in shown


def test_what_cannot_be_replayed_is_said(nlpu: Terminal, place: Path) -> None:
    ended = nlpu(
        "run", f"{place / 'post.py'}:allowed", "letter.txt", "--engine", "scripted", "--json"
    )
    (place / "post.py").write_text(PROGRAM + "\n# changed\n")
    shown = nlpu("show", ended.json["run_id"], "--labels")
    assert shown.code == 1 and "has changed since" in shown.err and shown.out == ""


def test_texts_of_files_and_stdin_are_not_the_persons_word(nlpu: Terminal, place: Path) -> None:
    (place / "answering.py").write_text(
        PROGRAM + "\n\ndef answering(letter: str):\n    return send('ann', letter)\n"
    )
    words = nlpu("run", "answering.py:answering", "a letter", "--engine", "scripted")
    assert words.code == 0 and (place / "sent.txt").read_text() == "ann"
    for given in (["--input", "letter.txt"], ["-"]):
        ended = nlpu("run", "answering.py:answering", *given, "--engine", "scripted", stdin="Hi.")
        assert ended.code == 4 and "acted on untrusted content" in ended.err, given
    (run, *_) = re.findall(r"^(\S+) .*answering", nlpu("runs").out, re.M)
    assert nlpu("resume", run).code == 4
    assert "saw something of that label at --input" in nlpu("show", run, "--labels").out
