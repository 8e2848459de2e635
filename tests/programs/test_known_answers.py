"""``benchmarks/known_answers.py``: its cases fit the programs, its checks hold and fail."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nlpu.eval.questions import questions
from nlpu.programs.answer import Answer, Citation
from nlpu.programs.compile import Compiled
from nlpu.programs.kin import Kin, Kinship
from nlpu.programs.react import Trace
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted, Seen

FILE = Path(__file__).parents[2] / "benchmarks" / "known_answers.py"
LEAST = {"answer": 30, "react": 20, "kin": 20, "compile": 20, "converse": 20}
MODEL = "qwen2.5-coder-0.5b"
NEVER_S = float("inf")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("known_answers", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", LEAST)
def test_cases_are_enough_and_fit_the_program(bench: ModuleType, name: str) -> None:
    subject = bench.subjects()[name]
    assert len(questions(subject.program, subject.cases, subject.metric)) >= LEAST[name]
    asked = {json.dumps(case.operands, sort_keys=True) for case in subject.cases}
    assert len(asked) == len(subject.cases)


@pytest.mark.parametrize("name", ["answer", "react", "compile", "converse"])
def test_what_is_asked_is_in_what_is_given(bench: ModuleType, name: str) -> None:
    for case in bench.subjects()[name].cases:
        words = case.expected if name == "converse" else case.expected.get("words", {})
        given = case.operands.get("text") or " ".join(
            case.operands.get("said") or case.operands.get("facts") or []
        )
        for each in words.get("all", ()):
            spellings = [each] if isinstance(each, str) else each
            assert any(word.lower() in given.lower() for word in spellings) or name == "compile"


def test_each_author_has_a_sample_and_as_many_texts(bench: ModuleType) -> None:
    from nlpu.programs.kin import samples

    known = samples(bench.HERE / "authors.md")
    expected = [case.expected for case in bench.subjects()["kin"].cases]
    assert {expected.count(author) for author in known} == {5} and set(expected) == set(known)
    for case in bench.subjects()["kin"].cases:
        assert all(case.operands["text"] not in text for text in known.values())


def cited(text: str, found: bool = True) -> Answer:
    return Answer(
        text=text, found=found, citations=[Citation(number=1, evidence="Ann.", start=0, stop=4)]
    )


def ran(*result: Any) -> Compiled:
    return Compiled(program="return [%1]", rounds=1, objections=[], result=list(result))


def kinship(**likeness: float) -> Kinship:
    return Kinship(kin=[Kin(author=name, likeness=much) for name, much in likeness.items()])


ANN, NUMBER = {"words": {"all": ["Ann"]}}, {"number": 397.8, "given": [17, 2340]}
BOTH = {"words": {"all": ["stove"]}, "verdict": True}
CHECKED = [
    ("answer", ANN, cited("Ann did it [1]."), cited("Bo did it [1].")),
    ("answer", {"found": False}, cited("Nothing.", found=False), cited("Ann.")),
    ("answer", ANN, cited("Ann"), cited("Ann", found=False)),
    ("answer", ANN, cited("Ann"), cited("Ann").model_copy(update={"citations": []})),
    ("react", ANN, "It is Ann.", "It is Anna."),
    ("react", NUMBER, "17 percent of 2,340 is 397.8.", "17 percent of 2340 is 397."),
    ("react", NUMBER, "397.80", "It is 397.8 or 398."),
    ("react", {"number": 5, "given": [14, 9]}, "five more", "14 - 9"),
    ("kin", "Ann", kinship(Ann=0.6, Bo=0.5), kinship(Bo=0.6, Ann=0.5)),
    ("kin", "Ann", kinship(Ann=0.6), kinship(Ann=0.5, Bo=0.5)),
    ("compile", ANN, ran("Ann wrote it."), ran("Bo wrote it.")),
    ("compile", {"verdict": False}, ran(False), ran(True)),
    ("compile", {"verdict": False}, ran({"answer": False, "probability": 0.2}), ran(False, True)),
    ("compile", {"verdict": False}, ran(["a text"], False), ran("no")),
    ("compile", BOTH, ran("A stove.", True), ran("A stove.")),
    ("compile", BOTH, ran([["The stove"], True]), ran(True).model_copy(update={"result": None})),
]


@pytest.mark.parametrize(("name", "expected", "good", "bad"), CHECKED)
def test_a_check_holds_and_fails(
    bench: ModuleType, name: str, expected: Any, good: Any, bad: Any
) -> None:
    check = bench.subjects()[name].metric
    if name == "react":
        good, bad = (Trace(answer=said, ended="answer", steps=[]) for said in (good, bad))
    assert check(expected, good) is True and check(expected, bad) is False


# -- programs with a memory ----------------------------------------------------------------------


def reads_memories(seen: Seen) -> str:
    """What a friend says who can only repeat what came up."""
    if "matter for later" in seen.instruction:
        return "3"
    return seen.operands.get("memories", "nothing") if "friend" in seen.instruction else "Fern"


def test_what_was_said_comes_up_and_no_other_case_knows_it(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    talk = next(c for c in bench.subjects()["converse"].cases if c.tags["length"] == "long")
    ask = bench.subjects()["converse"].program
    with Computer(Scripted(reads_memories)) as computer:
        assert "47" in computer.run(ask, talk.operands["said"], "What was my locker?").result
        other = computer.run(ask, ["The sea was cold."], "What was my locker?").result
    assert "47" not in other


def test_an_agent_looks_its_facts_up(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    look = {"tool": "search_memory", "arguments": {"question": "oldest dog"}}
    said = [
        json.dumps({"thought": "I look.", "next": [look]}),
        json.dumps({"thought": "There.", "next": {"answer": "Fern"}}),
    ]
    with Computer(Scripted(said)) as computer:
        ask = bench.subjects()["react"].program
        trace = computer.run(ask, "Which dog?", ["The oldest dog is called Fern."]).result
    assert trace.answer == "Fern" and "called Fern" in trace.steps[0].actions[0].observation


# -- the command ---------------------------------------------------------------------------------


def test_what_has_a_row_is_not_asked_again(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "AT_ONCE", 2)
    out, subject = tmp_path / "rows.jsonl", bench.subjects()["answer"]
    engines: list[Scripted] = []

    def engine(model: str) -> Scripted:
        engines.append(Scripted(lambda seen: "yes" if "help" in seen.instruction else "Barrow"))
        return engines[-1]

    bench.measure(out, "m", "answer", subject, 4, 0.0, engine)
    assert not engines and not out.exists()  # the time was up
    bench.measure(out, "m", "answer", subject, 4, NEVER_S, engine)
    text = out.read_text()
    out.write_text(text[: text.rindex("{") - 40])  # killed in the last line
    bench.measure(out, "m", "answer", subject, 4, NEVER_S, engine)
    bench.measure(out, "m", "answer", subject, 4, NEVER_S, engine)
    assert len(engines) == 2
    (report,) = bench.told(out, ["m"], {"answer": subject})
    assert [row.id for row in report.rows] == [f"answer-0{n}" for n in range(1, 5)]
    assert report.right == 1 and report.cases == len(subject.cases)
    assert "| answer | m | 1 | 4 |" in bench.markdown([report])


@pytest.mark.local
@pytest.mark.slow
def test_a_model_is_asked_two_cases(bench: ModuleType, tmp_path: Path) -> None:
    out, subject = tmp_path / "rows.jsonl", bench.subjects()["answer"]
    bench.measure(out, MODEL, "answer", subject, 2, time.monotonic() + 60, bench.opened)
    (report,) = bench.told(out, [MODEL], {"answer": subject})
    assert len(report.rows) == 2 and not report.failed and report.calls > 4
