"""Evaluations from Python: op.check and computer.evaluate, and what their reports say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, count, echo, execute, finish, said, yes

from nlpu import nlop
from nlpu.errors import BadOperand, ConnectionLost, HostError, NotInRun, ProgramError, Usage
from nlpu.eval.bounds import NotMeasured
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.scores import Report, Row
from nlpu.isa import classify
from nlpu.label import UNTRUSTED, USER, Integrity, Label, intern_label
from nlpu.prompt.convention import FIRST
from nlpu.runtime import Budget, Computer, first, spawn
from nlpu.runtime.eval.evaluation import Evaluation, contestants_of, prepared
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import literal

ECHOES = [({"text": word}, word) for word in ("one", "two", "three", "four")]


@nlop
def shout(text: str) -> str:
    """Shout the text."""


def shouting(seen: Seen) -> str:
    """Repeats; a shout of "two" and "three" is another word, and the judge is generous."""
    text = said(seen)
    if "mean" in seen.instruction:
        return "yes" if seen.operands["expected"][0] == seen.operands["answer"][0] else "no"
    return text[0] + "!" if "Shout" in seen.instruction and text[0] == "t" else text


def row(name: str, score: float, answer: str = "a") -> Row:
    return Row(id=name, score=score, answer=answer, expected="a")


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


def test_a_budget_leaves_what_was_done_and_it_goes_on(tmp_path: Path) -> None:
    engine = Scripted(said)
    with computer(engine, run_dir=tmp_path) as machine:
        part = machine.evaluate(echo, ECHOES, budget=Budget(calls=2))
    assert (len(part.rows), part.right, part.cases) == (2, 2, 4)
    assert "the budget of 2 calls" in part.stopped and "2 of 4 cases are answered" in str(part)
    name = part.stopped.split()[1]
    with computer(engine, run_dir=tmp_path) as machine:
        whole = machine.evaluate(echo, ECHOES, resume=name, budget=Budget(calls=9))
    assert (len(whole.rows), whole.stopped, len(engine.seen)) == (4, "", 4)


def test_what_was_shared_counts_in_the_report_of_a_stopped_run_too(tmp_path: Path) -> None:
    with computer(Scripted(said), run_dir=tmp_path) as machine:
        part = machine.evaluate(echo, ECHOES, against=echo, budget=Budget(calls=2))
    mine, others = part.rows, part.others[0].rows
    assert len(mine) == len(others) == 2
    for one, other in zip(mine, others, strict=True):
        assert one.calls == other.calls == 1
        assert one.tokens_in == other.tokens_in > 0


def test_answers_are_kept_for_the_next_evaluation(tmp_path: Path) -> None:
    engine, cache = Scripted(said), tmp_path / "known.jsonl"
    with computer(engine, run_dir=tmp_path / "a") as machine:
        first = machine.evaluate(echo, ECHOES[:2], cache=cache)
        part = machine.evaluate(echo, ECHOES, cache=cache, budget=Budget(calls=1))
    assert (len(engine.seen), len(first.rows), len(part.rows)) == (3, 2, 3)
    with computer(engine, run_dir=tmp_path / "b") as machine:
        whole = machine.evaluate(echo, ECHOES, cache=str(cache))
        again = machine.evaluate(echo, ECHOES, cache=str(cache))
    assert len(engine.seen) == 4 and whole.accuracy == again.accuracy == 1
    with computer(engine) as machine, pytest.raises(Usage, match="cache= needs a journal"):
        machine.evaluate(echo, ECHOES, cache=cache)


def test_an_evaluation_that_has_answers_of_a_file_goes_on_and_is_replayed(tmp_path: Path) -> None:
    engine, cache, few = Scripted(said), tmp_path / "known.jsonl", ECHOES[:2]
    with computer(engine, run_dir=tmp_path) as machine:
        part = machine.evaluate(echo, few, cache=cache, budget=Budget(calls=1))
        machine.evaluate(echo, few, cache=cache)
    name = part.stopped.split()[1]
    asked, evaluation = prepared(echo, few, None, (), ("",))
    with computer(engine, run_dir=tmp_path) as machine:
        replayed = finish(machine.resume(name, evaluation.evaluate, asked, replay=True))
        assert replayed.result.right == 2
    with computer(engine, run_dir=tmp_path) as machine:
        whole = machine.evaluate(echo, few, cache=cache, resume=name)
    assert (whole.right, len(engine.seen)) == (2, 2)


def test_an_answer_for_data_of_another_label_is_not_reused(tmp_path: Path) -> None:
    engine, cache = Scripted(said), tmp_path / "known.jsonl"
    secret = intern_label(Integrity.USER, frozenset({"ann"}))
    for label, asked in ((USER, 1), (UNTRUSTED, 2), (secret, 3), (USER, 3), (secret, 3)):

        def found(text: str, label: Label = label) -> Any:
            return echo(literal(text, label))

        with computer(engine, run_dir=tmp_path / "runs") as machine:
            machine.evaluate(found, ECHOES[:1], cache=cache)
        assert len(engine.seen) == asked


def test_no_cases_answered_is_no_crash(tmp_path: Path) -> None:
    with computer(Scripted(said), run_dir=tmp_path) as machine:
        none = machine.evaluate(echo, ECHOES, against=shout, budget=Budget(calls=0))
    assert (none.accuracy, none.interval, none.rows) == (0.0, (0.0, 1.0), ())
    assert none.differences[0].interval == (-1.0, 1.0) and "0 of 4 cases" in str(none)


@pytest.mark.parametrize("metric", ["judge", lambda expected, content: expected == content])
def test_a_replay_gives_the_same_whatever_failed_raced_or_was_shared(
    tmp_path: Path, metric: Any
) -> None:
    """What calls took is from the journal, to the token and the millisecond."""

    def races(text: str) -> Any:
        quick, late = echo(text), shout(text + text)
        return f"{first(quick, late)} {echo(str(quick) + 'x')}"

    def answers(seen: Seen) -> Say:
        text = "many words" if "many" in seen.instruction else said(seen)
        return Say(text, tokens=7, seconds=0.0104 * len(said(seen)))

    def evaluation() -> Evaluation:
        others = [races] if metric == "judge" else [races, echo, count.using(name="counts")]
        return Evaluation(contestants_of(echo, others, ("",)), metric)

    cases = cases_of([*ECHOES, *(({"text": word}, word) for word in ("one", "x" * 150_000))])
    with computer(Scripted(answers), run_dir=tmp_path) as machine:
        run = machine.run(evaluation().evaluate, cases)
    report = run.result
    assert report.rows[5].error and report.rows[5].calls == 0  # it does not fit
    assert report.rows[4].tokens_out == report.rows[0].tokens_out > 0
    with computer(Scripted("other"), run_dir=tmp_path) as machine:
        again = machine.resume(run.name, evaluation().evaluate, cases, replay=True).wait()
    assert again.error is None and again.result == report


# -- reports ---------------------------------------------------------------------------------------


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


def test_an_evaluation_is_a_run_like_any_other(tmp_path: Path) -> None:
    with Computer(Scripted(said), run_dir=tmp_path) as machine:
        report = machine.evaluate(echo, ECHOES)
        name = next(tmp_path.glob("*.db")).stem
        again = machine.evaluate(echo, ECHOES, resume=name)
    assert again == report
