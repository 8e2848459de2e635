"""docs/tour.md: every command and every line of it, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminal_fixture import ESSAY, ROOT, Terminal, nlpu

__all__ = ["nlpu"]  # a fixture
TOUR = (ROOT / "docs" / "tour.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The shell lines."""
    return [
        line for kind, text in BLOCK.findall(TOUR) if kind == "sh" for line in text.splitlines()
    ]


def typed() -> str:
    """What is typed at the prompts, as a batch."""
    return "".join(f"{line}\n" for line in re.findall(r"^_\d+> (.*)$", TOUR, re.MULTILINE))


def walk(nlpu: Terminal, *engine: str) -> dict[str, str]:
    """Run it all; gives what each command printed."""
    told = {}
    for command in commands()[1:]:  # the first is make's
        words = command.split()[1:]
        if "RUN" in words:
            words[words.index("RUN")] = nlpu("runs", "--json").json[0]["id"]
        ended = nlpu(*words, *(engine if words[0] in ("run", "repl") else ()), stdin=typed())
        assert ended.code == 0, (command, ended.err)
        told[command] = ended.out + ended.err
    return told


def checked(told: dict[str, str], place: Path) -> None:
    assert "changed: _1, _2" in told["nlpu repl"]
    assert "A loom is a frame" in told["nlpu run loom.py:session"]
    assert "loom.py" in told["nlpu runs"]
    assert (place / "loom.html").read_text().startswith("<!")
    (program,) = (
        text for kind, text in BLOCK.findall(TOUR) if kind == "python" and "repl.actions" in text
    )
    saved = (place / "loom.py").read_text()
    assert program.replace('"', "'") in saved.replace('"', "'"), saved


def test_the_tour_works(nlpu: Terminal, tmp_path: Path) -> None:
    checked(walk(nlpu, "--engine", "scripted"), tmp_path)


def test_make_run_is_what_the_tour_says(nlpu: Terminal) -> None:
    assert commands()[0] == "make run"
    recipe = re.search(r"^run: .*\n\t(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe and recipe[1].endswith("nlpu run demo")  # tests/programs/test_demo.py runs it
    recipe = re.search(r"^demo-long: .*\n\t(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe and recipe[1].endswith("nlpu run summarize_book --input docs/essay.txt")
    words = ("run", "summarize_book", "--input", str(ESSAY))
    assert nlpu(*words, "--engine", "scripted").code == 0


@pytest.mark.slow
@pytest.mark.local
def test_the_tour_works_with_the_embedded_model(nlpu: Terminal, tmp_path: Path) -> None:
    checked(walk(nlpu), tmp_path)
