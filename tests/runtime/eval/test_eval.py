"""Evaluations from Python: op.check and computer.evaluate, of ops, programs and processors."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from eval_kit import ECHOES, shout, shouting
from kit import computer, count, echo, execute, said, yes

from nlpu import op
from nlpu.errors import BadOperand, ConnectionLost, HostError, NotInRun, ProgramError, Usage
from nlpu.eval.bounds import NotMeasured
from nlpu.eval.cases import Case
from nlpu.eval.scores import Report
from nlpu.isa import classify
from nlpu.runtime import Computer, spawn
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.corrections.voting import ahead_by
from nlpu.testing.scripted import Say, Scripted

# -- in a program ----------------------------------------------------------------------------------


def test_a_check_is_a_value_of_a_program() -> None:
    def program() -> str:
        first, second = echo.check(ECHOES), shout.check(ECHOES)
        return "echo" if first.value.accuracy > second.value.accuracy else "shout"

    run = execute(program, engine=shouting)
    assert (run.result, run.receipt.calls) == ("echo", 8)


def test_an_async_program_awaits_it() -> None:
    async def program() -> float:
        reports = await asyncio.gather(*(_whole(each) for each in (echo, shout)))
        return reports[0].accuracy - reports[1].accuracy

    async def _whole(op: Any) -> Report:
        report: Report = await op.check(ECHOES)
        return report

    assert execute(program, engine=shouting).result == 0.5


def test_cases_that_do_not_fit_fail_before_anything_is_asked() -> None:
    engine = Scripted()
    run = execute(lambda: echo.check([*ECHOES, ({"text": "x"}, 7)]), engine=engine)
    assert isinstance(run.error, BadOperand) and not engine.seen
    assert "case 5 (echo): a text is expected of it, not 7" in str(run.error)
    run = execute(lambda: echo.check("nowhere.jsonl"), engine=engine)
    assert isinstance(run.error, Usage)
    with pytest.raises(NotInRun):
        echo.check(ECHOES)


# -- a run of its own ------------------------------------------------------------------------------


def test_a_report_has_what_was_asked_for() -> None:
    engine = Scripted(lambda seen: Say(said(seen), tokens=50, seconds=float(len(said(seen)))))
    with computer(engine) as machine:
        report = machine.evaluate(echo, [*ECHOES, ({"text": "five"}, "six")])
    assert (report.name, report.model, report.cases, report.right) == ("echo", "scripted", 5, 4)
    assert report.accuracy == 0.8 and report.interval == pytest.approx((0.3755, 0.9638), abs=1e-4)
    assert (report.calls, report.nlops, report.tokens_out) == (5, 2.5, 250)
    assert report.tokens_in == sum(len(seen.request.prompt) for seen in engine.seen)
    assert report.latency_s == (4.0, 5.0) and report.rows[2].seconds == 5.0
    (wrong,) = report.wrong
    assert (wrong.id, wrong.answer, wrong.expected) == ("5", "five", "six")
    assert "80.0%" in str(report) and "37.6% - 96.4%" in str(report) and "five" in str(report)
    assert repr(report) == "Report(echo: 4 of 5 right, 80.0% (37.6%-96.4%))"
    assert Report.model_validate_json(report.model_dump_json()) == report
    with pytest.raises(ValueError, match="frozen"):
        report.cases = 6  # type: ignore[misc]


def test_a_failed_call_is_wrong_and_says_so() -> None:
    with computer(Scripted({"many": "many"})) as machine:
        report = machine.evaluate(count, [({"text": "x"}, 3)])
    assert (report.right, report.failed, report.accuracy) == (0, 1, 0.0)
    assert "many" in report.rows[0].error and "failed: the reply 'many'" in str(report)
    assert report.rows[0].calls == 1


def test_a_host_that_fails_says_nothing_about_the_op() -> None:
    engine = Scripted(lambda seen: ConnectionLost("gone") if said(seen) == "two" else said(seen))
    with computer(engine) as machine, pytest.raises(HostError, match="gone"):
        machine.evaluate(echo, ECHOES)


def test_a_datasheet_that_is_missing_says_nothing_about_the_op() -> None:
    sure = echo.using(reliability=0.9)
    with computer() as machine, pytest.raises(NotMeasured, match="no datasheet"):
        machine.evaluate(sure, ECHOES)
    run = execute(lambda: sure.check(ECHOES).value)
    assert isinstance(run.error, NotMeasured)


def test_an_op_against_itself_differs_in_nothing_and_costs_nothing_more() -> None:
    engine = Scripted(shouting)
    with computer(engine) as machine:
        report = machine.evaluate(shout, ECHOES, against=shout)
    (difference,) = report.differences
    assert len(engine.seen) == 4
    assert (difference.difference, difference.gained, difference.lost) == (0.0, (), ())
    assert difference.other_words == 0
    assert str(difference) == "shout and shout #2: nothing differs in 4 cases"
    assert str(difference) in str(report)
    assert report.others[0].nlops == report.nlops > 0  # what it takes alone


@pytest.mark.parametrize("is_op", [True, False])
def test_what_draws_differs_from_itself_in_nothing_either(is_op: bool) -> None:
    drawn = shout.using(temperature=0.9)

    def program(text: str) -> str:
        return drawn(text).value

    asked: Any = drawn if is_op else program
    engine = Scripted(["one", "two", "three", "four", "none"])
    with computer(engine) as machine:
        report = machine.evaluate(asked, ECHOES, against=[asked, echo])
    itself, _ = report.differences
    assert str(itself).endswith("#2: nothing differs in 4 cases")
    assert len(engine.seen) == 8


def test_ops_whose_types_say_other_things_are_two() -> None:
    kind = Annotated[str, "in capitals"]
    engine = Scripted(lambda seen: "one" if "in capitals" in seen.instruction else "two")
    with computer(engine) as machine:
        report = machine.evaluate(op("Say."), [({"text": "x"}, "one")], against=op("Say.", kind))
    assert report.differences[0].lost == ("1",)


def test_two_ops_are_compared_pair_by_pair() -> None:
    with computer(shouting) as machine:
        report = machine.evaluate(echo, ECHOES, against=shout)
        turned = machine.evaluate(shout, ECHOES, against=[echo, echo])
    (difference,) = report.differences
    assert (difference.difference, difference.gained, difference.lost) == (0.5, ("2", "3"), ())
    assert difference.interval[0] < 0 < difference.interval[1]  # four cases say little
    assert "which may as well be none" in str(difference)
    assert "only echo: 2, 3" in str(report)
    assert [each.lost for each in turned.differences] == [("2", "3")] * 2
    assert [each.name for each in turned.others] == ["echo", "echo #2"]


def test_processors_are_compared_on_the_same_cases() -> None:
    engines = {"a": Scripted(said, model="one"), "b": Scripted("two", model="other")}
    with computer(engines) as machine:
        report = machine.evaluate(echo, ECHOES, processors=("a", "b"))
        assert [(each.name, each.model) for each in (report, *report.others)] == [
            ("echo on a", "one"),
            ("echo on b", "other"),
        ]
        assert report.differences[0].gained == ("1", "3", "4")
        with pytest.raises(Usage, match="names its processors itself"):
            machine.evaluate(said, ECHOES, processors=("a", "b"))


def test_programs_are_evaluated_with_all_that_they_take() -> None:
    def twice(text: str) -> Any:
        return spawn(inner, echo(text))

    def inner(text: Any) -> Any:
        return shout(text)

    def broken(text: str) -> str:
        return text if text != "two" else str(1 / 0)

    async def awaits(text: str) -> str:
        return await echo(text)

    with computer(shouting) as machine:
        report = machine.evaluate(twice, ECHOES, against=[broken, awaits])
    failing, plain = report.others
    assert (report.right, report.calls, failing.right, failing.calls) == (2, 8, 3, 0)
    assert "ZeroDivisionError" in failing.rows[1].error and plain.accuracy == 1
    assert [each.name for each in report.others] == ["broken", "awaits"]


def test_the_judge_says_what_means_the_same() -> None:
    with computer(shouting) as machine:
        report = machine.evaluate(shout, ECHOES, metric="judge")
        program = machine.evaluate(lambda text: text.upper(), ECHOES[:1], metric="judge")
    assert report.accuracy == 1 and report.calls == 8 and report.rows[1].answer == "t!"
    assert program.name == "<lambda>" and program.rows[0].answer == "ONE"
    with computer(Scripted({"mean": "perhaps", "Repeat": "x"})) as machine:
        failing = machine.evaluate(echo, ECHOES[:1], metric="judge")
    assert failing.rows[0].error.startswith("the judge: ") and failing.rows[0].answer == "x"


def test_the_judge_is_asked_without_the_run_s_system_text() -> None:
    engine = Scripted(shouting)
    with Computer(engine, system="You are a pirate.") as machine:
        machine.evaluate(shout, ECHOES[:1], metric="judge")
    asked, judged = engine.seen
    assert "pirate" in asked.instruction and "pirate" not in judged.instruction


def test_scores_of_one_s_own_and_mixed_metrics() -> None:
    cases = [*ECHOES, Case(operands={"text": "7 cats"}, expected=7, metric="number")]
    with computer(shouting) as machine:
        assert machine.evaluate(echo, cases).accuracy == 1
        report = machine.evaluate(
            echo, cases, metric=lambda expected, content: len(content) / 10, against=shout
        )
        assert report.accuracy == pytest.approx(0.42) and report.right == 0
        assert report.interval[0] < 0.42 < report.interval[1]
        assert report.differences[0].gained == ("2", "3")
        with pytest.raises(ProgramError, match="raised ZeroDivisionError"):
            machine.evaluate(echo, cases, metric=lambda expected, content: 1 / 0)


def test_choices_yes_and_no_and_labels() -> None:
    cases = [Case(operands={"by": "mood", "text": "x"}, expected="b", choices=("a", "b"))]
    with computer(Scripted({"which": "b", "Is it": "no"})) as machine:
        assert machine.evaluate(classify, cases).accuracy == 1
        report = machine.evaluate(yes, [({"text": "x"}, False), ({"text": "y"}, "yes")])
    assert [each.answer for each in report.rows] == ["no", "no"]
    assert [each.expected for each in report.rows] == ["no", "yes"]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("number", 2), ("predicate", {"all": ["sea"]}), ("judge", "the sea"), ("exact", "the sea")],
)
def test_who_is_unsure_is_not_right_by_words_of_its_doubt(metric: str, expected: Any) -> None:
    """In "2 draws did not decide it; sea (1), sky (1)" is a number, and all that was said."""
    drawn = iter(["sea", "sky"] * 9)
    model = Scripted(lambda seen: "yes" if "mean" in seen.instruction else next(drawn))

    def number(expected: Any, content: Any) -> float:
        return isinstance(content, Unsure) / 2

    doubtful, cases = ahead_by(2, most=2)(echo), [({"text": "What is blue?"}, expected)]
    with computer(model) as machine:
        report = machine.evaluate(doubtful, cases, metric=metric)
        assert (report.right, report.failed) == (0, 0) and "did not decide" in report.rows[0].answer
        listed = machine.evaluate(lambda text: [doubtful(text).value], cases, metric=metric)
        own = machine.evaluate(doubtful, cases, metric=number)
    assert listed.right == 0
    assert own.accuracy == 0.5  # who abstains may be worth something to one's own metric
