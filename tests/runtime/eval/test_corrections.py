"""Corrections through the graph: checks, cascades, labels, evaluations, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from corrections_kit import about, by_request, colour, drawing, fits
from kit import computer, execute, finish, yes
from terminal_fixture import Terminal, nlpu

from nlpu import Limits, Say, Scripted
from nlpu.errors import BadOp, BadOperand, ConnectionLost, Unreachable
from nlpu.eval.flags import TooLong
from nlpu.isa import judge
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime.eval.corrections.cascades import cascade, fallback
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.corrections.verifying import verified
from nlpu.runtime.eval.corrections.voting import ahead_by, majority
from nlpu.testing.scripted import Seen
from nlpu.value import literal

__all__ = ["nlpu"]


# -- verify, cascade, fallback ---------------------------------------------------------------------


def test_an_objection_is_fed_back() -> None:
    answers = iter(["a very long answer", "short"])
    engine = Scripted(lambda seen: next(answers))
    run = execute(lambda: verified(TooLong(1))(about)("x"), engine=engine)
    assert run.result == "short"
    told = engine.seen[1].operands["objections to earlier answers"]
    assert told == "a very long answer: it has 4 words, at most 1 are wanted"


@pytest.mark.parametrize(
    "check",
    [lambda said: said == "sea", lambda said: "" if said == "sea" else "no", fits, yes],
    ids=["predicate", "objection", "op of all", "op of the answer"],
)
def test_checks_are_functions_and_ops(check: Any) -> None:
    def script(seen: Seen) -> str:
        if "fit" in seen.instruction or "Is it so" in seen.instruction:
            return "yes" if seen.operands.get("answer", seen.operands["text"]) == "sea" else "no"
        return "sea" if len(seen.operands) == 2 else "land"

    run = execute(lambda: verified(check)(about)("x"), engine=script)
    assert run.result == "sea"


def test_attempts_end_and_invalid_replies_are_objected_to() -> None:
    engine = Scripted("mauve")
    run = execute(lambda: verified(bool, attempts=2)(colour.using(retries=0))("x"), engine=engine)
    assert isinstance(run.result, Unsure) and "2 answers were objected to" in run.result.why
    assert len(engine.seen) == 2


def test_corrections_compose() -> None:
    """A vote of answers that passed a check; each draw's attempts are its own."""
    answers = iter(["long long", "long", "sea", "sea", "sea"])
    vote = ahead_by(2)(verified(TooLong(1))(about))
    run = execute(lambda: vote("x"), engine=lambda seen: next(answers))
    assert run.result == "sea" and 3 <= run.receipt.calls <= 5


def test_a_cascade_asks_the_next_only_in_doubt() -> None:
    small, large = colour.using(processor="small"), colour.using(processor="large")
    engines = {"small": Scripted(drawing("red", "blue")), "large": Scripted("green", model="large")}
    doubtful = cascade(ahead_by(2, most=2)(small), large)
    with computer(engines) as machine:
        assert finish(machine.start(lambda: doubtful("x"))).result == "green"
    engines = {"small": Scripted("red"), "large": Scripted("green", model="large")}
    with computer(engines) as machine:
        assert finish(machine.start(lambda: doubtful("x"))).result == "red"
    assert engines["large"].seen == []


def test_a_judgement_that_is_not_sure_enough_is_passed_on() -> None:
    small, large = judge.using(processor="small"), judge.using(processor="large")
    for probability, expected in ((0.6, False), (0.95, True)):
        said = Say("yes", probabilities=(probability, 1 - probability))
        with computer({"small": Scripted(said), "large": Scripted("no", model="large")}) as machine:
            run = finish(machine.start(lambda: cascade(small, large, sure=0.9)("Is it?", "x")))
        assert run.result.answer is expected


