"""``nlpu run --each``: the results that it writes, how it goes on, and how it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from each_kit import PROGRAM, SCRIPTED, each, folder, lines, texts
from terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

__all__ = ["folder", "nlpu"]  # fixtures


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
