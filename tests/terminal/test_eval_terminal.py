"""``nlpu eval``: files in, tables, JSON and pages out; killed, resumed, replayed, remembered."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.request import Request, urlopen

import pytest
from journal_kit import Opened
from kit import said
from terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

from benchmarks.fake_vllm.answers import prompt_hash
from nlpu.errors import ProgramError, Usage
from nlpu.eval.scores import Report, Row
from nlpu.isa import answer
from nlpu.prompt.codec import messages_of
from nlpu.runtime.eval.answers import add_answers, make_answers, read_answers
from nlpu.runtime.journal.records import past_of
from nlpu.runtime.terminal.eval.outcome import evaluation_of
from nlpu.runtime.terminal.eval.score_page import page_of
from nlpu.runtime.terminal.run.trust import doubt_of, files_of
from nlpu.runtime.terminal.show.archive import find
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
MINE = """
from nlpu import nlop
@nlop(max_tokens=30, at_limit="trim")
def mine(question: str, text: str) -> str:
    \"\"\"Answer with one word of the text.\"\"\"
def asks(question: str, text: str) -> str:
    return mine(question, text)
def score(expected, content):
    return len(content) % 10 / 10
"""


def case(number: int, **more: Any) -> dict[str, Any]:
    operands = {"question": f"Who sent parcel {number}?", "text": f"Ann sent parcel {number}."}
    return {"id": f"a-{number}", "operands": operands, "expected": "Ann"} | more


def data(directory: Path, *cases: dict[str, Any]) -> str:
    path = directory / "cases.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in cases or map(case, range(4))))
    return str(path)


def without_times(report: dict[str, Any]) -> Any:
    """A report's JSON without what differs from run to run."""
    text = re.sub(r'"(seconds|latency_s)": (\[[^]]*\]|[\d.e-]+)', r'"\1": 0', json.dumps(report))
    return json.loads(text)


# -- what it prints --------------------------------------------------------------------------------


def test_a_table_on_stdout_all_else_on_stderr(nlpu: Terminal, tmp_path: Path) -> None:
    ended = nlpu("eval", "answer", "--data", data(tmp_path), *SCRIPTED)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[1].split()[:4] == ["answer", "0", "4", "0.0%"]
    assert "run " in ended.err and "4 calls" in ended.err and "wrong" in ended.out


def test_json_has_every_row(nlpu: Terminal, tmp_path: Path) -> None:
    told = nlpu("eval", "answer", "--data", data(tmp_path), "--json", *SCRIPTED).json
    report = Report.model_validate(told["result"])
    assert [row.id for row in report.rows] == ["a-0", "a-1", "a-2", "a-3"]
    assert told["result"]["interval"] == list(report.interval) and told["receipt"]["calls"] == 4


def test_an_op_against_itself(nlpu: Terminal, tmp_path: Path) -> None:
    ended = nlpu("eval", "answer", "--data", data(tmp_path), "--against", "answer", *SCRIPTED)
    assert "answer and answer #2: nothing differs in 4 cases" in ended.out
    assert "4 calls" in ended.err


