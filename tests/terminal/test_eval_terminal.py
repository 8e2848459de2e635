"""``nlpu eval``: cases in; tables, JSON and pages out; and the file of answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eval_terminal_kit import MINE, SCRIPTED, case, data, without_times
from terminal_fixture import Terminal, nlpu

from nlpu.eval.scores import Report, Row
from nlpu.runtime.eval.answers import add_answers, make_answers, read_answers
from nlpu.runtime.terminal.eval.score_page import page_of

__all__ = ["nlpu"]  # a fixture


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


def test_a_program_of_a_file_against_itself(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "dice.py").write_text(
        "from random import random\ndef dice(question: str, text: str) -> str:\n"
        "    return str(random())\n"
    )
    words = ("--data", data(tmp_path), *SCRIPTED)
    ended = nlpu("eval", "dice.py:dice", "--against", "dice.py:dice", *words)
    assert "dice and dice #2: nothing differs in 4 cases" in ended.out


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


def test_a_resumed_evaluation_writes_its_page_too(nlpu: Terminal, tmp_path: Path) -> None:
    words = ("eval", "answer", "--data", data(tmp_path), "--html", "page.html", *SCRIPTED)
    name = re.findall(r"nlpu resume (\w+)", nlpu(*words, "--calls", "1").err)[0]
    page = tmp_path / "page.html"
    assert "1 of 4 cases answered" in page.read_text()
    ended = nlpu("resume", name, "--calls", "9", "--html", "page.html")
    assert ended.code == 0 and "4 of 4 cases answered" in page.read_text()
    refused = nlpu("resume", name, "--html", "no/where.html")
    assert refused.code == 2 and "there is no folder no" in refused.err
    other = re.findall(r"run (\w+):", nlpu("run", "ask", "Hi", *SCRIPTED).err)[0]
    refused = nlpu("resume", other, "--html", "page.html")
    assert refused.code == 2 and f"nlpu show {other} --html FILE draws this run" in refused.err


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_asked(
    nlpu: Terminal, tmp_path: Path
) -> None:
    for place, why in ((tmp_path / "no" / "a.html", "there is no folder"), (tmp_path, "a folder")):
        ended = nlpu("eval", "answer", "--data", data(tmp_path), "--html", str(place), *SCRIPTED)
        assert ended.code == 2 and f"{place} cannot be written: " in ended.err and why in ended.err
        assert not nlpu("runs").out.strip()
