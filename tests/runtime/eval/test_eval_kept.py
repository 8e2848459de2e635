"""What is kept of an evaluation: it stops and goes on, is replayed, and its answers serve again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eval_kit import ECHOES, shout
from kit import computer, count, echo, finish, said

from nlpu.errors import Usage
from nlpu.eval.cases import cases_of
from nlpu.label import UNTRUSTED, USER, Integrity, Label, intern_label
from nlpu.runtime import Budget, Computer, first
from nlpu.runtime.eval.answers import make_answers
from nlpu.runtime.eval.evaluation import Evaluation, contestants_of, prepared
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import literal


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


def test_a_file_of_answers_may_be_begun_by_several_and_vanish(tmp_path: Path) -> None:
    cache = tmp_path / "known.jsonl"
    cache.touch()  # as another evaluation leaves it that has just made it, or was killed then

    def answers(seen: Seen) -> str:
        cache.unlink()
        return said(seen)

    with computer(Scripted(answers), run_dir=tmp_path / "a") as machine:
        assert machine.evaluate(echo, ECHOES[:1], cache=cache).right == 1
    with computer(Scripted("other"), run_dir=tmp_path / "b") as machine:
        assert machine.evaluate(echo, ECHOES[:1], cache=cache).right == 1
    assert make_answers(cache).read_bytes().count(b"version") == 1


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


def test_an_evaluation_is_a_run_like_any_other(tmp_path: Path) -> None:
    with Computer(Scripted(said), run_dir=tmp_path) as machine:
        report = machine.evaluate(echo, ECHOES)
        name = next(tmp_path.glob("*.db")).stem
        again = machine.evaluate(echo, ECHOES, resume=name)
    assert again == report
