"""What a program imports beside it: found without running it, and told of where it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fleet_kit import PROGRAM, crew, lines

from nlpu.errors import Usage
from nlpu.runtime import Computer
from nlpu.runtime.fleet.neighbours import differing, neighbours_in, neighbours_of
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.loader import load


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


RAISES = "raise SystemExit('this file was run')\n"
TREES: list[tuple[str, dict[str, str], set[str]]] = [
    ("mine.py", {"mine.py": "import json, os\nfrom nlpu import op", "other.py": ""}, set()),
    ("mine.py", {"mine.py": "import words, sys", "words.py": RAISES}, {"words.py"}),
    (
        "mine.py",
        {"mine.py": "from words import a", "words.py": "import more", "more.py": "import words"},
        {"words.py", "more.py"},
    ),
    ("mine.py", {"mine.py": "def f():\n  import words", "words.py": "no Python ("}, {"words.py"}),
    (
        "mine.py",
        {"mine.py": "from kit import words", "kit/__init__.py": "", "kit/words.py": ""},
        {"kit/__init__.py", "kit/words.py"},
    ),
    (
        "mine.py",
        {"mine.py": "import kit.deep", "kit/__init__.py": RAISES, "kit/deep.py": "from . import x"}
        | {"kit/x.py": "", "kit/unused.py": ""},
        {"kit/__init__.py", "kit/deep.py", "kit/x.py"},
    ),
    ("mine.py", {"mine.py": "from lib.words import a", "lib/words.py": ""}, {"lib/words.py"}),
    ("mine.py", {"mine.py": "import letters", "letters/one.txt": ""}, set()),
    (
        "kit/mine.py",
        {"kit/mine.py": "from . import words\nfrom ..top import a", "kit/words.py": "import kit.b"}
        | {"kit/__init__.py": "import late", "kit/b.py": "", "top.py": "", "late.py": ""},
        {"words.py", "__init__.py", "b.py", "../top.py", "../late.py"},
    ),
    ("mine.nl", {"mine.nl": "import words", "words.py": ""}, set()),
    ("gone.py", {"words.py": ""}, set()),
]


@pytest.mark.parametrize(("program", "files", "found"), TREES)
def test_what_a_program_imports_beside_it(
    tmp_path: Path, program: str, files: dict[str, str], found: set[str]
) -> None:
    """Nothing of it is run."""
    here = neighbours_in(written(tmp_path / "here", files) / program)
    assert here.keys() == found
    there = neighbours_in(written(tmp_path / "there", files) / program)
    assert there == here, "wherever it lies"
    for name in found:
        path = tmp_path / "there" / Path(program).parent / name
        path.write_text(path.read_text() + "\n")
        assert differing(here, neighbours_in(tmp_path / "there" / program)) == name
        path.write_text(files[str(path.resolve().relative_to(tmp_path / "there"))])


def test_a_program_of_nlpus_own_has_none() -> None:
    assert neighbours_of(load("demo").function) == {}


def helped(folder: Path, helper: str, text: str) -> Path:
    """A program that imports a module beside it; one name for each test: they are imported."""
    source = f"import {helper}\n{PROGRAM}"
    return written(folder, {"mine.py": source, f"{helper}.py": text}) / "mine.py"


def test_a_batch_tells_that_a_neighbour_has_changed(tmp_path: Path) -> None:
    program = load(f"{helped(tmp_path, 'beside_one', 'A = 1')}:chain").function

    def given(inputs: list[str], **more: Any) -> list[str]:
        with Computer("scripted", run_dir=tmp_path / "runs") as computer:
            return [item.status for item in computer.map(program, inputs, name="batch", **more)]

    assert given(["a"]) == ["done"]
    assert given(["a", "b"]) == ["done"] * 2
    (tmp_path / "beside_one.py").write_text("A = 2")
    with pytest.raises(Usage, match=r"batch imports has changed since: beside_one.py; with"):
        given(["a"])
    assert given(["a"], changed=True) == ["done"]
    assert given(["a"]) == ["done"], "it is the batch's from now on"


def test_without_what_was_noted_the_runs_themselves_tell_what_has_changed(tmp_path: Path) -> None:
    """Its file of items was removed, as for one that is damaged: it is made anew of the journal."""
    source = helped(tmp_path, "beside_four", "A = 1")
    program = load(f"{source}:chain").function

    def given(engine: str = "scripted", **more: Any) -> list[str]:
        (tmp_path / "runs" / "batch.items").unlink(missing_ok=True)
        with Computer(engine, run_dir=tmp_path / "runs") as computer:
            return [item.status for item in computer.map(program, ["a"], name="batch", **more)]

    assert given() == given() == ["done"]
    (tmp_path / "beside_four.py").write_text("A = 2")
    with pytest.raises(Usage, match=r"batch imports has changed since: beside_four.py; with"):
        given()
    assert given(changed=True) == ["done"]
    (tmp_path / "beside_four.py").write_text("A = 1")
    source.write_text(f"{source.read_text()}\n# changed\n")
    with pytest.raises(Usage, match="the program of the batch batch has changed since it began"):
        given()


def test_a_fleet_tells_that_a_neighbour_has_changed(postgres: Any, tmp_path: Path) -> None:
    database: Any = place_of(postgres.fresh())
    helped(tmp_path, "beside_two", "A = 1")
    assert [each["status"] for each in lines(crew(database, tmp_path, ["a"]))] == ["done"]
    (tmp_path / "beside_two.py").write_text("A = 2")
    with pytest.raises(Usage, match=r"batch imports has changed since: beside_two.py; with"):
        list(crew(database, tmp_path, ["a"]))
    assert len(lines(crew(database, tmp_path, ["a", "b"], changed=True))) == 2


@pytest.mark.parametrize("changed", [False, True])
def test_a_worker_with_another_neighbour_does_nothing(
    postgres: Any, tmp_path: Path, changed: bool
) -> None:
    """With --changed, too: that is about former lives."""
    database: Any = place_of(postgres.fresh())
    helped(tmp_path, "beside_three", "A = 1")
    batch = crew(database, tmp_path, ["a"], changed=changed)
    batch.open()
    batch.enter()
    (tmp_path / "beside_three.py").write_text("A = 2")
    with pytest.raises(Usage, match=r"not the same on this worker .* begun: beside_three.py\. Br"):
        list(batch)
    assert batch.receipt.answered.calls == 0
