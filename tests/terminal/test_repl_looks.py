"""The REPL without a terminal: looking, stepping, editing, and what the session shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from repl_kit import Opened, opened, place, short, told

from nlpu.runtime.terminal.repl.commands import COMMANDS
from nlpu.runtime.terminal.repl.folding import Folding
from nlpu.runtime.terminal.repl.prompt import Words
from nlpu.testing.scripted import Scripted

__all__ = ["opened", "place"]  # fixtures


def test_breakpoints_hold_lines_and_step_lets_them_pass(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted({"Summarise": "sum", "": "x"})
    console = opened(engine)
    text = "A sentence with words. " * 400
    out, err = told(
        console,
        capsys,
        f"book = '{text}'",
        "break merge",
        "run summarize_book {book} chunk_tokens=999",
    )
    assert "held: merge at main/" in err and console.held is not None
    before = len(engine.seen)
    out, err = told(console, capsys, "Another line")
    assert "a line is held" in err
    position = console.gate.held()[0].position
    out, _ = told(console, capsys, f"inspect {position}")
    assert "Summarise these summaries" in out and len(engine.seen) == before
    out, err = told(console, capsys, "step")
    assert len(engine.seen) == before + 1 and "held: merge" in err
    out, err = told(console, capsys, "break merge", "go")
    assert console.held is None and out.startswith("sum") and "breakpoints: none" in err
    assert len(console.session.entries) == 2
    out, err = told(console, capsys, "step", "One?")
    assert "held: say at" in err
    assert told(console, capsys, "step all")[0] == "x\n"


def test_an_edit_is_a_new_run_and_only_what_depends_on_it_is_made_again(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted(short)
    console = opened(engine)
    name = console.run.name
    told(console, capsys, "One?", "clear", "Two?", "clear", "Three _1")
    out, err = told(console, capsys, "edit _1 Uno")
    assert out == "<Three _1|Uno>\n", "what was made anew, and not what was typed"
    said = rf"session {name}\.2: 2 calls known, 1 made in \d+\.\d s; changed: _1, _3\n"
    assert re.fullmatch(said, err), err
    assert told(console, capsys, "_3", "_2")[0] == "<Three _1|Uno>\n<Two?>\n"
    assert len(engine.seen) == 4
    out, _ = told(console, capsys, "run ask What?", "edit reply Shout.", "_4")
    before, *after = out.splitlines()
    assert before == "<Answer the question in a few plain sentences.|What?>"
    assert after == ["<Shout.|What?>"] * 2
    assert console.run.name == f"{name}.3" and console.session.names["_1"].content == "Uno"
    for wrong in ("edit x other", "edit say other", "/edit _9 other", "/edit nobody other"):
        _, err = told(console, capsys, "x = 'text'", wrong)
        assert err.startswith("error:"), wrong
    assert console.run.name == f"{name}.3" and "_3" in console.session.names
    told(console, capsys, "save s.py")
    assert "reword(**{'reply': 'Shout.'})" in Path("s.py").read_text()


def test_edit_without_a_text_opens_the_editor(
    opened: Opened, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "editor.py").write_text(
        "import sys\nfrom pathlib import Path\nfile = Path(sys.argv[1])\n"
        "file.write_text(file.read_text().replace('One', 'Uno'))\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} editor.py")
    console = opened(is_terminal=True)
    told(console, capsys, "One?", "Two _1")
    out, err = told(console, capsys, "edit _1", "_2")
    assert out == "<Two _1|<Uno?>>\n" * 2 and "changed: _1, _2" in err
    assert "_2: 0 tokens in" not in err and err.count("_2: ") == 1 and "_1: " not in err
    assert "nothing was changed" in told(console, capsys, "edit _1")[1]
    assert "say at main/1/1: edited" in told(console, capsys, "inspect _1")[0]
    for editor in ("no-such-editor", "'"):
        monkeypatch.setenv("VISUAL", editor)
        assert "cannot be started" in told(console, capsys, "edit _1")[1]


def test_files_with_blanks_are_completed_into_braces(opened: Opened, place: Path) -> None:
    for name in ("my notes.txt", "my_notes.txt"):
        (place / name).write_text("a note")
    words = Words(opened())

    def completed(typed: str) -> set[str]:
        found = words.get_completions(Document(typed), CompleteEvent())
        return {typed[: len(typed) + each.start_position] + each.text for each in found}

    assert completed("Read @my") == {"Read {@my notes.txt", "Read @my_notes.txt"}
    assert completed("Read {@my n") == {"Read {@my notes.txt"}


def test_a_file_with_blanks_is_read(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "my notes.txt").write_text("a note")
    console = opened(Scripted(short))
    out, err = told(console, capsys, "Read {@my notes.txt}", "x = {@my notes.txt}", "x")
    assert (out, err) == ("<Read my_notes|a note>\na note\n", "")


def test_the_context_is_an_edge(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    console = opened()
    told(console, capsys, "One?", "Two?", "Three?")
    depths = [entry.node.path_depth for entry in console.session.entries if entry.node is not None]
    assert depths == [1, 2, 3]


def test_looks_show_the_session(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    console = opened()
    told(console, capsys, "One?", "x = 'a text'", "pin x", "Two {x}")
    for look, seen in {
        "ctx": ["protected", "pinned", "_2", "working", "_1, _3", "operands"],
        "graph": ["_3  Two {x}", "from x, context", "say x1"],
        "graph _1": ["main/1/1", "<One?>"],
        "cost": ["2 calls", "say "],
        "ops": ["summarize", "write_answer", "yes or no", "Answer the last message."],
        "runs": [console.run.name, "running"],
        "inspect _3": [
            "Two {x}",
            "user",
            "say at main/7/4: made",
            "<|user|>",
            "x: a text\n\n  Two x",
        ],
        "inspect x": ["a text", "no call made it"],
        "help": list(COMMANDS),
        "help run": ["run a program"],
        "break say": [],
    }.items():
        out, err = told(console, capsys, look)
        assert all(part in out for part in seen), (look, out, err)
        assert max(map(len, out.splitlines()), default=0) <= 80, look
    assert not console.failed
    assert "make one: nlpu memory ingest" in told(console, capsys, "mem")[1]


def test_what_leaves_the_window_keeps_its_name(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted(lambda seen: "long " * 50, window=4000)
    console = opened(engine)
    told(console, capsys, *(f"Line {n}?" for n in range(9)))
    first, *rest = engine.seen[-1].chat
    assert "listed at page_1]" in first.text and "Line 0?" not in str(engine.seen[-1].chat)
    assert [turn.text.strip() for turn in rest[::2]] == [("long " * 50).strip()] * len(rest[::2])
    assert rest[-1] == ("user", "Line 8?")
    out, _ = told(console, capsys, "{page_1}", "_1")
    assert out.startswith("_1\n_2\n") and out.endswith("long\n")


def test_a_budget_ends_the_session_and_more_of_it_goes_on(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = opened(calls=1)
    _, err = told(console, capsys, "One?", "Two?")
    assert "budget" in err and console.left
    console.close()
    again = opened(run_dir="runs", resume=console.run.name, calls=5)
    assert [entry.content for entry in again.session.entries] == ["<One?>", "<Two?>"]


def test_other_sessions_are_resumed_in_place(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    first = opened()
    told(first, capsys, "One?")
    first.close()
    second = opened()
    _, err = told(second, capsys, f"resume {first.run.name}", "_1", f"resume {first.run.name}")
    assert f"session {first.run.name}" in err and "is this session" in err
    assert second.session.names["_1"].content == "<One?>"


def test_answers_are_folded_between_words_however_they_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    text = "one two three 123456789 1234567890 four\n  a list\n\n漢字漢字 漢字 averylongword.\n"
    for size in (1, 3, len(text)):
        put = Folding()
        for at in range(0, len(text), size):
            put(text[at : at + size])
        lines = capsys.readouterr().out.splitlines()
        assert [line.rstrip() for line in lines] == [
            "one two",
            "three",
            "123456789",
            "1234567890",
            "four",
            "  a list",
            "",
            "漢字漢字",
            "漢字",
            "averylongword.",
        ]
