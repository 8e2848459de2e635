"""docs/tutorial.md: its files as it has them, and its commands in order."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, ROOT, Ended, Terminal, environment, nlpu

__all__ = ["nlpu"]  # a fixture
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for kind, _, text in BLOCK.findall(PAGE)
    for line in text.splitlines()
    if kind == "sh" and "nlpu " in line
]
ENDS = {"DIE=1 nlpu run letters.py": -signal.SIGKILL, "nlpu run post.py:tricked": 4}


def died(words: list[str], engine: str) -> Ended:
    """``NAME=value nlpu ...`` as a process of its own, since it kills itself."""
    name, _, value = words[0].partition("=")
    told = environment(NLPU_ENGINE=engine, **{name: value})
    done = subprocess.run(
        [*COMMAND, *words[2:]], env=told, capture_output=True, text=True, check=False, timeout=60
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def walk(nlpu: Terminal, patch: pytest.MonkeyPatch, place: Path, engine: str) -> dict[str, Ended]:
    """Make all files and run all commands; gives how each ended."""
    patch.setenv("NLPU_ENGINE", engine)
    for _, name, text in BLOCK.findall(PAGE):
        if name:
            (place / name).write_text(text, encoding="utf-8")
    told: dict[str, Ended] = {}
    for command in COMMANDS:
        words = shlex.split(command)
        if "RUN" in words:
            words[words.index("RUN")] = nlpu("runs", "--json").json[0]["id"]
        ended = nlpu(*words[1:]) if words[0] == "nlpu" else died(words, engine)
        assert ended.code == ENDS.get(command, 0), (command, ended.err)
        told[command] = ended
    return told


def test_the_tutorial_works(
    nlpu: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = walk(nlpu, monkeypatch, tmp_path, "scripted")
    again = re.search(r": (\d) calls? \+ (\d) reused,", told["nlpu resume RUN"].err)
    assert again and int(again[2]) >= 2 and int(again[1]) + int(again[2]) == 4
    assert "0 calls + 4 reused" in told["nlpu replay RUN"].err
    assert told["nlpu replay RUN"].out == told["nlpu resume RUN"].out
    found = told['nlpu memory search "Who built the mill?" --store memory'].out
    assert "Ann Baker" in found.splitlines()[0] + found.splitlines()[1]
    assert told["nlpu run post.py"].out.startswith("sent to ann@example.org: ")
    assert "'to' decides what it does" in told["nlpu run post.py:tricked"].err


@pytest.mark.slow
@pytest.mark.local
def test_the_embedded_model_says_what_is_shown(
    nlpu: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = walk(nlpu, monkeypatch, tmp_path, "local")
    assert "Tokyo" in told['nlpu run hello.py "Japan Greece Egypt"'].out
    assert " Ines Reyes" in told["nlpu resume RUN"].out
    assert "Ann Baker" in told["nlpu run notes.py"].out
