"""``nlpu eval`` is a run like any other: stopped, resumed, replayed, changed and killed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from signal import SIGKILL
from urllib.request import Request, urlopen

import pytest
from eval_terminal_kit import MINE, SCRIPTED, case, data, without_times
from journal_kit import Opened
from kit import said
from terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

from benchmarks.fake_vllm.answers import prompt_hash
from nlpu.errors import ProgramError, Usage
from nlpu.eval.scores import Report
from nlpu.isa import answer
from nlpu.prompt.messages import messages_of
from nlpu.runtime.journal.records import past_of
from nlpu.runtime.terminal.eval.outcome import evaluation_of
from nlpu.runtime.terminal.run.trust import doubt_of, files_of
from nlpu.runtime.terminal.show.archive import find
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture


def test_a_budget_leaves_what_was_done(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = ("eval", "mine.py:asks", "--data", data(tmp_path), *SCRIPTED)
    whole = nlpu(*words, "--json").json["result"]
    ended = nlpu(*words, "--calls", "3")
    assert (ended.code, ended.out) == (3, "")
    assert "3 of 4 cases are answered" in ended.err and "asks" in ended.err
    name = re.findall(r"nlpu resume (\w+)", ended.err)[0]
    part = nlpu(
        "eval", "mine.py:asks", "--data", data(tmp_path), *SCRIPTED, "--calls", "1", "--json"
    )
    assert part.json["status"] == "stopped" and len(part.json["partial"]["rows"]) == 1
    (tmp_path / "cases.jsonl").unlink()  # its cases are in the journal
    done = nlpu("resume", name, "--calls", "9", "--json").json
    assert without_times(done["result"]) == without_times(whole)
    assert (done["receipt"]["calls"], done["receipt"]["reused"]) == (1, 3)
    replayed = nlpu("replay", name, "--json").json
    assert replayed["result"] == done["result"] and replayed["receipt"]["calls"] == 0
    shown = nlpu("show", name)
    assert shown.code == 0 and "mine" in shown.out
    assert nlpu("show", name, "--html", "run.html").code == 0
    assert "partial" not in nlpu("show", name, "--trace", "run.trace").err


def test_a_changed_file_is_not_run_unasked(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = ("eval", "mine.py:mine", "--data", data(tmp_path), *SCRIPTED, "--calls", "1")
    name = re.findall(r"nlpu resume (\w+)", nlpu(*words).err)[0]
    (tmp_path / "mine.py").write_text("raise SystemExit('it was run')" + MINE)
    ended = nlpu("resume", name, "--calls", "9")
    assert ended.code == 4 and "mine.py" in ended.err and "not what it ran before" in ended.err
    assert "it was run" not in ended.err
    (tmp_path / "mine.py").write_text(MINE + "\n")
    assert nlpu("resume", name, "--calls", "9", "--changed").code == 0


def test_several_models_are_compared_and_resumed(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nlpu.engines.registry.named_engine", lambda engine, name, key: Scripted(said, model=name)
    )
    words = ("--data", data(tmp_path), "--models", "a,b", "--engine", "http://127.0.0.1:1")
    ended = nlpu("eval", "answer", *words, "--calls", "5", "--price", "1,2")
    assert ended.code == 3, ended.err
    name = re.findall(r"nlpu resume (\w+)", ended.err)[0]
    done = nlpu("resume", name, "--calls", "99", "--json")
    assert done.code == 0, done.err
    report = Report.model_validate(done.json["result"])
    assert [each.name for each in (report, *report.others)] == ["answer on a", "answer on b"]
    assert [each.model for each in (report, *report.others)] == ["a", "b"]
    assert done.json["receipt"]["calls"] == 3 and done.json["receipt"]["money"] > 0
    refused = nlpu("resume", name, "--model", "c")
    assert refused.code == 2 and "has models of its own: a, b" in refused.err
    assert nlpu("replay", name, "--json").json["result"] == done.json["result"]
    assert "partial" not in nlpu("show", name, "--trace", "run.trace").err
    program = nlpu("eval", "ask", *words)
    assert program.code == 2 and "names its processors itself" in program.err


def test_another_instruction_is_evaluated_on_the_same_cases(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = ("eval", "mine.py:mine", "--against", "answer", "--data", data(tmp_path), *SCRIPTED)
    first = nlpu(*words, "--json").json
    (tmp_path / "better.txt").write_text("Answer with two words of the text.")
    again = nlpu("run", "--from", first["run_id"], "--set", "mine=better.txt", "--json")
    assert again.code == 0, again.err
    report = Report.model_validate(again.json["result"])
    assert (again.json["receipt"]["calls"], again.json["receipt"]["reused"]) == (4, 4)
    assert without_times(again.json["result"]["others"]) == without_times(first["result"]["others"])
    assert report.rows[0].answer != first["result"]["rows"][0]["answer"]
    assert nlpu("replay", again.json["run_id"], "--json").json["result"] == again.json["result"]


def test_a_journal_names_all_files_that_it_would_run(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = ("--data", data(tmp_path), "--metric", "mine.py:score", "--json", *SCRIPTED)
    record = find(tmp_path / ".nlpu/runs", nlpu("eval", "answer", *words).json["run_id"])
    assert doubt_of(record, files_of(record)) is None and record.title == "eval answer"
    facts = record.past.header["eval"]
    facts["files"].clear()  # as somebody might write it who wants a file to be run unseen
    doubt = doubt_of(record, files_of(record))
    assert doubt is not None and doubt.foreign and doubt.differing == (tmp_path / "mine.py",)
    with pytest.raises(ProgramError, match="changed while it was looked at"):
        evaluation_of(record, {tmp_path / "mine.py": "0" * 32})
    for subjects in ([], ["gone.py:op"]):
        facts["subjects"] = subjects
        with pytest.raises(Usage, match=r"not say what it evaluates|cannot be found"):
            evaluation_of(record, {tmp_path / "mine.py": "", Path("gone.py"): ""})


# -- kills -----------------------------------------------------------------------------------------


class Life:
    """One evaluation by processes that are killed, on a server that logs what it is sent."""

    def __init__(self, url: str, log: Path, directory: Path) -> None:
        self.url, self.log, self.directory = url, log, directory
        self.runs = directory / "runs"

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, *words, "--run-dir", str(self.runs), "--json"],
            cwd=self.directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def sent(self) -> list[str]:
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        return [json.loads(line)["prompt_hash"] for line in lines]

    def kill_at(self, process: subprocess.Popen[bytes], answers: int) -> None:
        """Kill it when its journal has that many answers."""
        deadline = time.monotonic() + 60
        while len(self.answered()[1]) < answers and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(SIGKILL)
        process.communicate()
        assert process.returncode == -SIGKILL, "it ended before it was killed"
        self.settle()

    def settle(self) -> None:
        """Return when the server has noticed the death."""
        quiet, deadline = 0, time.monotonic() + 60
        while quiet < 3:
            assert time.monotonic() < deadline
            ask = Request(f"{self.url}/_fault", data=b"{}", method="POST")
            with urlopen(ask) as reply:
                quiet = 0 if json.loads(reply.read())["in_flight"] else quiet + 1

    def answered(self) -> tuple[str, set[str]]:
        """The run's name, and the hashes of the prompts that its journal has results for."""
        path = next(self.runs.glob("*.db"), None)
        if path is None:
            return "", set()
        journal = Opened(path, read_only=True)
        journal.close()
        past = past_of(journal.rows)
        found = set()
        for call in past.calls.values():
            if call.key in past.outcomes:
                turns = messages_of(answer, [journal.texts[number] for number in call.texts])
                turned = [{"role": turn.role, "content": turn.content} for turn in turns]
                found.add(prompt_hash({"messages": turned}))
        return path.stem, found


