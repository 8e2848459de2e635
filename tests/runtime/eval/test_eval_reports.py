"""What the reports of evaluations say, and what of two of them can be compared."""

from __future__ import annotations

from typing import Any

import pytest
from eval_kit import ECHOES, shout, shouting
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, echo, execute, said

from nlpu.errors import Usage
from nlpu.eval.cases import Case
from nlpu.eval.scores import Report, Row
from nlpu.prompt.convention import FIRST
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted


def row(name: str, score: float, answer: str = "a") -> Row:
    return Row(id=name, score=score, answer=answer, expected="a")


SCORES = st.lists(st.sampled_from([0.0, 1.0]), max_size=30)


@given(SCORES, st.randoms())
def test_differences_turn_and_a_report_equals_itself(scores: list[float], random: Any) -> None:
    rows = tuple(row(str(i), score) for i, score in enumerate(scores))
    others = tuple(each.model_copy(update={"score": float(random.random() < 0.5)}) for each in rows)
    one, other = (
        Report(name=name, cases=len(rows), rows=mine) for name, mine in (("a", rows), ("b", others))
    )
    there, back = one.against(other), other.against(one)
    assert (there.gained, there.lost) == (back.lost, back.gained)
    assert there.difference == -back.difference == pytest.approx(one.accuracy - other.accuracy)
    assert one.against(one).difference == 0
    assert not rows or "nothing differs" in str(one.against(one))


def test_only_cases_that_both_have_are_compared() -> None:
    one = Report(name="a", cases=2, rows=(row("1", 1), row("2", 0)))
    other = Report(name="b", cases=2, rows=(row("2", 0, "b"), row("3", 1)))
    found = one.against(other)
    assert (found.cases, found.difference, found.other_words) == (1, 0.0, 1)
    assert str(found) == "a and b: none of 1 case flipped, though 1 answer differ in words"


def test_other_cases_under_the_same_ids_are_not_compared() -> None:
    others = [({"text": word}, word) for word in ("one", "zwei", "three")]
    wished = [({"text": word}, word.upper()) for word in ("one", "two")]
    renamed = [Case(id=f"x-{word}", operands={"text": word}, expected=word) for word in "ab"]
    with computer(shouting) as machine:
        report = machine.evaluate(echo, ECHOES, against=shout)
        for cases, message in (
            (others, "they differ 2 in operands and expected; compare"),
            (wished, "they differ 1 in expected, 2 in expected; compare"),
            (renamed, r"have no case in common \(echo: 1, 2, 3, 4; shout: x-a, x-b\)"),
        ):
            other = machine.evaluate(shout, cases)
            with pytest.raises(Usage, match=message):
                report.against(other)
            with pytest.raises(Usage, match=message.replace("echo", "shout", 1)):
                report.others[0].against(other)  # its rows do not show what was asked
        assert report.against(machine.evaluate(shout, ECHOES)) == report.differences[0]
    one, two = (Report(name=name, cases=1, rows=(row("1", 1),)) for name in "ab")
    asked = two.rows[0].model_copy(update={"expected": "other"})
    with pytest.raises(Usage, match="differ 1 in expected"):
        one.against(two.model_copy(update={"rows": (asked,)}))


def test_reports_of_two_conventions_or_models_bear_names_that_differ() -> None:
    with computer(Scripted(said, model="one")) as machine:
        report = machine.evaluate(echo, ECHOES)
    with Computer(Scripted(said, model="two"), convention=FIRST) as machine:
        first = machine.evaluate(echo, ECHOES)
    with computer(Scripted(said, model="two")) as machine:
        other = machine.evaluate(echo, ECHOES)
    assert (report.name, first.name) == ("echo", "echo (convention 1)")
    assert str(report.against(first)) == "echo and echo (convention 1): nothing differs in 4 cases"
    assert str(report.against(other)).startswith("echo on one and echo on two: ")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"against": "main"}, "an op or a program is evaluated and compared with, not 'main'"),
        ({"against": [echo, 7]}, "compared with, not 7"),
        ({"processors": []}, r"processors are a list of at least one name, not \[\]"),
        ({"processors": "ab"}, "processors are a list of at least one name, not 'ab'"),
    ],
)
def test_what_cannot_be_compared_is_bad_usage(named: Any, message: str) -> None:
    with computer() as machine, pytest.raises(Usage, match=message):
        machine.evaluate(echo, ECHOES, **named)
    with computer() as machine, pytest.raises(Usage, match="compared with, not 'main'"):
        machine.evaluate("main", ECHOES)  # type: ignore[arg-type]


def test_cases_of_another_op_are_refused() -> None:
    cases = [Case(operands={"text": "x"}, expected="x", op="shout")]
    message = "case 1 is a case of shout, and echo is asked"
    with computer(shouting) as machine:
        with pytest.raises(Usage, match=message):
            machine.evaluate(echo, cases)
        assert machine.evaluate(echo, cases, against=shout).accuracy == 1
        assert machine.evaluate(lambda text: text, cases).accuracy == 1
    assert message in str(execute(lambda: echo.check(cases).value, engine=shouting).error)


def test_a_table_is_safe_and_bounded() -> None:
    rows = tuple(row(str(i), 0, "\x1b[31m" + "[bold]x" * 90) for i in range(50))
    shown = str(Report(name="a\x1b[0m", cases=50, rows=rows))
    assert "\x1b" not in shown and "[bold]" in shown and "the first 20 of 50" in shown
    assert max(map(len, shown.splitlines())) <= 100
