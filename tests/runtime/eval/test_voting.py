"""Votes through the graph: draws, red flags, kills in mid-vote, and counts as by the fold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from corrections_kit import about, by_request, colour, drawing, equal, many, names
from kit import Doomed, execute, resumed

from nlpu import Scripted, op
from nlpu.errors import BudgetExceeded, Declined
from nlpu.eval.flags import OffLabels, Repeats, TooLong
from nlpu.eval.votes import Ahead, Rule, fold
from nlpu.judgement import Judgement
from nlpu.runtime import Budget
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.corrections.voting import ahead_by, majority
from nlpu.runtime.eval.planning import draw_sheet
from nlpu.testing.scripted import Seen

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


@dataclass
class Refund:
    order: int


@dataclass
class Replace:
    order: int
    item: str


@pytest.mark.parametrize(
    ("out", "first", "other"),
    [
        (dict[str, int], "{}", '{"a": 1}'),
        (dict[str, int] | list[int], '{"a": 1}', '{"a": 1, "b": 2}'),
        (Refund | Replace, '{"order": 1}', '{"order": 1, "item": "lamp"}'),
        (tuple[str, Literal["a", "A"]], '["x", "a"]', '["x", "A"]'),
        (dict[str, Literal["a", "A"]], '{"x": "a"}', '{"x": "A"}'),
    ],
)
def test_an_answer_that_has_all_of_another_is_no_vote_for_it(
    out: Any, first: str, other: str
) -> None:
    asked = op("What is to be done?", out, name="act")
    for one, two in ((first, other), (other, first)):
        run = execute(lambda: ahead_by(2)(asked)("x"), engine=drawing(one, two, two, two))
        assert run.receipt.calls == 4
        assert run.result == asked.result.parse(two)
    made = execute(
        lambda: draw_sheet(asked, [({"text": "x"}, json.loads(first))], 2),
        engine=drawing(first, first, other),
    )
    assert made.result.cases[0].draws == (0, 1)


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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("two words", 2),
        (["a b", "c"], 3),
        ({"a", "b"}, 2),
        (3, 1),
        (True, 1),
        (None, 0),
        (Replace(order=7, item="a lamp"), 3),
        ([Refund(1), Replace(2, "lamp")], 3),
        ({"a lamp": 1}, 3),
        (Judgement(answer=True, probability=0.9), 1),
    ],
    ids=str,
)
def test_a_flag_reads_what_was_said_and_not_how_it_is_written(answer: Any, words: int) -> None:
    assert TooLong(max(1, words))(answer) == ""
    if words > 1:
        assert TooLong(words - 1)(answer).startswith(f"it has {words} words")
    assert Repeats()([Replace(order, "lamp") for order in range(9)]) == ""
    assert "3 times" in Repeats()([Replace(1, "a red lamp")] * 3)


# -- within a run ----------------------------------------------------------------------------------


def test_a_budget_counts_its_draws() -> None:
    run = execute(
        lambda: ahead_by(3)(colour)("x"),
        engine=drawing("red", "blue", "red"),
        budget=Budget(calls=3),
    )
    assert isinstance(run.error, BudgetExceeded) and run.receipt.calls == 3


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
