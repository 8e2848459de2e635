"""The REPL: what a session keeps when it is resumed elsewhere, edited, stepped and saved."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from repl_kit import Opened, grave, last_line, opened, place, short, told
from terminal_fixture import Terminal, nlpu

from nlpu.prompt.convention import FIRST
from nlpu.runtime.computer import Computer
from nlpu.runtime.terminal.repl import console
from nlpu.runtime.terminal.repl.prompt import Lines
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu", "opened", "place"]  # fixtures
ECHO = (
    "from nlpu import nlop\n\n\n@nlop\ndef echo(text: str) -> str:\n    '''Echo.'''\n\n\n"
    "def chain(text: str):\n    return echo(echo(text))\n\n\n"
    "def whole(text: str):\n    return int(text) + 1\n"
)

# -- resuming ------------------------------------------------------------------------------------


def test_a_session_can_be_resumed_from_another_directory(
    opened: Opened, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(ECHO)
    first = opened()
    told(first, capsys, "a = run p.py:chain q", "b = Hi {a}")
    first.close()
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    again = opened(resume=first.run.name)
    assert told(again, capsys, "{a}", "_2")[0].count("\n") == 2
    assert (again.run.counts.calls, again.run.counts.reused) == (0, 3)


def test_a_session_from_before_there_were_chats_goes_on_as_it_began(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "Computer", partial(Computer, convention=FIRST))
    first = opened()
    told(first, capsys, "One?", "x = 'a text'", "pin x", "Two?")
    first.close()
    monkeypatch.undo()
    engine = Scripted(lambda seen: f"<{seen.instruction.splitlines()[0]}>")
    again = opened(engine, resume=first.run.name)
    assert (again.run.counts.calls, again.run.counts.reused) == (0, 2)
    assert told(again, capsys, "Three {x}")[0] == "<Three x>\n"
    (seen,) = engine.seen
    assert seen.chat == () and seen.operands["context"].startswith("_1> One?\n<")


@pytest.mark.parametrize("lines", [["a = run p.py:chain q"], ["a = run p.py:chain q", "Hi {a}"]])
def test_what_cannot_be_met_again_ends_the_resume_and_destroys_nothing(
    lines: list[str], place: Path, nlpu: Terminal
) -> None:
    (place / "p.py").write_text(ECHO)
    nlpu("repl", "--engine", "scripted", stdin="\n".join(lines))
    (place / "p.py").rename(place / "q.py")
    for _ in range(2):
        ended = nlpu("repl", "--resume", "last", stdin="More?")
        assert ended.code == 1 and ended.out == ""
        assert "_1 (a = run p.py:chain q) cannot be met again: there is no file" in ended.err
    (place / "q.py").rename(place / "p.py")
    again = nlpu("repl", "--resume", "last", stdin="a\ncost\n")
    assert again.code == 0 and again.out and "0 calls" in again.out, again


@pytest.mark.parametrize(
    ("new", "told_so"),
    [
        ("    raise OSError('none')", "cannot be met again"),
        ("    return echo('x')", "differs from"),
    ],
)
def test_a_program_that_has_changed_destroys_nothing(
    new: str, told_so: str, place: Path, nlpu: Terminal
) -> None:
    (place / "p.py").write_text(ECHO)
    nlpu("repl", "--engine", "scripted", stdin="a = run p.py:chain q")
    (place / "p.py").write_text(ECHO.replace("    return echo(echo(text))", new))
    ended = nlpu("repl", "--resume", "last", "--trust")
    assert ended.code == 1 and told_so in ended.err, ended
    (place / "p.py").write_text(ECHO)
    assert nlpu("repl", "--resume", "last", stdin="a").out


def test_a_resume_that_fails_leaves_the_session_that_is_open(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(ECHO)
    first = opened()
    told(first, capsys, "a = run p.py:chain q")
    first.close()
    second = opened()
    (place / "p.py").unlink()
    _, err = told(second, capsys, "Own?", f"resume {first.run.name}")
    assert "cannot be met again" in err and not second.left
    assert told(second, capsys, "_1")[0] == "<Own?>\n"


# -- editing -------------------------------------------------------------------------------------


def test_an_edit_tries_what_failed_again(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(ECHO)
    console = opened(lambda seen: "many" if "How" in last_line(seen) else short(seen))
    _, err = told(console, capsys, "a = How many?", "n = run p.py:whole {a}", "run p.py:none")
    assert "invalid literal" in err
    out, err = told(console, capsys, "edit _1 42", "n")
    assert out == "43\n" and "_3: " in err, "what fails again is said"
    again = opened(run_dir="grave", resume=f"{grave(place)}.2")
    assert [bool(entry.error) for entry in again.session.entries] == [False, False, True]


def test_an_edit_under_a_breakpoint_says_that_calls_are_held(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    console = opened()
    _, err = told(console, capsys, "One?", "Two _1", "break say", "edit _1 Uno")
    assert "calls that depend on it are held" in err and "changed" not in err
    out, err = told(console, capsys, "go")
    assert out == "<Two _1|Uno>\n" and "1 made in" in err and "changed: _1, _2" in err
    assert told(console, capsys, "break say", "Three") == ("<Three>\n", "breakpoints: none\n")


# -- stepping ------------------------------------------------------------------------------------


def test_each_step_lets_one_call_pass(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Scripted(short)
    console = opened(engine)
    told(console, capsys, "One", "Two _1", "Three _1", "break say", "edit _1 x")
    for made in (4, 5):
        told(console, capsys, "step")
        assert len(engine.seen) == made
    assert console.held is None


def test_what_was_held_before_a_step_is_not_held_after_it(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted(short)
    console = opened(engine)
    told(console, capsys, "One", "Two _1", "Three _1", "break say", "edit _1 x")
    busy, line = threading.Event(), console.held
    assert line is not None

    def wait() -> None:
        busy.wait()

    console.session.post(wait)
    line.let_pass(console.gate.step)  # behind what the loop is busy with
    assert console.gate.held() and line._took("text", "left over") is None
    busy.set()
    assert line.wait() == "held" and len(engine.seen) == 4


def test_what_failed_is_told_once(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    console = opened(lambda seen: "" if "Fail" in last_line(seen) else short(seen))
    told(console, capsys, "One", "Fail _1", "Two _1", "Three _1", "break say")
    _, err = told(console, capsys, "edit _1 x", "step", "step", "step")
    assert err.count("the model returned no text") == 1 and console.held is None


def test_a_breakpoint_can_wait_for_its_op(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(ECHO)
    console = opened()
    _, err = told(console, capsys, "break echo")
    assert err == "no op called echo is known yet\nbreakpoints: echo\n"
    assert "held: echo at" in told(console, capsys, "run p.py:chain q")[1]
    assert "'shrt' is no value" in told(console, capsys, "inspect shrt")[1]
    assert "say" in console.known("NAME") and "say" not in console.known("OP")  # for completion


# -- saving --------------------------------------------------------------------------------------


def saved(nlpu: Terminal, *lines: str) -> dict[str, Any]:
    """What the saved program of a session gives: values by name."""
    ended = nlpu("repl", "--engine", "scripted", stdin="\n".join([*lines, "save s.py", ""]))
    assert ended.code == 0, ended.err
    done = nlpu("run", "s.py:session", "--engine", "scripted", "--json")
    assert done.code == 0, done.err
    values: dict[str, Any] = done.json["result"]
    return values


def test_a_saved_program_means_the_values_of_its_lines(nlpu: Terminal, place: Path) -> None:
    lines = ["a = 'One'", "b = Say {a}", "c = run ask {a}", "a = 'Two'", "d = Say {a}"]
    values = saved(nlpu, *lines, "a = Rebind {a}")
    text = (place / "s.py").read_text()
    assert "_2 = say('Say a', a=_1)" in text and "_3 = run('ask', given(_1))" in text
    assert "a=_4)" in text and values["a"] == values["_6"] and values["_1"] == "One"


def test_a_saved_program_refuses_a_file_that_has_changed(nlpu: Terminal, place: Path) -> None:
    (place / "a.txt").write_text("as it was")
    assert saved(nlpu, "file = @a.txt", "run ask @a.txt")["file"] == "as it was"
    (place / "a.txt").write_text("another")
    ended = nlpu("run", "s.py:session", "--engine", "scripted")
    assert ended.code == 2 and "a.txt has changed since the session read it" in ended.err


def test_save_overwrites_nothing_but_sessions(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "own.py").write_text("mine = 1\n")
    console = opened()
    _, err = told(console, capsys, "x = 'text'", "save own.py", "save s.py", "save s.py")
    assert "own.py is no saved session; give another name" in err and err.count("saved; to") == 2
    assert (place / "own.py").read_text() == "mine = 1\n"
    _, err = told(console, capsys, "save nowhere/x.py")
    assert err == "error: nowhere/x.py cannot be written: No such file or directory\n"


def test_a_saved_program_gives_ops_the_texts_they_were_edited_to(
    nlpu: Terminal, place: Path
) -> None:
    (place / "p.py").write_text(ECHO)
    lines = ["run p.py:chain q", "edit echo Shout.", "_1", "save s.py"]
    ended = nlpu("repl", "--engine", "scripted", stdin="\n".join([*lines, ""]))
    assert ended.code == 0, ended.err
    before, shown, after = ended.out.splitlines()
    assert before != after == shown  # the scripted model says something else to another instruction
    assert "    reword(**{'echo': 'Shout.'})\n" in (place / "s.py").read_text()
    done = nlpu("run", "s.py:session", "--engine", "scripted", "--json").json
    assert done["result"]["_1"] == after
    (place / "other").write_text("Echo.")
    words = ["--from", done["run_id"], "--set", f"echo={place / 'other'}", "--json"]
    assert nlpu("run", *words).json["result"]["_1"] == before


# -- editing -------------------------------------------------------------------------------------


JUDGED = (
    "from nlpu import nlop\n\n\n@nlop\ndef is_so(text: str) -> bool:\n    '''Is it so?'''\n\n\n"
    "def judged(text: str):\n    return [is_so(text), is_so(text + '!')]\n"
)


def test_what_is_no_result_of_the_op_is_told_before_anything_is_done(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(JUDGED)
    console = opened(Scripted("no"))
    told(console, capsys, "r = run p.py:judged q", "w = 'a text'")
    name = console.run.name
    for line, why in (
        ("edit main/1/1/0 maybe", "not edited: the text 'maybe' is not yes or no"),
        ("edit w other", "w is a text: bind it anew"),
        ("edit r other", "edit one of its calls by its position"),
    ):
        assert why in told(console, capsys, line)[1]
    assert console.run.name == name and console.session.names["r"].content == [False, False]
    told(console, capsys, "edit main/1/1/0 yes")
    assert console.session.names["r"].content == [True, False]


def test_a_call_that_failed_can_be_given_a_result(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(JUDGED)
    console = opened(Scripted(lambda seen: "maybe" if "!" in str(seen.operands) else "no"))
    assert "is not yes or no" in told(console, capsys, "r = run p.py:judged q")[1]
    told(console, capsys, "edit main/1/1/1 yes")
    assert console.session.names["r"].content == [False, True]


def test_a_program_that_was_edited_inside_is_saved_as_what_it_gave(
    opened: Opened, place: Path, nlpu: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.py").write_text(JUDGED)
    console = opened(Scripted("no"))
    told(console, capsys, "r = run p.py:judged q", "edit main/1/1/0 yes", "save s.py")
    ended = nlpu("run", "s.py:session", "--engine", "scripted", "--json")
    assert ended.json["result"]["r"] == [True, False] and ended.json["receipt"]["calls"] == 0


def test_the_name_that_a_session_gives_itself_resumes_it(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    edited, other = opened(), opened()
    told(edited, capsys, "One?", "Two _1", "edit _1 Uno")
    name = edited.run.name
    assert "." in name
    edited.close()
    assert told(other, capsys, f"resume {name}", "_1")[0] == "Uno\n"


def test_a_value_is_pinned_once(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    console = opened()
    told(console, capsys, "x = 'a text'", "pin x", "pin x")
    assert console.session.context is not None
    assert [part.text for part in console.session.context.window.pinned] == ["_1:\na text"]


def test_a_history_that_cannot_be_read_or_written_stops_nobody(place: Path) -> None:
    history = Lines(str(place))  # a directory
    assert list(history.load_history_strings()) == []
    history.store_string("a line")