def test_ops_programs_and_scores_of_a_file(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    words = ("--data", data(tmp_path), "--metric", "mine.py:score", "--json", *SCRIPTED)
    told = nlpu("eval", "mine.py:mine", "--against", "mine.py:asks", "--against", "answer", *words)
    report = Report.model_validate(told.json["result"])
    assert [each.name for each in (report, *report.others)] == ["mine", "asks", "answer"]
    assert told.json["receipt"]["calls"] == 8  # asks asks what mine is
    assert report.differences[0].other_words == 0
    assert {row.metric for row in report.rows} == {"score"}
    for words, message in (
        (("mine.py:mien",), "there is no 'mien' in mine.py; it has: mine, asks, score; name one"),
        (("anwser",), "no op or program is called 'anwser'; did you mean answer"),
        (("answer", "--metric", "bleu"), r"line 1 \(answer\): there is no metric 'bleu'"),
        (("mine.py:mine", "--metric", "mine.py:mine"), "there is no 'mine' in mine.py"),
        (("answer", "--models", "a,a"), "--models takes names that differ"),
        (("answer", "--models", "a", "--model", "b"), "leave --model out"),
        (("judge",), r"line 1 \(judge\): a text|true or false is expected"),
    ):
        ended = nlpu("eval", words[0], "--data", data(tmp_path), *words[1:], *SCRIPTED)
        assert ended.code == 2 and re.search(message, ended.err), (words, ended.err)


def test_cases_of_several_ops(nlpu: Terminal, tmp_path: Path) -> None:
    other = case(1, id="j-1", op="judge", expected=True)
    mixed = data(tmp_path, case(0, op="answer"), other)
    ended = nlpu("eval", "judge", "--data", mixed, *SCRIPTED)
    assert ended.code == 0 and f"1 of the 2 cases in {mixed} are of judge" in ended.err
    ended = nlpu("eval", "extract", "--data", mixed, *SCRIPTED)
    said = f"{mixed}, line 1 is a case of answer, and extract is asked: ask answer"
    assert ended.code == 2 and said in ended.err


def test_cases_of_another_op_are_not_asked(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    other = data(tmp_path, case(0, op="extract"), case(1, op="extract"))
    said = f"{other}, line 1 is a case of extract, and"
    for subject, name in (("answer", "answer"), ("classify", "classify"), ("mine.py:mine", "mine")):
        ended = nlpu("eval", subject, "--data", other, *SCRIPTED)
        assert ended.code == 2 and f"{said} {name} is asked" in ended.err
    mine = data(tmp_path, case(0, op="answer"))
    words = ("--data", mine, *SCRIPTED)
    assert nlpu("eval", "mine.py:asks", *words).code == 0  # a program
    assert nlpu("eval", "mine.py:mine", "--against", "answer", *words).code == 0


def test_bad_data_is_bad_usage(nlpu: Terminal, tmp_path: Path) -> None:
    ended = nlpu("eval", "answer", "--data", "nowhere.csv", *SCRIPTED, "--json")
    assert ended.code == 2 and ended.json["error"]["type"] == "Usage"
    bad = data(tmp_path, case(0), case(1, operands={"question": "Who?"}))
    ended = nlpu("eval", "answer", "--data", bad, *SCRIPTED)
    assert ended.code == 2 and f"{bad}, line 2 (answer): " in ended.err
    assert "'text' is missing" in ended.err
    (tmp_path / "twice.csv").write_text('items,query,expected\n"[{""a"": 1, ""a"": 2}]",x,a\n')
    (tmp_path / "mine.py").write_text("""
from nlpu import nlop
@nlop
def first(items: list[dict[str, int]], query: str) -> str:
    'Which?'
""")
    ended = nlpu("eval", "mine.py:first", "--data", "twice.csv", *SCRIPTED)
    assert ended.code == 2 and "line 2 (first): the key 'a' is given twice" in ended.err
    assert nlpu("runs", "--json").json == {"runs": []} or "no runs" in nlpu("runs").err


# -- a run like any other --------------------------------------------------------------------------


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
        "nlpu.engines.named_engine", lambda engine, name, key: Scripted(said, model=name)
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


def test_without_data_it_is_the_truth_table(nlpu: Terminal) -> None:
    for name, cases in (("judge", 4), ("classify", 2)):
        told = nlpu("eval", name, "--json", *SCRIPTED)
        assert (told.code, told.json["result"]["cases"]) == (0, cases)
        assert f"without --data it is {name}'s own truth table, of {cases} cases" in told.err
    assert "ask has no truth table: name the cases" in nlpu("eval", "ask", *SCRIPTED).err


# -- the file of answers ---------------------------------------------------------------------------


def test_answers_of_an_earlier_evaluation_are_not_asked_again(
    nlpu: Terminal, tmp_path: Path
) -> None:
    words = ("eval", "answer", "--cache", "known.jsonl", "--json", *SCRIPTED)
    first = nlpu(*words, "--data", data(tmp_path, case(0), case(1)))
    assert first.json["receipt"]["calls"] == 2 and "2 are new there" in first.err
    assert (tmp_path / "known.jsonl").stat().st_mode & 0o777 == 0o600
    more = nlpu(*words, "--data", data(tmp_path), "--against", "answer", "--run-dir", "elsewhere")
    assert (more.json["receipt"]["calls"], more.json["receipt"]["reused"]) == (2, 2)
    assert "2 answers were in" in more.err and "2 are new there" in more.err
    rows = more.json["result"]["rows"]
    assert without_times(rows[:2]) == without_times(first.json["result"]["rows"])
    again = nlpu(*words, "--data", data(tmp_path))
    assert again.json["receipt"]["calls"] == 0
    (tmp_path / "known.jsonl").unlink()  # what was taken is in the run's own journal
    replayed = nlpu("replay", again.json["run_id"], "--json")
    assert replayed.json["result"] == again.json["result"]


def test_a_draw_is_met_by_the_same_draw_alone(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "warm.py").write_text(MINE.replace("max_tokens=30", "max_tokens=30, temperature=1"))
    words = ("eval", "warm.py:mine", "--cache", "known.jsonl", "--json", *SCRIPTED)
    one = data(tmp_path, case(0), case(1))
    assert nlpu(*words, "--data", one).json["receipt"]["calls"] == 2
    assert nlpu(*words, "--data", one).json["receipt"]["calls"] == 0
    turned = data(tmp_path, case(0, id="x"), case(0, id="y"))
    assert nlpu(*words, "--data", turned).json["receipt"]["calls"] == 1


def test_a_resumed_evaluation_keeps_its_answers_too(nlpu: Terminal, tmp_path: Path) -> None:
    words = ("eval", "answer", "--cache", "known.jsonl", "--data", data(tmp_path), *SCRIPTED)
    ended = nlpu(*words, "--calls", "1")
    name = re.findall(r"nlpu resume (\w+)", ended.err)[0]
    assert len(read_answers(tmp_path / "known.jsonl")) == 1
    assert "3 are new there" in nlpu("resume", name, "--calls", "9").err
    assert nlpu(*words, "--json").json["receipt"]["calls"] == 0


def test_what_is_no_file_of_answers_is_left_alone(nlpu: Terminal, tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear Ann")
    words = ("eval", "answer", "--data", data(tmp_path), *SCRIPTED, "--cache")
    ended = nlpu(*words, str(other))
    assert ended.code == 2 and "is no file of answers that --cache made" in ended.err
    assert other.read_text() == "Dear Ann"
    assert nlpu(*words, str(tmp_path)).code == 2
    assert nlpu(*words, "no/where.jsonl").code == 2


def test_a_torn_line_does_not_count_and_a_false_one_is_named(tmp_path: Path) -> None:
    path = make_answers(tmp_path / "known.jsonl")
    key = "0" * 24
    assert add_answers(path, {key: ("a", [1, 2])}) == 1
    with path.open("ab") as file:
        file.write(b'["111')
    assert read_answers(path) == {key: ("a", [1, 2])}
    assert add_answers(path, {key: ("b", []), "1" * 24: ("c", [])}) == 1
    assert read_answers(path) == {key: ("a", [1, 2]), "1" * 24: ("c", [])}
    for line in (b'["x", "a", []]\n', b"[]\n", b'["%b", 7, []]\n' % key.encode(), b"{\n"):
        whole = path.read_bytes()
        path.write_bytes(whole + line)
        with pytest.raises(Exception, match="line 4 is no answer: remove the line"):
            read_answers(path)
        path.write_bytes(whole)


# -- the page --------------------------------------------------------------------------------------


def test_a_page_escapes_everything_and_opens_at_the_wrong_answers(
    nlpu: Terminal, tmp_path: Path
) -> None:
    evil = "</pre><script>alert(1)</script>\u202e\"'&"
    rows = (
        Row(id="good", score=1, answer="ok", expected="ok"),
        Row(id=evil, score=0, answer=evil, expected=evil, asked={evil: evil}, tags={evil: evil}),
        Row(id="bad", score=0, answer="", expected="x", error=evil, metric=evil),
    )
    other = Report(
        name=evil, model=evil, cases=3, rows=(rows[0].model_copy(update={"score": 0.0}),)
    )
    report = Report(name=evil, model=evil, cases=3, rows=rows, others=(other,), stopped=evil)
    page = page_of(report, evil)
    assert "<script" not in page and "\u202e" not in page and "&lt;script&gt;" in page
    assert page.count("</pre>") == page.count("<pre>")
    assert "http://" not in page and "https://" not in page and "default-src 'none'" in page
    assert page.index('id="wrong"') < page.index('id="right"')
    wrong = page[page.index('id="wrong"') : page.index('id="right"')]
    assert (
        wrong.startswith('id="wrong" tabindex="-1" autofocus')
        and wrong.count("<details open>") == 2
    )
    assert "<details open>" not in page[page.index('id="right"') :]
    ended = nlpu("eval", "answer", "--data", data(tmp_path), "--html", "page.html", *SCRIPTED)
    assert "the report is in page.html" in ended.err
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600
    assert "Wrong: 4" in (tmp_path / "page.html").read_text()


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


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_asked(
    nlpu: Terminal, tmp_path: Path
) -> None:
    for place, why in ((tmp_path / "no" / "a.html", "there is no folder"), (tmp_path, "a folder")):
        ended = nlpu("eval", "answer", "--data", data(tmp_path), "--html", str(place), *SCRIPTED)
        assert ended.code == 2 and f"{place} cannot be written: " in ended.err and why in ended.err
        assert not nlpu("runs").out.strip()
