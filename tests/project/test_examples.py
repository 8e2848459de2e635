"""The examples: each is run by the commands in its own docstring, and with answers that fit.

Of an example called NAME there is a test called test_NAME, by which none is left out.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import ROOT, Terminal, environment, nlpu

from nlpu import Budget, Computer, Say, Scripted
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.loader import load
from nlpu.testing.scripted import Seen

__all__ = ["nlpu"]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
TRIALS = [  # the commands that need no model, as the docstrings have them
    (name, line.strip())
    for name, path in EXAMPLES.items()
    for line in re.findall(r"^ {4}(.*\bscripted\b.*)$", path.read_text(), re.M)
]
ENDS = {"post": 4}  # it needs a person, and here is no terminal


def program(name: str) -> Callable[..., Any]:
    """The program of an example."""
    return load(str(EXAMPLES[name])).function


def result(name: str, script: Any, *args: Any) -> Any:
    """What an example gives for these answers."""
    with Computer(Scripted(script)) as computer:
        return computer.run(program(name), *args).result


def test_none_is_left_out() -> None:
    tested = {name[5:] for name in globals() if name.startswith("test_") and name[5:] in EXAMPLES}
    assert tested == set(EXAMPLES) == {name for name, _ in TRIALS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_short_and_uses_public_names(name: str) -> None:
    text = EXAMPLES[name].read_text()
    public = {"nlpu", "nlpu.engines.embedded.engine"}  # the latter as in docs/models.md
    assert set(re.findall(r"^(?:from|import) (nlpu[\w.]*)", text, re.M)) <= public
    assert 20 <= text.count("\n") <= 70


@pytest.mark.parametrize(("name", "line"), TRIALS)
def test_the_commands_of_its_docstring(
    name: str, line: str, nlpu: Terminal, tmp_path: Path
) -> None:
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    words = shlex.split(line, comments=True)
    if words[0] == "nlpu":
        ended = nlpu(*words[1:])
        assert ended.code == ENDS.get(name, 0), ended.err
        assert bool(ended.out) == (ended.code == 0)
    else:
        assert script_prints(words, tmp_path)


def script_prints(words: Sequence[str], cwd: Path) -> str:
    """What ``VARIABLE=value python FILE ...`` prints."""
    given = dict(word.split("=") for word in words if word.startswith("NLPU_"))
    rest = words[len(given) :]
    assert rest[0] == "python"
    command = [sys.executable, *rest[1:]]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"two_models"}))  # a command of its own
def test_python_alone_runs_it_and_prints(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who says ``python examples/NAME.py`` gets an answer, not silence."""
    monkeypatch.setenv("NLPU_ENGINE", "scripted")
    monkeypatch.setattr(sys, "argv", [str(EXAMPLES[name])])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES[name]), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 1


def test_digest() -> None:
    read: list[str] = []

    def model(seen: Seen) -> str:
        text = seen.operands["text"]
        if "title" in seen.instruction:
            return f"On {text}"
        read.append(text)
        return "looms" if "looms" in text else "mills"

    years = range(1700, 1740)
    text = " ".join(f"A mill was built in {year}." for year in years) + " Then came looms."
    assert result("digest", model, text, 200) == {"title": "On looms", "summary": "looms"}
    assert len(read) > 5 and all(any(str(year) in part for part in read) for year in years)


def test_invoices() -> None:
    bills = [
        {"amount": 120, "currency": "euros", "due": "2026-05-12", "sender": "Tom Baker"},
        {"amount": 90, "currency": "dollars", "due": "2026-06-01", "sender": "Adam Wolski"},
        {"amount": 45, "currency": "euros", "due": "2026-05-20", "sender": "Ines Reyes"},
    ]

    def model(seen: Seen) -> str:
        return next(json.dumps(b) for b in bills if str(b["sender"]) in seen.operands["letter"])

    found = result("invoices", model)
    assert found["total"] == {"euros": 165, "dollars": 90}
    assert found["bills"][0].due == date(2026, 5, 12)


def test_tickets() -> None:
    words = {"depot": "delivery", "neighbour": "delivery", "log in": "account", "mail": "account"}

    def model(seen: Seen) -> str:
        right = [topic for word, topic in words.items() if word in seen.operands["ticket"]]
        return right[0] if right and seen.examples else "billing"

    found = result("tickets", model, "It lies at the depot.")
    assert found == {"topic": "delivery", "right of six": {"plain": 2, "with examples": 6}}


