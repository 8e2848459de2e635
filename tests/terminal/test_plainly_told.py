"""What is told of odd arguments, files and results: in one sentence, and whole."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from memory_kit import memory
from pydantic import BaseModel, Field, field_validator
from terminal_fixture import Terminal, nlpu

from nlpu import op
from nlpu.errors import (
    BadOp,
    BadOperand,
    DeadlineExceeded,
    Malformed,
    NlpuError,
    Overloaded,
    ProgramError,
    RunBusy,
    ServerFault,
    Usage,
)
from nlpu.file_lock import Lock
from nlpu.memory.ingest import ingest
from nlpu.runtime import Budget, Computer, FakeClock
from nlpu.runtime.drivers import McpServer
from nlpu.runtime.drivers.mcp_words import SHOWN, Words
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.eval.subjects import subject_of
from nlpu.runtime.terminal.notes import note_warnings
from nlpu.runtime.terminal.repl.lines import _near
from nlpu.testing.scripted import Say, Scripted

__all__ = ["nlpu"]  # a fixture


class Order(BaseModel):
    amount: int

    @field_validator("amount")
    @classmethod
    def _is_large(cls, amount: int) -> int:
        if amount < 10:
            raise ValueError("an order begins at 10")
        return amount


class Opaque:
    pass


def failed(program: Callable[..., Any], answers: str = "") -> NlpuError:
    with Computer(Scripted(answers)) as computer:
        error = computer.run(program).error
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("out", "reply", "why"),
    [
        (Order, '{"amount": 5}', "is not an Order: amount: an order begins at 10"),
        (Order, "{}", "is not an Order: amount: Field required"),
        (Order, "five", "is not an Order: it is not JSON: Expecting value at character 1"),
        (
            Annotated[int, Field(ge=1, le=3)],
            "9",
            "is not an int: Input should be less than or equal to 3",
        ),
    ],
)
@pytest.mark.parametrize("retries", [0, 1])
def test_a_reply_of_another_form_is_told_with_what_is_wrong(
    out: Any, reply: str, why: str, retries: int
) -> None:
    error = failed(lambda: op("Which?", out, retries=retries)("x"), reply)
    assert type(error) is Malformed
    assert str(error).endswith(why + ("; it was asked 2 times" if retries else ""))


@pytest.mark.parametrize("out", [3, Opaque, list[Opaque]])
def test_what_has_no_schema_is_told_without_advice_on_pydantic(out: Any) -> None:
    with pytest.raises(BadOp, match="has no JSON schema") as told:
        op("Which?", out)
    assert "\n" not in str(told.value) and "arbitrary" not in str(told.value)


def test_an_engine_that_was_not_made_is_refused() -> None:
    with pytest.raises(Usage, match="a processor is a name and an engine"):
        Computer(Scripted)


def test_a_run_that_cannot_be_gone_on_with_is_told(tmp_path: Path) -> None:
    without = pytest.raises(ProgramError, match="no run is kept without run_dir=")
    with Computer("scripted") as computer, without:
        computer.resume("abc", len, "")
    with Computer("scripted", run_dir=tmp_path) as computer:
        computer.run(len, "")
        with pytest.raises(ProgramError, match="open: for abc, make another"):
            computer.resume("abc", len, "")
        with pytest.raises(Usage, match="3 is not the name of a run"):
            computer.resume(3, len, "")  # type: ignore[arg-type]


def test_a_coroutine_is_refused_and_closed() -> None:
    async def late() -> str:
        return "late"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = failed(lambda: [late()])
    assert type(error) is BadOperand and "not run yet was given: coroutine." in str(error)


def test_a_result_that_contains_itself_is_told() -> None:
    def winding() -> list[Any]:
        ring: list[Any] = []
        ring.append(ring)
        return ring

    error = failed(winding)
    assert type(error) is ProgramError and "contains itself" in str(error)


def test_an_owner_that_has_not_signed_is_another_process(tmp_path: Path) -> None:
    busy = "owned by {owner}"
    lock = Lock(tmp_path / "lock", busy)
    with pytest.raises(RunBusy, match=f"owned by process {os.getpid()}"):
        Lock(tmp_path / "lock", busy)
    os.truncate(tmp_path / "lock", 0)
    with pytest.raises(RunBusy, match="owned by another process"):
        Lock(tmp_path / "lock", busy)
    lock.release()


def test_a_folder_names_what_in_it_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("Ann built the mill.")
    os.mkfifo(folder / "b.txt")
    (folder / "c.md").symlink_to("nowhere")
    with memory(tmp_path) as store:
        taken = ingest(store, [folder])
    assert taken.files == 1
    assert taken.skipped == [
        (str(folder / name), "it is not a regular file") for name in ("b.txt", "c.md")
    ]


def test_a_word_that_none_is_near_to_is_told_all() -> None:
    words = [f"program_{number}" for number in range(12)]
    assert all(word in _near("zzz", words) for word in words)


def test_ops_are_listed_once_and_none_that_is_private() -> None:
    with pytest.raises(Usage) as told:
        subject_of("zzz")
    names = str(told.value).partition("There are: ")[2].partition(";")[0].split(", ")
    assert len(set(names)) == len(names) and "continue" in names
    assert not [name for name in names if name.startswith("_")]


def test_a_syntax_error_names_its_line_once(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("x = 1\ndef main(:\n")
    with pytest.raises(ProgramError) as told:
        load(f"{tmp_path / 'odd.py'}:main")
    assert str(told.value).count("line 2") == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_end_behind_a_piped_text_is_left_out_whole(
    end: str, nlpu: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "echo.py").write_text("def main(text: str):\n    return repr(text)\n")
    stdin = f"one{end}two{end}".encode()
    ended = nlpu("run", f"{tmp_path / 'echo.py'}:main", "-", "--engine", "scripted", stdin=stdin)
    assert ended.out.strip() == repr(f"one{end}two")


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_empty_question_finds_nothing(question: str, nlpu: Terminal) -> None:
    ended = nlpu("memory", "search", question)
    assert ended.code == 2 and "the question is empty" in ended.err


def test_long_words_of_a_server_say_that_they_are_the_end() -> None:
    words = Words()
    words.add(b"short")
    assert str(words) == "; it wrote 'short'"
    words.add(b"x" * 5000)
    assert str(words) == f"; it wrote '… {'x' * SHOWN}'"


def test_a_manifest_that_is_no_object_is_told(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text("[]")
    with pytest.raises(Usage, match="cannot be used: Input should be an object"):
        McpServer(["false"], tmp_path / "tools.json")


def test_a_deadline_tells_of_the_server_that_kept_failing() -> None:
    def seconds_out(*answers: Any) -> str:
        with Computer(Scripted([*answers]), clock=FakeClock()) as computer:
            say = op("Say", name="say")
            run = computer.run(lambda: [say("a"), say("b")], budget=Budget(seconds=5))
        assert type(run.error) is DeadlineExceeded
        return str(run.error)

    out = "the run's 5 seconds ran out; it can be resumed"
    busy = Overloaded("come back later", retry_after_s=30)
    assert seconds_out(busy) == f"{out}; its newest attempt failed: come back later"
    slow = Say("late", seconds=60)
    assert seconds_out(slow) == out
    assert seconds_out(ServerFault("broke off"), Say("b", seconds=1), slow) == out


def test_a_number_that_json_has_not_is_no_null(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("def go():\n    return [float('nan'), float('-inf'), None]\n")
    wanted = ["NaN", "-Infinity", None]
    ended = nlpu("run", "p.py:go", "--engine", "scripted", "--json")
    assert ended.json["result"] == wanted
    assert json.loads(nlpu("run", "p.py:go", "--engine", "scripted").out) == wanted


# -- warnings ----------------------------------------------------------------------------------

JUDGES = """
from functools import lru_cache

from nlpu import Value, lift
from nlpu.label import UNTRUSTED


@lru_cache
def kept(text: str) -> str:
    return str(lift(str.upper)(text))


def twice(text: str) -> str:
    return kept(text) + kept(text + "!")
"""


def test_a_warning_of_ours_is_a_note_and_each_is_told_once(nlpu: Terminal, tmp_path: Path) -> None:
    Path("mine.py").write_text(JUDGES)
    Path("texts.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n')
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        ended = nlpu("run", "mine.py:twice", "--each", "texts.jsonl", "--engine", "scripted")
    notes = [line for line in ended.err.splitlines() if line.startswith("note: ")]
    assert ended.code == 0 and len(notes) == 1, ended.err
    assert "kept reads Values and is cached" in notes[0] and "mine.py:8: " in notes[0]
    assert "LabelGap" not in ended.err


def test_what_libraries_warn_of_is_as_they_say_it() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        note_warnings()
        for _ in range(2):
            warnings.warn_explicit("soon", DeprecationWarning, "theirs.py", 7)
    assert [(each.filename, each.lineno) for each in told] == [("theirs.py", 7)] * 2