def test_killed_twice_it_ends_with_the_same_table(tmp_path: Path) -> None:
    log = tmp_path / "sent.jsonl"
    cases = data(tmp_path, *map(case, range(60)))
    pace = [f"slow:{seconds}=0.25" for seconds in (0.05, 0.3, 0.6, 1.5)]
    pace = [word for each in pace for word in ("--rate", each)]
    with fault_server("--window", "100000", "--log", str(log), *pace) as url:
        whole = Life(url, log, tmp_path / "whole")
        whole.directory.mkdir()
        words = ("eval", "answer", "--data", cases, "--engine", url)
        out, err = whole.command(*words).communicate()
        expected = json.loads(out)["result"]
        assert len(expected["rows"]) == 60, err
        life = Life(url, log, tmp_path / "killed")
        life.directory.mkdir()
        before = len(life.sent())
        life.kill_at(life.command(*words), 10)
        name, answered = life.answered()
        second = len(life.sent())
        life.kill_at(life.command("resume", name), len(answered) + 5)
        assert not answered & set(life.sent()[second:])
        _, answered = life.answered()
        third = len(life.sent())
        out, err = life.command("resume", name).communicate()
        assert not answered & set(life.sent()[third:])
        told = json.loads(out)
        assert without_times(told["result"]) == without_times(expected), err
        assert told["receipt"]["reused"] == len(answered) > 0
        assert len(set(life.sent()[before:])) == 60