def test_triage() -> None:
    yes = {"down": 0.9, "lunch": 0.1, "slow": 0.6}

    def model(seen: Seen) -> Say:
        mail = seen.operands["mail"]
        if "reply" in seen.instruction:
            return Say("With pleasure.")
        return Say("yes" if yes[mail] > 0.5 else "no", probabilities=(yes[mail], 1 - yes[mail]))

    assert result("triage", model, *yes) == {
        "down": "call somebody",
        "lunch": "With pleasure.",
        "slow": "a person decides (60% urgent)",
    }


@pytest.mark.parametrize(
    ("approves", "end"),
    [(True, "sent to eve@example.com"), (False, "'to' decides what it does")],
)
def test_post(approves: bool, end: str) -> None:
    person = ScriptedPerson(approve=lambda call: approves)
    answers = {"Write a short": "On its way.", "Who": "repairs@example.org"}
    with Computer(Scripted(answers), person=person) as computer:
        found = computer.run(program("post")).result
    assert found["to Ann"] == "sent to ann@example.org, 11 characters"
    assert found["to a desk"] == "sent to repairs@example.org, 11 characters"
    (asked,) = person.asked
    assert json.loads(asked.arguments)["to"] == "eve@example.com"
    assert end in found["to whom it demands"]


def test_interview() -> None:
    def model(seen: Seen) -> str:
        return "Looms" if "subject" in seen.instruction else f"Answer {len(seen.chat)}."

    assert result("interview", model, "What is a loom?", "Who made it?") == (
        "Looms\n\nuser: What is a loom?\n\nassistant: Answer 1.\n\n"
        "user: Who made it?\n\nassistant: Answer 3."
    )


def test_stop_and_resume(nlpu: Terminal, tmp_path: Path) -> None:
    model = Scripted(lambda seen: f"{seen.operands['country']} City")
    with Computer(model, run_dir=tmp_path) as computer:
        run = computer.run(program("stop_and_resume"), budget=Budget(calls=2))
        assert run.status == "stopped" and len(model.seen) == 2
        run = computer.resume(run.name, program("stop_and_resume"), budget=Budget(calls=9))
        assert run.result["Chad"] == "Chad City" and len(model.seen) == 5
    words = ("run", str(EXAMPLES["stop_and_resume"]), "--calls", "2", "--engine", "scripted")
    ended = nlpu(*words, "--json")
    assert ended.code == 3
    assert nlpu("resume", ended.json["run_id"], "--calls", "9").code == 0
    script = ["NLPU_ENGINE=scripted", "python", str(EXAMPLES["stop_and_resume"])]
    assert "done: 3 calls, 2 known from before\n" in script_prints(script, tmp_path)


def test_good_items() -> None:
    years = {"mill": "1880", "bridge": "1911", "inn": "1902"}
    model = Scripted(lambda seen: next(y for w, y in years.items() if w in seen.operands["note"]))
    with Computer(model) as computer:
        found = computer.run(program("good_items")).result
    assert list(found["found"].values()) == [1880, 1902]
    ((note, why),) = found["not found"].items()
    assert "bridge" in note and "1911 does not stand in the note" in why


def test_two_voices() -> None:
    answers = {"sailor thinks": "It is wide.", "farmer thinks": "It is wet.", "differ": "In all."}
    with Computer(Scripted(answers)) as computer:
        run = computer.start(program("two_voices"), "the sea", stream=True)
        pieces = list(run.stream())
        assert run.result == "In all."
    said = {op: "".join(piece for piece in pieces if piece.op == op) for op in ("sailor", "farmer")}
    assert said == {"sailor": "It is wide.", "farmer": "It is wet."}


def test_two_models() -> None:
    def small(seen: Seen) -> str:
        is_first = "kettle" in seen.operands["letter"]
        return json.dumps({"name": "Ann Larsen" if is_first else "Ines Brandt"})

    large = Scripted('{"name": "Tomas Reyes"}', model="large")
    engines = {"small": Scripted(small), "large": large}
    with Computer(engines) as computer:
        found = computer.run(program("two_models")).result
    assert [model for model, _ in found] == ["small", "large", "small"]
    assert [signed.name for _, signed in found] == ["Ann Larsen", "Tomas Reyes", "Ines Brandt"]
    assert len(large.seen) == 1
