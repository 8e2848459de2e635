"""The commands: what they say to bad input."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, ESSAY, Terminal, environment, fault_server, nlpu

from nlpu.errors import HostError, ProgramError
from nlpu.runtime.terminal.output import said

__all__ = ["nlpu"]  # a fixture
COMMANDS = ("run", "repl", "runs", "show", "resume", "replay", "serve", "bench", "doctor")
SCRIPTED = ("--engine", "scripted")


def program(path: Path, body: str) -> str:
    """A program file; gives ``file.py:go``."""
    path.write_text("from nlpu import *\n\n" + body)
    return f"{path}:go"


def test_bad_usage_is_said_shortly(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("  \n")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    (tmp_path / "large").write_bytes(b"x" * (50 * 2**20))
    (tmp_path / "ok").write_text("text")
    program(tmp_path / "mine.py", "")
    book = ("run", "summarize_book", *SCRIPTED)
    cases = [
        ((*book, "--input", "empty"), "empty is empty"),
        ((*book, "--input", "binary"), "binary file; convert"),
        ((*book, "--input", "latin"), "not UTF-8 text (byte 3 is 0xe9)"),
        ((*book, "--input", "large"), "larger than 16 MB: cut it"),
        ((*book, "--input", "nowhere.txt"), "there is no file nowhere.txt"),
        ((*book, "--input", str(tmp_path)), "cannot be read"),
        ((*book, "--input", "ok", "--input", "ok"), "no parameter left"),
        ((*book, "text", "--input", "ok"), "no parameter left"),
        (book, "'book' is missing"),
        ((*book, "a", "b"), "'chunk_tokens' must be int, not 'b'"),
        ((*book, "a", "2", "c"), "one argument too many"),
        ((*book, "book=a", "book=b"), "'book' is given twice"),
        ((*book, "sise=9", "a"), "there is no parameter 'sise'; a text with '=' in it"),
        ((*book, "chunk_token=9", "a"), "no parameter 'chunk_token'; did you mean chunk_tokens? a"),
        ((*book, "a\udcff"), "lone surrogate"),
        ((*book, "-", "--input", "-"), "stdin ('-') can be given once"),
        ((*book, "--input", str(tmp_path / "okk")), "; did you mean "),
        (("run", "ask", "Hi", "--model", "models/"), "no file or folder models/: check the path"),
        (("run", "sumarize_book"), "did you mean summarize_book?"),
        (("run", "nowhere.py:go"), "there is no file nowhere.py"),
        (("run", "../ask"), "no program is called"),
        (("run", "mine"), "; did you mean mine.py?"),
        (("run", "ask", "Hi", "--engine", "gpu"), "--engine must be local, transformers, scripted"),
        (("run", "ask", "Hi", "--engine", "http://me:key@host"), "put the key in NLPU_API_KEY"),
        (("run", "ask", "Hi", "--model", ""), "--model must be the name or the directory of a"),
        (("bench", "throughput", "--model", ""), "by its name or its path"),
        (("run", "ask", "Hi", *SCRIPTED, "--nlops", "0"), "--nlops must be a number more than 0"),
        (("run", "ask", "Hi", *SCRIPTED, "--money", "1"), "needs prices: give --price IN,OUT"),
        (("run", "ask", "Hi", *SCRIPTED, "--tokens", "1.5"), "--tokens"),
        (("run", "ask", "Hi", *SCRIPTED, "--calls", "-1"), "--calls must be a whole number more"),
        (
            ("run", "ask", "Hi", *SCRIPTED, "--seconds", "nan"),
            "--seconds must be a number more than 0",
        ),
        (("run", "ask", "Hi", *SCRIPTED, "--speed", "9"), "No such option: --speed"),
        (("fly",), "No such command 'fly'"),
        (("show", "zzz"), "no run in"),
        (("resume", "zzz"), "no run in"),
        (("bench", "luck"), "No such command 'luck'"),
        (("bench", "overhed"), "Did you mean 'overhead'?"),
        (("run",), "name a PROGRAM to run: agent_day, answer, ask, "),
        (("run", "ask", "Hi", "--model", ".."), "holds no model"),
        (("run", "ask", "Hi", "--model", "ok"), "is no GGUF file"),
    ]
    for words, message in cases:
        ended = nlpu(*words, stdin="some text")
        assert ended.code == 2, (words, ended)
        assert message in ended.err and ended.err.startswith("error: "), (words, ended.err)
        assert ended.err.count("\n") == 1 and "Traceback" not in ended.err
        assert ended.out == ""
        failed = nlpu(words[0], "--json", *words[1:], stdin="some text")
        if words[0] not in ("fly", "bench"):  # the group's own option does not exist
            assert failed.code == 2 and failed.err == ended.err
        told = failed.json
        assert (told["run_id"], told["status"]) == (None, "failed")
        assert told["error"]["type"] in ("Usage", "BadOperand") and told["error"]["message"]


def test_advice_on_stdin_names_a_command_that_reads_it(nlpu: Terminal) -> None:
    words = ("run", "summarize_book", "-", *SCRIPTED)
    assert "split -C 16M -\n" in nlpu(*words, stdin=b"x" * (17 * 2**20)).err
    assert "iconv -f latin1 -t utf-8 -\n" in nlpu(*words, stdin=b"caf\xe9").err
    assert "iconv -f utf-16 -t utf-8 -\n" in nlpu(*words, stdin="café".encode("utf-16")).err


def test_a_wrong_argument_shows_the_parameters(nlpu: Terminal, tmp_path: Path) -> None:
    spec = program(tmp_path / "p.py", "def go(question: str, text: str, size: int = 512): pass\n")
    ended = nlpu("run", spec, "Who?", *SCRIPTED)
    assert "go(question: text, text: text, size: int = 512)" in ended.err


def test_each_argument_reaches_its_parameter(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "book").write_text("B")
    rest = program(
        tmp_path / "p.py", "def go(a: str, n: int = 3, *texts: str): return [a, n, *texts]\n"
    )
    assert nlpu("run", rest, "hello", "--input", "book", *SCRIPTED, "--json").json["result"] == [
        "hello",
        3,
        "B",
    ]
    only = program(tmp_path / "q.py", "def go(a: str, n: int = 3, /): return [a, n]\n")
    assert nlpu("run", only, "hello", *SCRIPTED, "--json").json["result"] == ["hello", 3]


def test_program_files_that_cannot_run(nlpu: Terminal, tmp_path: Path) -> None:
    cases = [
        ("def go(:\n", 1, "cannot be loaded: SyntaxError"),
        ("raise RuntimeError('boom')\n", 1, "cannot be loaded: RuntimeError: boom"),
        ("def other(): pass\n", 2, "it has: other; name one, as in "),
        ("def go(x: object): pass\n", 2, "a terminal cannot give"),
        ("def go():\n    return 1 / 0\n", 1, "ZeroDivisionError: division by zero (p.py:4)"),
        ("import sys\nsys.exit(5)\n", 1, "cannot be loaded: SystemExit: 5"),
        ("from nlpu.errors import Usage\ndef go(): raise Usage('give less')\n", 2, "give less"),
        ("def go():\n    return op('x')(3)\n", 1, "operand 'text' of x must be text"),
    ]
    for body, code, message in cases:
        ended = nlpu("run", program(tmp_path / "p.py", body), *SCRIPTED)
        assert ended.code == code and message in ended.err, (body, ended)
        assert "Traceback" not in ended.err
        assert ("nlpu resume" in ended.err) == (code == 1 and "\nrun " in ended.err)
        told = nlpu("run", program(tmp_path / "p.py", body), *SCRIPTED, "--json").json
        assert told["status"] == "failed" and told["result"] is None
        assert message.partition(" (p.py")[0] in told["error"]["message"]


def test_an_op_of_a_file_is_a_program_of_one_call(nlpu: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "ops.py"
    text = 'from nlpu import nlop\n\n@nlop\ndef go(a: str, n: int) -> str:\n    """Say {}."""\n'
    file.write_text(text.format("what"))
    went = nlpu("run", f"{file}:go", "x", "n=3", *SCRIPTED, "--json").json
    assert (went["status"], went["receipt"]["calls"]) == ("done", 1)
    assert nlpu("replay", went["run_id"], "--json").json["result"] == went["result"]
    assert nlpu("runs", "--json").json[0]["program"] == f"{file}:go"
    short = nlpu("run", f"{file}:go", "x", *SCRIPTED)
    assert short.code == 2 and "'n' is missing" in short.err and "Usage: go(a: " in short.err
    wrong = nlpu("run", f"{file}:gone", *SCRIPTED)
    assert wrong.code == 2 and "it has: go; name one, as in " in wrong.err
    file.write_text(text.format("another"))
    changed = nlpu("resume", went["run_id"], "--json").json
    assert changed["status"] == "needs_person" and "changed" in changed["error"]["message"]


STRANGE = """
from pydantic import BaseModel, model_serializer
class Mute:
    def __str__(self):
        raise ValueError("no words")
