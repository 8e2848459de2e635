"""``nlpu run --each``: what it reads and writes, how it is stopped, what it says to bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

__all__ = ["nlpu"]  # a fixture
PROGRAM = '''
from nlpu import nlop

@nlop(max_tokens=20, at_limit="trim")
def echo(text: str) -> str:
    """Repeat the text."""

def go(text: str, topic: str = "rain", times: int = 1):
    if text == "bad":
        raise ValueError("it is bad")
    return {"text": text, "topic": topic, "times": times, "said": len(str(echo(text))) > 0}

def takes(record: dict[str, int], flag: bool = False):
    return [record, flag]

def odd(text: str):
    if text == "b":
        raise ValueError("\\udc80")
    return {"nan": [float("nan"), -float("inf")], "text": "NaN"}

class Foreign:
    def __str__(self):
        return "a foreign object"

def mixed(text: str):
    return {"text": text, "raw": {"a": b"\\x89PNG", "b": "\\ud800", "c": Foreign()}[text]}

def busy(text: str):
    while True:
        pass
'''
SCRIPTED = ("--engine", "scripted")


@pytest.fixture
def folder(nlpu: Terminal, tmp_path: Path) -> Path:
    """The working directory, with the programs."""
    (tmp_path / "mine.py").write_text(PROGRAM)
    return tmp_path


def each(*args: str, program: str = "go") -> tuple[str, ...]:
    return ("run", f"mine.py:{program}", *SCRIPTED, "--each", *args)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def texts(text: str) -> list[Any]:
    return [line["result"] and line["result"]["text"] for line in lines(text)]


# -- inputs ----------------------------------------------------------------------------------------


def test_lines_of_json_with_what_editors_do_to_them(nlpu: Terminal, folder: Path) -> None:
    """A byte order mark, Windows' line ends, blank lines, no end of the last; equal inputs."""
    body = b'\xef\xbb\xbf{"text": "a", "times": 3}\r\n\r\n   \n"b"\r\n{"text": "a", "times": 3}'
    (folder / "in.jsonl").write_bytes(body)
    ended = nlpu(*each("in.jsonl"))
    assert ended.code == 0 and [line["index"] for line in lines(ended.out)] == [0, 1, 2]
    assert [line["result"]["times"] for line in lines(ended.out)] == [3, 1, 3]
    assert texts(ended.out) == ["a", "b", "a"] and "of 3: 3 done" in ended.err
    assert len({line["run"] for line in lines(ended.out)}) == 3