def test_a_fallback_stands_in_for_a_host_that_is_down_and_a_cascade_does_not() -> None:
    small, large = colour.using(processor="small"), colour.using(processor="large")
    engines = {"small": Scripted(Unreachable("down")), "large": Scripted("green", model="large")}
    with computer(engines, limits=Limits(patience_s=1)) as machine:
        assert finish(machine.start(lambda: fallback(small, large)("x"))).result == "green"
        failed = finish(machine.start(lambda: cascade(small, large)("x")))
    assert isinstance(failed.error, Unreachable)  # it says nothing of the answer


# -- within a run ----------------------------------------------------------------------------------


def test_a_host_that_fails_is_no_vote() -> None:
    limits = Limits(attempts=1, patience_s=0)
    run = execute(lambda: ahead_by(2)(colour)("x"), engine=ConnectionLost("gone"), limits=limits)
    assert isinstance(run.error, ConnectionLost)


def test_the_answer_has_the_labels_of_what_was_read() -> None:
    def program() -> str:
        vote = ahead_by(2)(colour)
        tainted = vote(literal("sky", UNTRUSTED))
        kept = vote("sky")
        _ = (kept.ready, kept.value)
        assert kept.label == USER
        _ = tainted.value
        return str(tainted.label.integrity)

    run = execute(program, engine="blue")
    assert run.result == str(UNTRUSTED.integrity)


# -- in evaluations, and misuse --------------------------------------------------------------------


def test_it_is_evaluated_against_its_op_and_shares_the_draws() -> None:
    cases = [({"text": f"x {number}"}, "red") for number in range(20)]
    with computer(by_request(3, 0.7)) as machine:
        report = machine.evaluate(ahead_by(3)(colour), cases, against=[majority(3)(colour), colour])
    assert report.name == "colour ahead by 3" and report.calls > 60
    assert report.accuracy > report.others[1].accuracy


def test_it_can_be_a_run_of_its_own() -> None:
    with computer("red") as machine:
        assert finish(machine.start(ahead_by(2)(colour), "x")).result == "red"


def test_a_file_may_hold_one_for_an_evaluation(nlpu: Terminal, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from nlpu import ahead_by\nfrom nlpu.isa import judge\n\nsure = ahead_by(2)(judge)\n"
    )
    case = '{"operands": {"question": "Is it?", "text": "x"}, "expected": true}\n'
    (tmp_path / "cases.jsonl").write_text(case)
    ended = nlpu(
        "eval",
        f"{mine}:sure",
        "--data",
        str(tmp_path / "cases.jsonl"),
        "--engine",
        "scripted",
        "--json",
    )
    report = ended.json["result"]
    assert ended.code == 0 and report["name"] == "judge ahead by 2" and report["calls"] >= 2


def test_an_async_program_awaits_it() -> None:
    async def program() -> Any:
        return await ahead_by(2)(colour)("x")

    assert execute(program, engine="red").result == "red"


def test_a_memory_is_asked_once_for_all_draws() -> None:
    class Filling:
        asked = 0

        def fill_operand(self, *args: Any) -> str:
            self.asked += 1
            return "a red page"

    memory = Filling()
    run = execute(lambda: ahead_by(2)(colour)(text=memory), engine="red")
    assert (run.result, memory.asked, run.receipt.calls) == ("red", 1, 2)


def test_what_cannot_be_corrected_is_refused() -> None:
    for make in (
        lambda: ahead_by(2)(len),  # type: ignore[arg-type]
        cascade,
        lambda: cascade(colour, about),
        lambda: ahead_by(2, temperature=0),
        lambda: ahead_by(2, equal="sets"),
        lambda: cascade(colour, sure=2),
        lambda: verified("no", attempts=2),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadOp):
            make()
    assert isinstance(execute(lambda: ahead_by(2)(colour)("a", "b")).error, BadOperand)
    sampled = execute(lambda: ahead_by(2)(colour)("a", sample=-1))
    assert "sample must be" in str(sampled.error)
    large = colour.using(processor="large")
    assert repr(cascade(colour, large)) == "cascade(colour, colour on large)"
    assert repr(cascade(ahead_by(2)(colour), colour)) == "cascade(ahead by 2(colour), colour)"
    assert ahead_by(2)(colour) == ahead_by(2)(colour) and hash(ahead_by(2)(colour))
