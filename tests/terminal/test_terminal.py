"""The commands: what they print where, and how they end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, ESSAY, ROOT, Terminal, environment, fault_server, nlpu

from nlpu.runtime.run import Counts
from nlpu.runtime.terminal.run.live import Plain

__all__ = ["nlpu"]  # a fixture
RECEIPT = {
    "calls",
    "reused",
    "attempts",
    "nlops",
    "wasted_nlops",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "seconds",
    "work_s",
    "span_s",
    "depth",
    "parallelism",
    "lower_bound_s",
}
COMMANDS = ("run", "eval", "repl", "runs", "show", "resume", "replay", "serve", "bench", "doctor")
SCRIPTED = ("--engine", "scripted")


def program(path: Path, body: str) -> str:
    """A program file; gives ``file.py:go``."""
    path.write_text("from nlpu import *\n\n" + body)
    return f"{path}:go"


# -- start-up ----------------------------------------------------------------------------------


def test_help_is_light_and_quick() -> None:
    heavy = (
        "torch transformers chromadb aiohttp networkx numpy tokenizers pydantic xllamacpp "
        "huggingface_hub"
    )
    code = (
        "import sys, time; began = time.process_time()\n"
        "from nlpu.runtime.terminal.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"loaded = [m for m in {heavy.split()!r} if m in sys.modules]\n"
        "print(loaded, time.process_time() - began, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    loaded, seconds = ended.stderr.rsplit(" ", 1)
    assert loaded == "[]"
    assert float(seconds) < 1.0  # of CPU; 0.2 on an idle machine, and CI machines are not idle
    for command in COMMANDS:
        assert f"│ {command} " in ended.stdout


def test_every_command_has_help(nlpu: Terminal) -> None:
    for command in COMMANDS:
        ended = nlpu(command, "--help")
        assert ended.code == 0 and "Usage: nlpu " + command in ended.out


# -- run, runs, show, resume, replay -----------------------------------------------------------


def test_run_prints_the_result_on_stdout_and_the_cost_on_stderr(nlpu: Terminal) -> None:
    ended = nlpu("run", "ask", "What is a loom?", *SCRIPTED)
    assert ended.code == 0
    assert ended.out.endswith(".\n") and ended.out.count("\n") == 1
    assert "1 call," in ended.err and "run " in ended.err


def test_json_is_one_object_with_the_whole_receipt(nlpu: Terminal) -> None:
    told = nlpu("run", "ask", "question=What?", *SCRIPTED, "--json").json
    assert told["status"] == "done" and isinstance(told["result"], str)
    assert told["receipt"].keys() >= RECEIPT
    assert "error" not in told
    assert told["receipt"]["calls"] == 1 and told["receipt"]["reused"] == 0


def test_a_pipe_gets_the_bytes_that_json_tells(nlpu: Terminal) -> None:
    text = nlpu("run", "ask", "-", *SCRIPTED, stdin="What is a loom?\n").out
    told = nlpu("run", "ask", "What is a loom?", *SCRIPTED, "--json").json
    assert text == told["result"] + "\n"


def test_input_files_and_stdin_fill_the_text_parameters(nlpu: Terminal, tmp_path: Path) -> None:
    spec = program(
        tmp_path / "p.py",
        "from typing import Literal\n"
        "def go(a: str, n: int, b: str, how: Literal['up', 'down'] = 'up', loud: bool = False):\n"
        "    return [a, n, b, how, loud]\n",
    )
    (tmp_path / "b.txt").write_text("from the file")
    words = ("run", spec, "n=3", "loud=yes", "how=down", "--input", "-", "--input", "b.txt")
    told = nlpu(*words, *SCRIPTED, "--json", stdin="from stdin").json
    assert told["result"] == ["from stdin", 3, "from the file", "down", True]


def test_replay_makes_no_call_and_gives_the_same_bytes(nlpu: Terminal) -> None:
    words = ("summarize_book", "--input", str(ESSAY), *SCRIPTED)
    first = nlpu("run", *words, "--json").json
    again = nlpu("replay", first["run_id"][:5], "--json").json
    assert again["receipt"]["calls"] == 0
    assert again["receipt"]["reused"] == first["receipt"]["calls"] > 100
    assert json.dumps(again["result"]) == json.dumps(first["result"])
    assert nlpu("replay", first["run_id"]).out == nlpu("run", *words).out


def test_a_budget_stops_the_run_and_resume_goes_on(nlpu: Terminal) -> None:
    words = ("run", "summarize_book", "--input", str(ESSAY), *SCRIPTED)
    whole = nlpu(*words, "--json").json
    ended = nlpu(*words, "--calls", "20", "--json")
    stopped = ended.json
    assert ended.code == 3 and stopped["status"] == "stopped"
    assert stopped["error"]["type"] == "BudgetExceeded" and stopped["result"] is None
    assert f"nlpu resume {stopped['run_id']}" in ended.err
    assert nlpu("resume", stopped["run_id"], "--json").code == 3  # the same budget is still spent
    done = nlpu("resume", stopped["run_id"], "--calls", "1000", "--json").json
    assert done["status"] == "done" and done["result"] == whole["result"]
    assert done["receipt"]["calls"] + 20 == whole["receipt"]["calls"]
    assert done["receipt"]["reused"] == 20


def test_seconds_are_a_deadline(nlpu: Terminal) -> None:
    with fault_server("--rate", "no_answer=1") as url:
        ended = nlpu("run", "ask", "Hi", "--engine", url, "--seconds", "0.3", "--json")
    assert ended.code == 3 and ended.json["error"]["type"] == "DeadlineExceeded"
    assert "nlpu resume" in ended.err


def test_runs_lists_newest_first_and_show_tells_the_calls(nlpu: Terminal) -> None:
    first = nlpu("run", "ask", "One?", *SCRIPTED, "--json").json
    second = nlpu("run", "summarize_book", "--input", str(ESSAY), *SCRIPTED, "--json").json
    listed = nlpu("runs", "--json").json
    assert [line["id"] for line in listed] == [second["run_id"], first["run_id"]]
    assert listed[0].keys() >= {"id", "program", "status", "calls", "nlops", "started", "seconds"}
    assert listed[0]["calls"] == second["receipt"]["calls"]
    assert listed[0]["nlops"] == pytest.approx(second["receipt"]["nlops"])
    table = nlpu("runs").out
    assert table.index(second["run_id"]) < table.index(first["run_id"])
    assert max(map(len, table.splitlines())) <= 80
    shown = nlpu("show", second["run_id"]).out
    assert "main/0/0  summarize  done" in shown, "positions, for --set"
    assert "see them with --all" in shown and "merge" in shown
    whole = nlpu("show", second["run_id"], "--json").json
    assert len(whole["calls_made"]) == second["receipt"]["calls"]
    assert {"position", "op", "state", "text"} <= whole["calls_made"][0].keys()
    assert whole["receipt"]["nlops"] == second["receipt"]["nlops"]
    assert "no run in" in nlpu("show", "../x").err, "not the start of every name"


def test_run_dir_by_option_and_by_environment(
    nlpu: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = nlpu("run", "ask", "Hi", *SCRIPTED, "--run-dir", "here", "--json").json["run_id"]
    assert nlpu("runs", "--json").json == []
    assert nlpu("runs", "--json", "--run-dir", "here").json[0]["id"] == name
    monkeypatch.setenv("NLPU_RUN_DIR", str(tmp_path / "here"))
    assert nlpu("show", name[:4]).code == 0


def test_a_changed_program_is_noticed_and_can_be_gone_on_with(
    nlpu: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "p.py"
    body = "say = op('Say it')\nmore = op('Say more')\ndef go():\n    return more(say('{}'))\n"
    spec = program(path, body.format("a"))
    name = nlpu("run", spec, *SCRIPTED, "--calls", "1", "--json").json["run_id"]
    path.write_text(path.read_text().replace("'a'", "'b'"))
    ended = nlpu("resume", name, "--calls", "9")
    assert ended.code == 4 and str(path) in ended.err and "--changed" in ended.err
    ended = nlpu("resume", name, "--calls", "9", "--trust")
    assert ended.code == 1 and "operand 'text' differs" in ended.err and "--changed" in ended.err
    ended = nlpu("resume", name, "--calls", "9", "--changed", "--json")
    assert ended.code == 0 and "divergence" in ended.json


def test_a_key_from_the_environment_is_used_and_written_nowhere(
    nlpu: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fault_server("--api-key", "sesame-7431") as url:
        refused = nlpu("run", "ask", "Hi", "--engine", url)
        monkeypatch.setenv("NLPU_API_KEY", "sesame-7431")
        ended = nlpu("run", "ask", "Hi", "--engine", url)
    assert refused.code == 1 and "error: " in refused.err
    assert ended.code == 0
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"sesame" not in kept and "sesame" not in ended.err + refused.err


# -- results -----------------------------------------------------------------------------------


def test_results_of_all_kinds_are_printed(nlpu: Terminal, tmp_path: Path) -> None:
    kinds = {"True": "yes", "3": "3", "None": "", "{'a': [1]}": '{\n  "a": [\n    1\n  ]\n}'}
    for source, shown in kinds.items():
        spec = program(tmp_path / "p.py", f"def go():\n    return {source}\n")
        assert nlpu("run", spec, *SCRIPTED).out.strip() == shown


def test_escape_sequences_do_not_reach_a_terminal(tmp_path: Path) -> None:
    text = "\x1b[2Jred\x1b]0;owned\x07 \x9b1A back\u202eward \x08 ok"
    spec = program(tmp_path / "p.py", f"def go():\n    return {text!r}\n")
    seen = _on_a_terminal([*COMMAND, "run", spec, *SCRIPTED], tmp_path)
    assert b"<U+001B>[2Jred" in seen and b"<U+202E>" in seen and "\x9b".encode() not in seen
    assert b"\x1b[2J" not in seen and b"\x07" not in seen and b"\x08" not in seen
    piped = subprocess.run(
        [*COMMAND, "run", spec, *SCRIPTED],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=environment(),
    )
    assert piped.stdout == text.encode() + b"\n"  # a pipe gets the result as it is


def _on_a_terminal(command: list[str], cwd: Path) -> bytes:
    """What a terminal of 80 columns gets to see on stdout."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env=environment(TERM="xterm", COLUMNS="80"),
    ) as running:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:  # the other side has closed
            pass
        assert running.wait(30) == 0
    os.close(ours)
    return seen