def test_rows_of_a_table(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.csv").write_bytes(b'id,text,times\r\n7,"a, ""q""\nline two",3\r\n8,b,\r\n')
    ended = nlpu(*each("in.csv"))
    assert texts(ended.out) == ['a, "q"\nline two', "b"]
    assert [(line["id"], line["result"]["times"]) for line in lines(ended.out)] == [
        ("7", 3),
        ("8", 1),
    ]
    (folder / "in.tsv").write_text("text\ttimes\nc\t4\n")
    assert lines(nlpu(*each("in.tsv")).out)[0]["result"]["times"] == 4


def test_files_of_a_folder(nlpu: Terminal, folder: Path) -> None:
    """Below, too; of one name in two folders; hidden ones are not read, which is said."""
    for name in ("in/b/a.txt", "in/a.txt", "in/.git/c", "in/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    ended = nlpu(*each("in"))
    assert [line["id"] for line in lines(ended.out)] == ["a.txt", "b/a.txt"]
    assert texts(ended.out) == ["in/a.txt", "in/b/a.txt"] and "2 hidden files" in ended.err


def test_stdin_and_what_is_the_same_for_all(nlpu: Terminal, folder: Path) -> None:
    ended = nlpu(*each("-", "topic=snow"), stdin='"a"\n{"text": "b"}\n')
    assert [line["result"]["topic"] for line in lines(ended.out)] == ["snow", "snow"]
    args = ("run", "mine.py:go", "a", *SCRIPTED, "--each", "-")
    assert lines(nlpu(*args, stdin='{"times": 2}').out)[0]["result"]["text"] == "a"


def test_another_stream_under_the_same_command_is_told_before_it_costs(
    nlpu: Terminal, folder: Path
) -> None:
    """Its inputs tell as they come: where one of the first is new, it is another stream."""
    words = each("-", "--out", "out.jsonl", "--json")
    first = nlpu(*words, stdin='"a"\n"b"\n"a"\n').json
    assert (first["status"], first["done"], first["cost"]["calls"]) == ("done", 3, 3)
    kept = (folder / "out.jsonl").read_bytes()
    other = nlpu(*words, stdin='"a"\n"c"\n')
    assert other.code == 2 and other.json["status"] == "stopped"
    assert other.err.startswith(
        "error: input 2 on stdin is none of the 3 that this batch began with, so it is another "
        "stream: with --changed it goes on in the same batch; or name another --out"
    )
    assert (folder / "out.jsonl").read_bytes() == kept
    assert nlpu("runs", "--json").json[0]["arguments"] == "3 inputs", "no run was begun"
    again = nlpu(*words, stdin='"a"\n"b"\n"a"\n"d"\n').json  # it has come further
    assert (again["done"], again["known"], again["cost"]["calls"]) == (4, 3, 4)
    mine = nlpu(*each("-", "--out", "mine.jsonl", "--json"), stdin='"a"\n"c"\n').json
    assert (mine["done"], mine["known"], mine["cost"]["calls"]) == (2, 0, 2)
    both = nlpu(*words, "--changed", stdin='"c"\n"a"\n').json
    assert (both["done"], both["known"]) == (2, 1)


def test_values_that_are_no_texts(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"record": {"a": 1}, "flag": true}\n{"record": {}}\n')
    found = lines(nlpu(*each("in.jsonl", program="takes")).out)
    assert [line["result"] for line in found] == [[{"a": 1}, True], [{}, False]]


def test_what_a_file_gives_is_nobody_s_word(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    run = lines(nlpu(*each("in.jsonl")).out)[1]["run"]
    assert "the result is untrusted" in nlpu("show", run, "--labels").out


BAD = [
    (b'"a"\n{"text": nope}\n', "in.jsonl:2 is no line of JSON (Expecting value at column 10)"),
    (b'{"text": "a", "text": "b"}\n', "in.jsonl:1 is no line of JSON (the key 'text' is given"),
    (b'{"text": NaN}\n', "NaN is no JSON"),
    (b'["a", "b"]\n', "in.jsonl:1 is a list, and a line is one input"),
    (b'{"txt": "a"}\n', "in.jsonl:1: the column 'txt' is no parameter of the program. Usage: go("),
    (b'{"times": 5}\n', "in.jsonl:1: 'text' is missing"),
    (b'{"text": 5}\n', "in.jsonl:1: 'text' must be text, not 5"),
    (b'{"text": null}\n', "in.jsonl:1: 'text' is null, and must be given"),
    (b'{"text": "a", "times": "many"}\n', "in.jsonl:1: 'times' must be int, not 'many'"),
    (b'{"text": "\\ud800"}\n', "in.jsonl:1: 'text' has a lone surrogate"),
    (b"true\n", "in.jsonl:1: 'text' must be text, not True"),
    (b'"caf\xe9"\n', "in.jsonl:1 is not UTF-8 text (byte 4 is 0xe9); convert it"),
    (b"\xff\xfe\x22\x00", "in.jsonl is UTF-16; convert it first"),
    (b"\n \n", "in.jsonl holds no inputs"),
    (b'"' + b"x" * (17 << 20) + b'"', "in.jsonl:1 is longer than 16 MB"),
    (b'{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}', "the id '1' is that of in.jsonl:1, too"),
    (b'{"id": 1.5, "text": "a"}\n', "in.jsonl:1: 'id' must be a text or a whole number, not 1.5"),
    (b'{"id": null, "text": "a"}\n', "'id' must be a text or a whole number, not null"),
    (b'{"id": {"a": 1}, "text": "a"}\n', "'id' must be a text or a whole number, not {\"a\": 1}"),
    (b"[" * 100_000, "in.jsonl:1 is no line of JSON"),
]


@pytest.mark.parametrize(("body", "words"), BAD)
def test_what_is_no_input_is_told_with_its_line(
    nlpu: Terminal, folder: Path, body: bytes, words: str
) -> None:
    (folder / "in.jsonl").write_bytes(body)
    ended = nlpu(*each("in.jsonl"))
    assert (ended.code, ended.out) == (2, "") and words in ended.err
    assert len(ended.err) < 600 and not (folder / ".nlpu").exists()  # before anything was asked


TABLES = [
    ("in.csv", b"text,text\na,b\n", "two columns are called 'text'"),
    (
        "in.csv",
        b"text,times\na,1,2\n",
        "in.csv:2 has 3 cells, and there are 2 columns (text",
    ),
    ("in.csv", b'text\n"a\n', "in.csv:2 is no row of a table"),
    ("in.csv", b"text\ncaf\xe9\n", "in.csv:2 is not UTF-8 text (byte 3 is 0xe9)"),
    ("in.csv", b"text;times\na;1\n", "names one column, 'text;times'; columns are"),
    ("in.csv", b"", "in.csv is empty"),
    ("in.csv", b"text,\na,b\n", "one of them has no name"),
    ("in.csv", b"text,times\na,many\n", "in.csv:2: 'times' must be int, not 'many'"),
    ("in/a.png", b"\x89PNG\0\0", "in/a.png is a binary file; convert it"),
    ("in/a.txt", b"", "in/a.txt is empty"),
]


@pytest.mark.parametrize(("name", "body", "words"), TABLES)
def test_what_is_no_row_or_file(
    nlpu: Terminal, folder: Path, name: str, body: bytes, words: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(body)
    ended = nlpu(*each(name.partition("/")[0]))
    assert (ended.code, ended.out) == (2, "") and words in ended.err


def test_several_that_are_none_are_told_at_once(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('nope\n"a"\n{"txt": 1}\n' + "nope\n" * 9)
    told = nlpu(*each("in.jsonl")).err
    assert [f"in.jsonl:{line}" in told for line in (1, 2, 3, 4, 9)] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_what_does_not_go_together(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "some").mkdir()
    (folder / "some" / "a.txt").write_text("a")
    cases = [
        (each("in.jsonl", "--out", "in.jsonl"), "in.jsonl is the file of the inputs"),
        (each("in.jsonl", "--out", "nowhere/out"), "cannot write nowhere/out"),
        (each("in.jsonl", "--out", "."), "is not a file"),
        (each("some", "--out", "some/out"), "lies among the inputs"),
        (each("in.jsonl", "--retry", "all"), "--retry takes 'failed'"),
        (each("in.jsonl", "--dry"), "--dry is about one run"),
        (each("in.jsonl", "--at-once", "0"), "--at-once must be a whole number more than 0"),
        (each("in.jsonl", "text=b", "text=c"), "'text' is given twice"),
        (each("nowhere.jsonl"), "there is no nowhere.jsonl"),
        (("run", "nothing", *SCRIPTED, "--each", "in.jsonl"), "no program is called 'nothing'"),
        (("run", "mine.py:go", "a", *SCRIPTED, "--out", "x"), "--out goes with --each"),
        (("run", "mine.py:go", "-", *SCRIPTED, "--each", "-"), "stdin ('-') can be given once"),
        (each("in.jsonl", "--json"), "name a file for the results with --out"),
    ]
    for args, words in cases:
        ended = nlpu(*args)
        assert ended.code == 2 and words in ended.err, (args, ended)


# -- results ---------------------------------------------------------------------------------------


def test_failures_are_listed_with_their_reason_and_run_again(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"id": "x", "text": "bad"}\n"b"\n')
    command = each("in.jsonl", "--out", "out.jsonl")
    ended = nlpu(*command)
    assert ended.code == 1 and not ended.out and not (folder / "out.jsonl.part").exists()
    bad, good = lines((folder / "out.jsonl").read_text())
    assert bad["status"] == "failed" and bad["result"] is None and good["error"] is None
    assert bad["error"]["type"] == "ProgramError" and "it is bad" in bad["error"]["message"]
    assert "input 1 (x): ProgramError" in ended.err and "--retry failed" in ended.err
    (folder / "mine.py").write_text(PROGRAM.replace('== "bad"', '== "worse"'))
    assert "the program of the batch" in nlpu(*command, "--retry", "failed").err
    ended = nlpu(*command, "--retry", "failed", "--changed", "--json")
    assert ended.code == 0 and ended.json["done"] == 2 and ended.json["known"] == 1
    assert texts((folder / "out.jsonl").read_text()) == ["bad", "b"]


def test_what_lost_attempts_may_have_taken_is_told(nlpu: Terminal, folder: Path) -> None:
    """They count against the budget, and no line of the results has them."""
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    with fault_server("--script", "reset") as url:
        command = ("run", "mine.py:go", "--engine", url, "--each", "in.jsonl", "--out", "out.jsonl")
        ended = nlpu(*command, "--calls", "3", "--json")
        assert nlpu(*command, "--calls", "3").code == 0  # in later lives, too
    assert ended.code == 0 and ended.json["cost"]["calls"] == 2
    assert ended.json["lost"]["calls"] == 1 and ended.json["lost"]["nlops"] > 0
    assert "beside these the answers of 1 attempt were lost" in ended.err


def test_a_failure_that_was_gone_on_with_alone_is_taken_up(nlpu: Terminal, folder: Path) -> None:
    broken = '== "bad" and __import__("os").path.exists("broken")'
    (folder / "mine.py").write_text(PROGRAM.replace('== "bad"', broken))
    (folder / "in.jsonl").write_text('"a"\n"bad"\n')
    (folder / "broken").touch()
    command = each("in.jsonl", "--out", "out.jsonl")
    assert nlpu(*command).code == 1
    (folder / "broken").unlink()
    assert nlpu(*command).code == 1  # who repaired what is for them to say: --retry, or the run
    run = lines((folder / "out.jsonl").read_text())[1]["run"]
    assert nlpu("resume", run).code == 0
    ended = nlpu(*command, "--json")
    assert (ended.code, ended.json["done"], ended.json["known"]) == (0, 2, 1)
    assert texts((folder / "out.jsonl").read_text()) == ["a", "bad"]


def test_the_same_command_asks_nothing_again_and_another_is_another_batch(
    nlpu: Terminal, folder: Path
) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    one, two = (nlpu(*each("in.jsonl")) for _ in range(2))
    assert one.out == two.out and "2 of them before" in two.err
    assert "before" not in nlpu(*each("in.jsonl", "topic=snow")).err
    assert "before" not in nlpu(*each("in.jsonl", "--out", "out.jsonl")).err
    found = nlpu("runs", "--json").json
    assert sorted((each["id"][-2:], each["result"]) for each in found) == [(".*", "2 done")] * 3
    assert len(nlpu("runs", "--json", "--all").json) == 6


def test_inputs_that_changed_are_told_of_and_results_are_those_of_their_inputs(
    nlpu: Terminal, folder: Path
) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    command = each("in.jsonl", "--out", "out.jsonl")
    assert nlpu(*command).code == 0
    (folder / "in.jsonl").write_text('"c"\n"b"\n"a"\n')
    ended = nlpu(*command)
    assert ended.code == 2 and "it had 2 inputs, and has 3" in ended.err
    assert texts((folder / "out.jsonl").read_text()) == ["a", "b"]
    ended = nlpu(*command, "--changed")
    assert "2 of them before" in ended.err
    assert texts((folder / "out.jsonl").read_text()) == ["c", "b", "a"]


def test_a_file_that_is_not_this_batch_s_is_not_written_over(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "out.jsonl").write_text("mine\n")
    ended = nlpu(*each("in.jsonl", "--out", "out.jsonl"))
    assert ended.code == 2 and "not as this batch left it" in ended.err
    assert (folder / "out.jsonl").read_text() == "mine\n"
    assert not (folder / "out.jsonl.part").exists()


def test_one_run_of_a_batch_is_a_run_like_any_other(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    line = lines(nlpu(*each("in.jsonl")).out)[1]
    shown = nlpu("show", line["run"], "--json").json
    assert shown["status"] == "done" and shown["arguments"] == [["b"], {}]
    ended = nlpu("resume", line["run"], "--json")
    assert ended.json["result"] == line["result"] and ended.json["receipt"]["calls"] == 0


def test_a_budget_stops_the_batch_and_a_larger_one_goes_on(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text("".join(f'"{number}"\n' for number in range(9)))
    ended = nlpu(*each("in.jsonl", "--out", "out.jsonl", "--calls", "4", "--json"))
    assert ended.code == 3 and ended.json["status"] == "stopped" and ended.json["done"] == 4
    assert (
        ended.json["error"]["type"] == "BudgetExceeded" and "with a larger --calls: " in ended.err
    )
    assert not (folder / "out.jsonl").exists()
    ended = nlpu(*each("in.jsonl", "--out", "out.jsonl", "--calls", "9", "--json"))
    assert (ended.code, ended.json["done"], ended.json["cost"]["calls"]) == (0, 9, 9)


def test_at_once_can_be_set(nlpu: Terminal, folder: Path) -> None:
    (folder / "nlpu.toml").write_text("at_once = 'three'\n")
    (folder / "in.jsonl").write_text('"a"\n')
    assert "at_once must be a whole number" in nlpu(*each("in.jsonl")).err
    (folder / "nlpu.toml").write_text("at_once = 3\n")
    assert nlpu(*each("in.jsonl")).code == 0


def test_lines_are_json_whatever_programs_give(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    assert nlpu(*each("in.jsonl", "--out", "out.jsonl", program="odd")).code == 1
    text = (folder / "out.jsonl").read_text()
    assert '"result":{"nan":["NaN","-Infinity"],"text":"NaN"}' in text
    assert "\udc80" in lines(text)[1]["error"]["message"]


def test_a_program_that_is_busy_does_not_outlast_the_seconds(folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    args = ("run", "mine.py:busy", *SCRIPTED, "--each", "in.jsonl", "--seconds", "0.2", "--json")
    ended = subprocess.run(
        [*COMMAND, *args, "--out", "out"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3 and "busy in Python" in ended.stderr
    assert json.loads(ended.stdout)["error"]["type"] == "DeadlineExceeded"


def test_a_forecast_reads_the_runs_of_batches(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    assert nlpu(*each("in.jsonl")).code == 0
    ended = nlpu("run", "mine.py:go", "c", *SCRIPTED, "--dry")
    assert ended.code == 0 and "2 earlier runs, 2 calls" in ended.out


def test_the_name_of_a_batch_in_the_list_shows_its_runs(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    runs = {line["run"] for line in lines(nlpu(*each("in.jsonl")).out)}
    nlpu("run", "mine.py:go", "c", *SCRIPTED)
    (name,) = {run["id"] for run in nlpu("runs", "--json").json if run["id"].endswith(".*")}
    assert {run["id"] for run in nlpu("show", name, "--json").json} == runs
    assert '("a")' in nlpu("show", name).out
    for args in (("show", name, "--labels"), ("resume", name), ("show", name, name)):
        ended = nlpu(*args)
        assert ended.code == 2 and "are the runs of a batch: nlpu show" in ended.err
    assert "no run in" in nlpu("show", "nothing.*").err


def test_a_start_that_is_refused_leaves_no_part(nlpu: Terminal, folder: Path) -> None:
    """Not of one that an earlier start left, either."""
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "out.jsonl").write_text("mine\n")
    (folder / "out.jsonl.part").write_text("some lines\n")
    assert nlpu(*each("in.jsonl", "--out", "out.jsonl")).code == 2
    assert not (folder / "out.jsonl.part").exists()


def test_what_a_database_cannot_is_said_before_anything_is_fetched(
    nlpu: Terminal, folder: Path
) -> None:
    (folder / "in.jsonl").write_text('"a"\n')
    model = ("--engine", "local", "--model", "none.gguf")
    database = ("--run-dir", "postgresql://nobody@localhost:1/runs")
    ended = nlpu("run", "mine.py:go", "--each", "-", *model, *database)
    assert ended.code == 2 and "--each: - holds no inputs" in ended.err
    ended = nlpu("run", "mine.py:go", "--each", "-", *model, *database, stdin="a\n")
    assert ended.code == 2 and "stdin:1 is no line of JSON" in ended.err
    ended = nlpu("run", "mine.py:go", "--each", "in.jsonl", *model, "--workers", "2")
    assert ended.code == 2 and "they share a batch in a database" in ended.err


# -- stopping --------------------------------------------------------------------------------------


def started(folder: Path, url: str) -> subprocess.Popen[str]:
    """The command as a process, once it has written its first line."""
    args = ("run", "mine.py:go", "--each", "in.jsonl", "--out", "out.jsonl", "--engine", url)
    process = subprocess.Popen(
        [*COMMAND, *args, "--at-once", "2"],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    part, end = folder / "out.jsonl.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    return process


def test_ctrl_c_stops_it_and_a_second_process_waits_its_turn(folder: Path) -> None:
    (folder / "in.jsonl").write_text("".join(f'"{number}"\n' for number in range(12)))
    with fault_server("--rate", "slow:1.5=1") as url, started(folder, url) as process:
        args = ("run", "mine.py:go", "--each", "in.jsonl", "--out", "out.jsonl", "--engine", url)
        other = subprocess.run(
            [*COMMAND, *args],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert other.returncode == 1 and "another process is writing out.jsonl.part" in other.stderr
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130 and not out and "Traceback" not in err
        assert "interrupted" in err and "the same command again" in err
        assert 1 <= len(lines((folder / "out.jsonl.part").read_text())) < 12
        again = subprocess.run(
            [*COMMAND, *args],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert again.returncode == 0 and "of them before" in again.stderr
    assert texts((folder / "out.jsonl").read_text()) == [str(number) for number in range(12)]


def test_each_result_is_the_json_of_a_single_run(nlpu: Terminal, folder: Path) -> None:
    """Of what is no plain data, too; what a single run cannot print fails its input alone."""
    (folder / "in.jsonl").write_text('"a"\n"b"\n"c"\n')
    one, *others = lines(nlpu(*each("in.jsonl", program="mixed")).out)
    assert one["status"] == "failed" and "result['raw'] cannot be kept" in one["error"]["message"]
    for line in others:
        single = nlpu("run", "mine.py:mixed", line["result"]["text"], *SCRIPTED, "--json")
        assert line["result"] == json.loads(single.out)["result"] and line["status"] == "done"
