"""The standard instruction set: its form, and its truth tables on the models at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import execute

from nlpu import Op
from nlpu.eval.cases import Case
from nlpu.eval.questions import questions
from nlpu.isa import TRUTH_TABLES, Critique, judge, numbered, picked
from nlpu.judgement import Judgement
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted

TABLE = [(op, case) for op, cases in TRUTH_TABLES.items() for case in cases]


def right(op: Op[Any], case: Case) -> str:
    """What a model that is right would write."""
    if op.result.kind in ("judgement", "bool"):
        return "yes" if case.expected else "no"
    if op.result.annotation is Critique:
        return json.dumps({"flaw": "It is so.", **case.expected})
    if case.metric == "predicate":
        alternatives = [word if isinstance(word, str) else word[0] for word in case.expected["all"]]
        words = " ".join(alternatives).title()
        return words if op.result.kind == "text" else json.dumps([words])
    return str(case.expected) if op.result.kind == "choice" else json.dumps(case.expected)


@pytest.mark.parametrize(("op", "case"), TABLE, ids=lambda part: getattr(part, "id", ""))
def test_a_right_answer_holds_and_nothing_does_not(op: Op[Any], case: Case) -> None:
    (question,) = questions(op, [case])
    run = execute(lambda: op(*question.operands), engine=right(op, case))
    assert question.score(run.result) == 1, run.error
    wrong = Judgement(answer=not case.expected, probability=0.5) if op is judge else "nothing"
    assert question.score(wrong) == 0


@pytest.mark.parametrize("op", TRUTH_TABLES, ids=lambda op: op.name)
def test_whatever_the_model_says_is_valid(op: Op[Any]) -> None:
    """Without a script the engine answers at random under the constraint."""
    operands = next(iter(TRUTH_TABLES[op])).operands
    draw = op.using(temperature=1.0)
    run = execute(lambda: draw(**operands, samples=5), engine=Scripted())
    assert run.status == "done", run.error
    assert op.text.partition("\n")[0][-1] in ".?"
    assert op.result.kind != "text" or op.at_limit == "trim"


def test_numbers_name_texts() -> None:
    assert numbered(["a\nb", "c"]) == "1. a b\n2. c"
    assert picked([2, 9, 2, 1, 0], ["a", "b"]) == ["b", "a"]


@pytest.mark.slow
@pytest.mark.local
def test_truth_tables_on_the_embedded_model() -> None:
    """All well-formed. Right where a model of this size can be: on judging it is at chance."""
    with Computer("local") as computer:
        run = computer.run(lambda: [op.check(cases) for op, cases in TRUTH_TABLES.items()])
    reports = {report.name: report for report in run.result}
    assert not any(report.failed for report in reports.values())
    print("right:", ", ".join(f"{name} {each.accuracy:.0%}" for name, each in reports.items()))
    assert reports["answer"].accuracy > 0.5 and reports["extract"].accuracy > 0.5