def test_a_terminal_shows_progress_without_colour(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with (
        fault_server("--rate", "slow:0.5=1") as url,
        subprocess.Popen(
            [*COMMAND, "run", "ask", "Hi", "--engine", url],
            stdout=subprocess.PIPE,
            stderr=theirs,
            cwd=tmp_path,
            env=environment(TERM="xterm", COLUMNS="80", NO_COLOR="1"),
        ) as running,
    ):
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:
            pass
        assert running.stdout is not None
        assert running.wait(30) == 0
        running.stdout.read()
    os.close(ours)
    assert b"0/1 calls" in seen and b"nlops/s" in seen and b"1 call in flight" in seen
    assert b"\x1b[3" not in seen  # no colour


def test_a_process_that_was_suspended_owes_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Plain()
    shown._next_s -= 1000
    for _ in range(3):
        shown.update(Counts(issued=1), 1200)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "1,200 tokens so far" in told


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    spec = program(tmp_path / "p.py", "def go():\n    return 'word ' * 100000\n")
    command = f"{' '.join(COMMAND)} run {spec} --engine scripted | head -c 10"
    ended = subprocess.run(
        command, shell=True, capture_output=True, check=False, cwd=tmp_path, env=environment()
    )
    assert ended.stdout == b"word word "
    assert b"Traceback" not in ended.stderr and b"BrokenPipe" not in ended.stderr


# -- bench, serve --------------------------------------------------------------------------------


def test_benches_are_listed_without_being_imported(nlpu: Terminal) -> None:
    before = set(sys.modules)
    assert "overhead" in nlpu("bench", "--help").out
    assert not {m for m in set(sys.modules) - before if m.startswith("nlpu.runtime.bench")}


def test_serve_tells_at_once_what_cannot_be(nlpu: Terminal) -> None:
    for words, message in (
        (("./none",), "there is no model at ./none"),
        (("m", "--port", "99999"), "--port is a number from 0 to 65535"),
        (("m", "--port", "-5"), "--port is a number from 0 to 65535"),
    ):
        ended = nlpu("serve", *words, "--json")
        assert ended.code == 2 and message in ended.err
        assert ended.json["status"] == "failed" and message in ended.json["error"]["message"]


def test_serve_passes_flags_on_and_says_what_is_missing(nlpu: Terminal) -> None:
    ended = nlpu("serve", "m", "--python", "/no/python", "--", "--tensor-parallel-size", "2")
    assert ended.code == 1 and "/no/python is not a Python that runs" in ended.err


def test_the_console_script_is_main() -> None:
    assert 'nlpu = "nlpu.runtime.terminal.__main__:main"' in (ROOT / "pyproject.toml").read_text()


def test_what_a_program_prints_goes_to_stderr(nlpu: Terminal, tmp_path: Path) -> None:
    body = "print('at import')\ndef go() -> str:\n    print('inside')\n    return 'r'\n"
    ended = nlpu("run", program(tmp_path / "chatty.py", body), *SCRIPTED, "--json")
    assert ended.json["result"] == "r"
    assert "at import" in ended.err
    assert "inside" in ended.err


def test_a_deadline_holds_for_a_program_that_is_busy_in_python(tmp_path: Path) -> None:
    busy = program(tmp_path / "busy.py", "def go() -> str:\n    while True:\n        pass\n")
    words = [*COMMAND, "run", busy, *SCRIPTED, "--seconds", "0.2", "--json"]
    ended = subprocess.run(
        words, capture_output=True, text=True, env=environment(), cwd=tmp_path, check=False
    )
    assert ended.returncode == 3
    told = json.loads(ended.stdout)
    assert told["status"] == "stopped" and "busy in Python" in told["error"]["message"]


def test_settings_that_mean_nothing_are_bad_usage(nlpu: Terminal, tmp_path: Path) -> None:
    ended = nlpu("run", "ask", "x", *SCRIPTED, "--model", "some")
    assert ended.code == 2 and "leave --model out" in ended.err
    ended = nlpu("run", "ask", "x", *SCRIPTED, "--tokens", "many")
    assert "'--tokens': it must be a whole number (see" in ended.err and ended.code == 2
    assert "'--seconds': it must be a number (" in nlpu("run", "ask", "--seconds", "1h").err
    file = tmp_path / "file"
    file.touch()
    ended = nlpu("runs", "--run-dir", str(file))
    assert ended.code == 2 and "is no directory" in ended.err


def test_a_full_device_behind_stdout_is_said_plainly(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*COMMAND, "run", "ask", "x", *SCRIPTED],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=tmp_path,
            check=False,
        )
    assert ended.returncode == 1
    assert "stdout cannot be written to: No space left" in ended.stderr
    assert "fault of nlpu" not in ended.stderr
