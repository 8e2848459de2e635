"""Corrections through the graph: votes, checks, cascades, and what is left of them after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from kit import Doomed, computer, execute, finish, resumed, yes
from terminal_fixture import Terminal, nlpu

from nlpu import Limits, Say, Scripted, Value, nlop
from nlpu.errors import BadOp, BadOperand, BudgetExceeded, ConnectionLost, Declined, Unreachable
from nlpu.eval.flags import OffLabels, Repeats, TooLong
from nlpu.eval.votes import Ahead, Rule, fold
from nlpu.isa import judge
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import Budget
from nlpu.runtime.eval.cascades import cascade, fallback
from nlpu.runtime.eval.corrections import Unsure
from nlpu.runtime.eval.verifying import verified
from nlpu.runtime.eval.voting import ahead_by, majority
from nlpu.testing.scripted import Seen
from nlpu.value import literal

__all__ = ["nlpu"]


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


@nlop
def about(text: str) -> str:
    """What is it about?"""


@nlop
def names(text: str) -> list[str]:
    """Who is named?"""


@nlop
def equal(one: str, other: str) -> bool:
    """Is it the same?"""


@nlop
def fits(text: str, answer: str) -> bool:
    """Does the answer fit?"""


def drawing(*answers: Any) -> Callable[[Seen], Any]:
    """The answers one after the other, for each text by itself."""
    told: dict[str, Iterator[Any]] = {}

    def script(seen: Seen) -> Any:
        return next(told.setdefault(str(seen.operands), iter(answers)))

    return script


# -- votes -----------------------------------------------------------------------------------------


def test_a_vote_is_called_like_its_op() -> None:
    run = execute(
        lambda: ahead_by(2)(colour)("sky"), engine=drawing("blue", "green", "blue", "blue")
    )
    assert (run.result, run.receipt.calls) == ("blue", 4)
    run = execute(lambda: majority(3)(colour)(text="sky"), engine=drawing("red", "blue", "blue"))
    assert (run.result, run.receipt.calls) == ("blue", 3)


def test_draws_are_above_temperature_0_and_go_out_together() -> None:
    engine = Scripted("red", latency_s=1.0)
    run = execute(lambda: ahead_by(3)(colour)("rose"), engine=engine)
    assert [seen.request.sampling.temperature for seen in engine.seen] == [0.7] * 3
    assert run.receipt.seconds == pytest.approx(1.0, abs=0.1)
    engine = Scripted("red")
    warm = colour.using(temperature=1.2)
    execute(lambda: majority(3)(warm)("rose"), engine=engine)
    assert {seen.request.sampling.temperature for seen in engine.seen} == {1.2}


def test_nobody_wins_is_unsure_with_what_was_said() -> None:
    def program() -> str:
        said = ahead_by(2, most=4)(colour)("sea").value
        return f"{said.answers} {said.counts}" if isinstance(said, Unsure) else str(said)

    run = execute(program, engine=drawing("blue", "green", "green", "blue"))
    assert run.result == "('blue', 'green') (2, 2)"
    told = str(Unsure(why="a tie", answers=("blue", "green"), counts=(2, 2)))
    assert told == "unsure: a tie; blue (2), green (2)"


@pytest.mark.parametrize(
    ("op", "vote", "answers"),
    [
        (about, ahead_by(2), ("The sea.", "the  sea")),
        (names, ahead_by(2, equal="set"), ('["Bo","Ann"]', '["Ann","Bo"]')),
        (about, ahead_by(2, equal=lambda one, other: one[0] == other[0]), ("sea", "swell")),
    ],
    ids=["text", "set", "function"],
)
def test_equal_is_what_the_type_or_the_program_says(op: Any, vote: Any, answers: Any) -> None:
    run = execute(lambda: vote(op)("x"), engine=drawing(*answers))
    assert run.receipt.calls == 2 and not isinstance(run.result, Unsure)
    plain = execute(
        lambda: ahead_by(2, most=2)(names)("x"), engine=drawing('["a","b"]', '["b","a"]')
    )
    assert isinstance(plain.result, Unsure)  # the order of a list counts, unless it is said


def test_an_op_may_judge_what_is_equal() -> None:
    draws = drawing("the ocean", "a fish", "the sea", "a fish")

    def script(seen: Seen) -> Any:
        if "one" in seen.operands:
            return "yes" if set(seen.operands.values()) == {"the ocean", "the sea"} else "no"
        return draws(seen)

    run = execute(lambda: ahead_by(2, most=4, equal=equal)(about)("x"), engine=script)
    assert isinstance(run.result, Unsure) and run.result.counts == (2, 2)


def test_equal_questions_share_draws_and_samples_have_their_own() -> None:
    def program() -> list[Any]:
        vote = ahead_by(2)(colour)
        rules = [vote("sky"), vote("sky"), majority(5)(colour)("sky"), vote("sky", sample=1)]
        return [each.value for each in rules]

    run = execute(program, engine=drawing(*["blue"] * 5))
    assert run.result == ["blue"] * 4 and run.receipt.calls == 3 + 2


# -- red flags -------------------------------------------------------------------------------------


def test_void_draws_vote_for_nobody() -> None:
    draws = drawing("x y z w", "sea", "", "sea")
    run = execute(lambda: ahead_by(2, flags=[TooLong(3)])(about)("x"), engine=draws)
    assert (run.result, run.receipt.calls) == ("sea", 4)


def test_where_no_draw_is_valid_it_is_given_up() -> None:
    op = colour.using(retries=0)
    run = execute(lambda: ahead_by(2)(op)("x"), engine="mauve")
    assert isinstance(run.result, Unsure) and "none of 6 draws is valid" in run.result.why
    assert run.receipt.calls == 6


def test_a_failure_without_words_is_void_too() -> None:
    run = execute(lambda: ahead_by(2)(about)("x"), engine=Declined(""))
    assert isinstance(run.result, Unsure) and "Declined" in run.result.why


def test_flags_say_what_is_wrong() -> None:
    assert TooLong(2)("a b") == "" and "3 words" in TooLong(2)("a b c")
    assert Repeats()("he said so and went " * 2) == ""
    assert Repeats()("He said so and went. " * 3) == "it says 'he said so and' 3 times"
    assert OffLabels(("a", "b"))("a") == "" and OffLabels(("a", "b"))("c") == "it is none of a, b"


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


def test_a_budget_counts_its_draws() -> None:
    run = execute(
        lambda: ahead_by(3)(colour)("x"),
        engine=drawing("red", "blue", "red"),
        budget=Budget(calls=3),
    )
    assert isinstance(run.error, BudgetExceeded) and run.receipt.calls == 3


def by_request(seed: int, p: float) -> Callable[[Seen], str]:
    """A channel: right with chance p, by the number of the request within its run."""
    return lambda seen: "red" if Random(f"{seed} {seen.request.id}").random() < p else "blue"


def many(vote: Any, count: int) -> Callable[[], list[Any]]:
    def program() -> list[Any]:
        votes: list[Value[Any]] = [vote(f"question {number}") for number in range(count)]
        return [each.value for each in votes]

    return program


def test_votes_are_kept_over_a_kill_in_mid_vote(tmp_path: Path) -> None:
    program, script = many(ahead_by(3)(colour), 20), by_request(7, 0.8)
    whole = execute(program, engine=script)
    engine = Doomed(script, tmp_path / "runs", tmp_path / "grave", 70)
    run = execute(program, engine=engine, run_dir=tmp_path / "runs")
    after = Scripted(script)
    again = resumed(tmp_path / "grave", run, program, engine=after)
    assert again.result == run.result == whole.result
    assert len(after.seen) == len(engine.seen) - 60  # no draw that was there was made again


# -- the whole stack does what the fold does -------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", [Ahead(3), Ahead(2, most=4)], ids=str)
def test_the_stack_counts_as_the_fold_does(seed: int, rule: Rule) -> None:
    """For 100 races on channels of p = 0.6 to 0.99: the same winners after the same draws."""
    chances = [(0.6, 0.7, 0.8, 0.9, 0.99)[number % 5] for number in range(100)]

    def channel(number: int) -> Iterator[str]:
        dice = Random(f"{seed} {number}")
        while True:
            yield "red" if dice.random() < chances[number] else "blue"

    folded = [fold(rule, channel(number).__next__) for number in range(100)]
    channels = [channel(number) for number in range(100)]
    drawn: Counter[int] = Counter()

    def script(seen: Seen) -> str:
        number = int(seen.operands["text"].split()[1])
        drawn[number] += 1
        return next(channels[number])

    assert isinstance(rule, Ahead)
    vote = ahead_by(rule.k, most=rule.most)(colour)
    found = execute(many(vote, 100), engine=script).result
    assert [drawn[number] for number in range(100)] == [tally.draws for tally in folded]
    for tally, answer in zip(folded, found, strict=True):
        won = rule.winner(tally)
        assert isinstance(answer, Unsure) if won is None else answer == tally.answers[won]


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