class Shy(BaseModel):
    @model_serializer
    def out(self):
        raise ZeroDivisionError("not today")
"""


@pytest.mark.parametrize(
    ("result", "why"), [("Mute()", "no words"), ("Shy()", "not today"), ("10**5000", "digits")]
)
def test_a_result_that_cannot_be_printed_is_the_programs_fault_and_kept(
    nlpu: Terminal, tmp_path: Path, result: str, why: str
) -> None:
    spec = program(tmp_path / "p.py", STRANGE + f"def go():\n    return {result}\n")
    ended = nlpu("run", spec, *SCRIPTED)
    assert ended.code == 1 and ended.out == "" and "fault of nlpu" not in ended.err
    assert "done and kept, but its result cannot be printed" in ended.err and why in ended.err
    assert "to resume it" not in ended.err
    if why != "digits":  # JSON's numbers have no bound
        ended = nlpu("run", spec, *SCRIPTED, "--json")
        assert ended.code == 1 and ended.json["status"] == "failed"
        assert ended.json["error"]["type"] == "ProgramError" and ended.json["receipt"]
    assert {run["status"] for run in nlpu("runs", "--json").json} == {"done"}


def test_failures_of_the_host_are_one_paragraph(nlpu: Terminal) -> None:
    ended = nlpu("run", "ask", "Hi", "--engine", "http://127.0.0.1:9", "--json")
    assert ended.code == 1 and "Start the server" in ended.err
    assert ended.json["status"] == "failed" and ended.json["error"]["type"] == "Unreachable"
    assert nlpu("runs", "--json").json == []  # and nothing is left behind
    with fault_server("--not-vllm", "--model", "one", "--model", "two") as url:
        ended = nlpu("run", "ask", "Hi", "--engine", url, "--model", "three")
        assert ended.code == 2 and "It serves: one, two" in ended.err
        ended = nlpu("run", "ask", "Hi", "--engine", f"{url}/elsewhere")
        assert ended.code == 1 and "is not an LLM server" in ended.err
    ended = nlpu("run", "ask", "Hi", "--model", "/no/such/model")
    assert ended.code == 2 and "no file or folder /no/such/model" in ended.err


def test_a_replay_names_the_guarantees_that_its_server_lacked(nlpu: Terminal) -> None:
    with fault_server("--not-vllm") as url:
        first = nlpu("run", "ask", "Hi", "--engine", url, "--json")
    note = next(line for line in first.err.splitlines() if line.startswith("note: "))
    assert note.endswith(".") and note in nlpu("replay", first.json["run_id"]).err


def test_a_cause_is_told_once() -> None:
    inner = HostError("the disk is full")
    outer = ProgramError("it failed: the disk is full")
    outer.__cause__ = inner
    assert said(outer) == "it failed: the disk is full"
    outer.__cause__ = ProgramError("the file is locked")
    assert said(outer) == "it failed: the disk is full; because: the file is locked"


def test_the_first_cause_of_a_long_chain_is_told_and_kept(nlpu: Terminal, tmp_path: Path) -> None:
    spec = program(
        tmp_path / "p.py",
        "def go(n: int):\n"
        "    x = op('Shorten')('word ' * 50_000)\n"
        "    for _ in range(n):\n"
        "        x = op('Shorten')(x)\n"
        "    return x\n",
    )
    ended = nlpu("run", spec, "8", *SCRIPTED, "--json")
    run, message = ended.json["run_id"], ended.json["error"]["message"]
    assert "main/8 could not run: shorten at main/0 (" in message and "because" not in message
    assert message.endswith("or lower max_tokens") and "main/3" not in message
    shown = nlpu("show", run)
    assert "main/8 could not run" in shown.out and "or lower max_tokens" in shown.out
    assert nlpu("run", spec, "2", *SCRIPTED, "--dry").err.count("could not run") == 1
    error = ProgramError("its own cause")
    error.__cause__ = error
    assert said(error) == "its own cause"


def test_what_would_fail_again_as_it_is_says_when_to_resume_it(
    nlpu: Terminal, tmp_path: Path
) -> None:
    head = "from nlpu import op\n\n\ndef go():\n    op('Say it')('looms').value\n"
    spec = program(tmp_path / "p.py", f"{head}    raise KeyError('no')\n")
    told = nlpu("run", spec, *SCRIPTED).err.splitlines()[-1]
    when, _, command = told.partition(": nlpu ")
    assert when == "to resume it once that is corrected"
    program(tmp_path / "p.py", f"{head}    return 'right'\n")
    ended = nlpu(*command.split())
    assert ended.out == "right\n" and ": 0 calls + 1 reused" in ended.err


def test_a_server_that_dies_leaves_a_run_that_can_be_resumed(nlpu: Terminal) -> None:
    with fault_server("--script", "400") as url:
        ended = nlpu("run", "ask", "Hi", "--engine", url)
    assert ended.code == 1 and "to resume it: nlpu resume" in ended.err


def test_run_directories_that_cannot_be_written(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = nlpu("run", "ask", "Hi", *SCRIPTED, "--run-dir", "file")
    assert ended.code == 1 and "choose another with --run-dir" in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_directory(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    ended = nlpu("run", "ask", "Hi", *SCRIPTED, "--run-dir", "locked")
    assert ended.code == 1 and "--run-dir" in ended.err and ended.err.count("\n") == 1


def test_a_full_disk_stops_the_run_resumable(tmp_path: Path) -> None:
    run = " ".join([*COMMAND, "run", "summarize_book", "--input", str(ESSAY), *SCRIPTED])
    ended = subprocess.run(  # files of this shell's children may have 60 KiB
        ["bash", "-c", f"ulimit -f 60; {run} --json"],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=60,
    )
    told = json.loads(ended.stdout)
    assert ended.returncode == 1 and told["error"]["type"] == "StorageFailed"
    assert "Free space" in ended.stderr and "nlpu resume" in ended.stderr
    again = subprocess.run(
        [*COMMAND, "resume", told["run_id"], "--json"],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=60,
    )
    assert again.returncode == 0 and json.loads(again.stdout)["status"] == "done"


def test_unexpected_errors_ask_for_a_report_and_debug_shows_where(
    nlpu: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run_dir: Path, limit: int | None) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("nlpu.runtime.terminal.show.run_folder.summaries", broken)
    monkeypatch.setenv("NLPU_DEBUG", "")
    ended = nlpu("runs")
    assert ended.code == 1 and "please report" in ended.err and "Traceback" not in ended.err
    assert "Traceback" in nlpu("runs", "--debug").err


def test_a_mistake_with_an_op_names_the_line_of_the_program(nlpu: Terminal, tmp_path: Path) -> None:
    head = "@nlop\ndef weigh(text: str, by: int) -> {}:\n    'Weigh it.'\ndef go() -> str:\n"
    cases = [
        (head.format("object") + "    return 'x'\n", "the result of op weigh: ", "own.py:3"),
        (head.format("str") + "    return weigh('a', 1, 2)\n", "weigh takes (", "own.py:7"),
        (head.format("str") + "    return weigh('a', 'b')\n", "'by' of weigh must", "own.py:7"),
        (head.format("str") + "    return weigh.using(top_p=2)\n", "op weigh: top_p", "own.py:7"),
        (head.format("str") + "    return [][0]\n", "raised IndexError", "own.py:7"),
    ]
    for body, what, place in cases:
        ended = nlpu("run", program(tmp_path / "own.py", body), *SCRIPTED)
        assert ended.code == 1 and what in ended.err and f"({place})" in ended.err, ended.err
    listed = nlpu("run", "ask", "a\udcff", *SCRIPTED)  # the program's code has no part in it
    assert "lone surrogate" in listed.err and ".py:" not in listed.err
