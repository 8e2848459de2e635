"""What the programs give is kept by a batch: one line of it, the same in the next life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import Terminal, nlpu

from nlpu.runtime.loader import available

__all__ = ["nlpu"]
BOOK = "Ann wrote the letter. It rained by the mill. " * 40
SOME: dict[str, dict[str, Any]] = {
    "agent_day": {"people": "Ann, a baker", "store": "people", "turns": 1},
    "answer": {"question": "Who wrote it?", "text": BOOK},
    "ask": {"question": "Who wrote it?"},
    "compile": {"wish": "Say it", "text": BOOK},
    "converse": {"message": "Hello"},
    "dag": {"requests": json.dumps({"session_id": "a", "turns": []})},
    "kin": {"authors": "authors", "text": BOOK},
    "letters": {"text": "Dear all, I owe you 30. Ann"},
    "react": {"question": "Who wrote it?", "store": "store"},
    "research": {"question": "Who wrote it?", "store": "store"},
    "summarize_book": {"book": BOOK},
    "tower": {"digits": 8},
    "transfer": {"before": "a", "after": "A", "text": "One sentence."},
    "tune": {"op": "mine.py:say", "data": "cases.jsonl", "nlops": 300.0},
}
MEMORIES = ("agent_day", "converse", "react", "research")


def prepare(folder: Path, nlpu: Terminal, program: str) -> None:
    """Put there what the programs are told of."""
    (folder / "authors").mkdir()
    for name in ("ann", "bob"):
        (folder / "authors" / f"{name}.txt").write_text(BOOK)
    (folder / "mine.py").write_text(
        'from nlpu import nlop\n\n@nlop\ndef say(text: str) -> str:\n    """Say it."""\n'
    )
    cases = [{"operands": {"text": f"t{n}"}, "expected": "x"} for n in range(8)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    if program in MEMORIES:
        pytest.importorskip("chromadb")
        (folder / "book.txt").write_text(BOOK)
        assert nlpu("memory", "ingest", "book.txt", "--store", "store").code == 0


EACH = [pytest.param(name, marks=[pytest.mark.slow] if name in MEMORIES else []) for name in SOME]


@pytest.mark.parametrize("program", EACH)
def test_a_program_of_the_house_is_run_by_each(
    program: str, nlpu: Terminal, tmp_path: Path
) -> None:
    prepare(tmp_path, nlpu, program)
    fixed = [f"{name}={text}" for name, text in SOME[program].items() if name == "store"]
    given = {name: text for name, text in SOME[program].items() if name != "store"}
    (tmp_path / "in.jsonl").write_text(json.dumps(given))
    command = ("run", program, *fixed, "--each", "in.jsonl", "--engine", "scripted")
    first = nlpu(*command)
    assert first.code == 0, first.err
    again = nlpu(*command)
    assert again.out == first.out and "1 of them before" in again.err
    assert json.loads(first.out)["result"] is not None


def test_all_of_them_are_tried() -> None:
    """The demo kills itself, which a person is asked about where its input comes of a file."""
    assert {*SOME, "demo"} == set(available())


def test_the_command_of_the_guide(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "ann.txt").write_text(BOOK)
    ended = nlpu("run", "answer", "Who wrote it?", "--each", "letters/", "--engine", "scripted")
    assert ended.code == 0 and json.loads(ended.out)["result"]["found"] is True
