"""The REPL without a terminal: what a session keeps, and what comes back."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from repl_kit import Opened, grave, last_line, opened, place, short, told
from terminal_fixture import Terminal, nlpu

from nlpu.chat import chat_of
from nlpu.errors import Unauthorized
from nlpu.label import UNTRUSTED, USER, Label
from nlpu.runtime.terminal.repl import views as looks
from nlpu.runtime.terminal.repl.console import Console
from nlpu.testing.scripted import Say, Scripted, Seen

__all__ = ["nlpu", "opened", "place"]  # fixtures

# -- a session -----------------------------------------------------------------------------------


def labelled(console: Console, number: int) -> Label:
    """The label of a value."""
    value = console.session.entries[number - 1].value
    assert value is not None
    return value.label


def test_values_are_operands_and_answers_the_context(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted(short)
    console = opened(engine)
    (place / "a.txt").write_text("from a file")
    out, err = told(
        console, capsys, "One?", "x = Two _1", "file = @a.txt", "Join {x}, _3 and @a.txt", "{x}"
    )
    assert (out, err) == (
        "<One?>\n<Join x, _3 and a|<Two _1|<One?>>|from a file|from a file>\n<Two _1|<One?>>\n",
        "",
    )
    assert engine.seen[0].operands == {}
    assert list(engine.seen[1].operands) == ["_1"], "what is named is not in the context again"
    assert list(engine.seen[2].operands) == ["x", "_3", "a"]
    assert engine.seen[2].chat == chat_of("One?", "<One?>", "Join x, _3 and a").turns
    told(console, capsys, "Next?")
    assert [labelled(console, n) for n in range(1, 6)] == [USER, USER, *[UNTRUSTED] * 3]
    told(console, capsys, "clear", "Anew?")
    assert labelled(console, 6) == USER, "what an earlier line read does not lower this one"


def test_programs_run_on_values(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    console = opened({"Answer the question in": "It is.", "": "a=b"})
    out, _ = told(console, capsys, "Give an equation", "run ask question=_", "x = run ask {_1}")
    assert out == "a=b\nIt is.\n"
    assert console.session.names["x"].content == "It is."
    assert "took: text" not in told(console, capsys, "run ask a b")[1] and console.failed
    assert (
        "one argument too many. Usage: ask(question: text)"
        in told(console, capsys, "run ask a b")[1]
    )


def test_what_fails_says_why_and_the_session_goes_on(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    console = opened(lambda seen: "" if "nothing" in last_line(seen) else "fine")
    out, err = told(console, capsys, "Say nothing", "Use _1", "Go on", "Use _2")
    assert out == "fine\nfine\n" and console.failed
    assert "the model returned no text" in err and "there is no value _1" in err
    assert "the line" in told(console, capsys, "What \udcff?")[1], "bytes that are no text"
    assert told(console, capsys, f"Read @{'x' * 300}") == ("fine\n", ""), "too long for a file"


def test_after_a_kill_all_is_there_and_no_call_is_made_again(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "One?",
        "x = Two _1",
        "y = 'a text'",
        "file = @a.txt",
        "run ask {file}",
        "pin y",
        "Fail {file}",
    ]
    (place / "a.txt").write_text("from a file")

    def answer(seen: Seen) -> Say | str | Unauthorized:
        return (
            Unauthorized("the key is refused")
            if last_line(seen).startswith("Fail")
            else short(seen)
        )

    first = opened(answer)
    told(first, capsys, *lines)
    name, engine = grave(place), Scripted(short)
    (place / "a.txt").unlink()
    again = opened(engine, run_dir="grave", resume=name)
    assert engine.seen == [] and (again.run.counts.calls, again.run.counts.reused) == (0, 3)
    before, now = first.session, again.session
    assert [e.content for e in now.entries] == [e.content for e in before.entries]
    assert now.names.keys() == before.names.keys()
    assert now.entries[-1].error == before.entries[-1].error != ""
    assert now.context is not None and before.context is not None
    assert now.context.window.text() == before.context.window.text() != ""
    assert told(again, capsys, "More _")[0] == told(first, capsys, "More _")[0] != ""


def test_a_line_that_was_under_way_at_a_kill_is_carried_out(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = opened()
    told(first, capsys, "One?", "break say", "Two _1")
    assert first.held is not None
    engine = Scripted(short)
    again = opened(engine, run_dir="grave", resume=grave(place))
    assert [entry.content for entry in again.session.entries] == ["<One?>", "<Two _1|<One?>>"]
    assert len(engine.seen) == 1
    looks.welcome(again)
    assert "breakpoints are not kept" in capsys.readouterr().err


def test_ctrl_c_stops_the_line_and_it_stays_stopped(
    opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hanging(Scripted):
        """Presses Ctrl-C when it is asked what it will not answer."""

        async def send(self, request: Any, on_text: Any = None) -> Any:
            if len(self.seen) == 1:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return await super().send(request, on_text)

    engine = Hanging(lambda seen: Say(short(seen), seconds=1e6 if "Hang" in last_line(seen) else 0))
    first = opened(engine)
    out, err = told(first, capsys, "One?", "Hang on _1", "Two?")
    assert out == "<One?>\n<Two?>\n" and err == "interrupted\n"
    assert engine.cancelled == ["1:4:1"] or len(engine.cancelled) == 1
    second = Scripted(short)
    again = opened(second, run_dir="grave", resume=grave(place))
    assert second.seen == []
    assert [entry.error for entry in again.session.entries] == ["", "interrupted", ""]
    told(again, capsys, "edit _1 Uno")
    assert [entry.error for entry in again.session.entries] == ["", "interrupted", ""]
    assert first.interrupted and not again.interrupted


def test_the_saved_program_gives_the_same_with_the_same_calls(
    opened: Opened, place: Path, nlpu: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "a.txt").write_text("from = a file")
    (place / "p.py").write_text(
        "from nlpu import nlop\n\n\n@nlop\ndef echo(text: str) -> bool:\n    '''Is it?'''\n\n\n"
        "def go(text: str, n: int = 1):\n    return [echo(text)] * n\n"
    )
    (place / "batch.txt").write_text(
        "One?\nx = Two _ {{x}}\n# a remark\nlist = run p.py:go {x} n=2\npin x\nfile = @a.txt\n"
        "Join _3 {file}\nedit _1 Another\nrun p.py:go text=@a.txt\ny = file\nclear\nLast _\n"
        "_3\nsave s.py\n"
    )
    ended = nlpu("repl", "--engine", "scripted", stdin=(place / "batch.txt").read_text())
    assert ended.code == 0, ended.err
    runs = nlpu("runs", "--json").json
    assert [run["program"] for run in runs] == ["repl", "repl"]
    made = nlpu("show", runs[0]["id"], "--json").json["calls_made"]
    done = nlpu("run", "s.py:session", "--engine", "scripted", "--json").json
    resumed = nlpu("repl", "--resume", "last", stdin="_1\n_8\n{x}\n").out
    values = done["result"]
    assert values["_1"] == "Another" and values["y"] == values["file"] == "from = a file"
    assert values["_3"] == values["list"] and len(values["_3"]) == 2
    for name in ("_1", "_8", "x"):
        assert values[name] in resumed
    again = nlpu("show", done["run_id"], "--json").json["calls_made"]
    texts = sorted(call["text"] for call in made if call["text"] != "Another")
    assert sorted(call["text"] for call in again) == texts


# -- the command ---------------------------------------------------------------------------------


def test_a_batch_prints_values_and_fails_if_a_line_did(nlpu: Terminal) -> None:
    ended = nlpu(
        "repl", "--engine", "scripted", stdin="What?\n\n# nothing\nx = Why?\nexit\nNever\n"
    )
    assert ended.code == 0 and ended.out.count("\n") == 1 and ended.err.count("\n") == 1
    session = nlpu("runs", "--json").json[0]["id"]
    assert ended.err.startswith(f"session {session}: 2 calls, "), "what it took"
    assert "Interrupted" not in nlpu("runs").out, "it was left, not interrupted"
    ended = nlpu("repl", "--engine", "scripted", stdin="/nope\nWhat?\n")
    assert ended.code == 1 and ended.out.count("\n") == 1 and "no command 'nope'" in ended.err


def test_sessions_are_told_from_runs(nlpu: Terminal) -> None:
    assert "there is no session" in nlpu("repl", "--resume", "last").err
    done = nlpu("run", "ask", "What?", "--engine", "scripted", "--json").json
    ended = nlpu("repl", "--resume", done["run_id"])
    assert ended.code == 2 and f"nlpu resume {done['run_id']}" in ended.err
    nlpu("repl", "--engine", "scripted", stdin="What?\n")
    session = nlpu("runs", "--json").json[0]["id"]
    for command in ("resume", "show"):
        ended = nlpu(command, session)
        assert f"nlpu repl --resume {session}" in ended.err + ended.out


def test_a_session_is_replayed_without_a_call_and_goes_on_after_it(nlpu: Terminal) -> None:
    lines = "x = What?\nShorten _1\n"
    out = nlpu("repl", "--engine", "scripted", stdin=lines).out
    session = nlpu("runs", "--json").json[0]["id"]
    told = nlpu("replay", session, "--json").json
    assert told["receipt"]["calls"] == 0 and told["receipt"]["reused"] == 2
    assert told["result"]["_2"] + "\n" == out and told["result"]["x"] == told["result"]["_1"]
    report = nlpu("show", session, "--html", "report.html")
    assert report.code == 0 and "partial" not in report.err
    assert nlpu("repl", "--resume", session, stdin="Three _2\n_3\n").code == 0


def test_engines_are_named_rightly(nlpu: Terminal) -> None:
    assert "--engine must be local, transformers, scripted" in nlpu("repl", "--engine", "nope").err


def test_what_is_let_pass_tells_its_own_answer_and_time(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted(lambda seen: Say(short(seen), seconds=0.2))
    console = opened(engine, is_terminal=True)
    told(console, capsys, "One?", "break say", "Two _1")
    out, err = told(console, capsys, "go")
    assert out.endswith("<Two _1|<One?>>\n") and seconds_of("_2", err) >= 0.2
    out, err = told(console, capsys, "edit _1 Uno", "step")
    assert out.endswith("<Two _1|Uno>\n") and seconds_of("_2", err) >= 0.2
    assert "_1: " not in err and "changed: _1, _2" in err, "of what was known there is nothing new"


def seconds_of(name: str, err: str) -> float:
    """What the one note on that value says it took."""
    (found,) = re.findall(rf"^{name}: \d+ tokens in, \d+ out, (\d+\.\d) s$", err, re.MULTILINE)
    return float(found)
