"""Tuning: sought on planning cases alone, within its budget, and gone on with after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from kit import Doomed, computer, execute, finish, resumed
from terminal_fixture import Terminal, nlpu

from nlpu import (
    BadOp,
    BadOperand,
    Case,
    HostError,
    Scripted,
    Unreachable,
    Usage,
    nlop,
    tune,
    variant,
)
from nlpu.eval.bounds import NotMeasured
from nlpu.runtime.eval.tuning import Tuned
from nlpu.runtime.eval.tuning_cases import divided
from nlpu.testing.scripted import Say, Seen

__all__ = ["nlpu"]
BLUE, GREEN = ("sky", "sea", "ink", "jeans"), ("grass", "leaf", "lime", "moss")
RED = ("blood", "rose", "brick", "ruby")
THINGS = {
    thing: name
    for name, things in (("blue", BLUE), ("green", GREEN), ("red", RED))
    for thing in things
}
BETTER = "Name the colour of the thing."


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


CASES = [({"text": f"{thing} {n}"}, name) for n in range(3) for thing, name in THINGS.items()]


def seeing(seen: Seen) -> str:
    """Says red, but for what is shown, or in better words; some replies are no result at first."""
    if "instruction" in seen.operands:
        return BETTER
    thing, number = seen.operands["text"].split()
    if number == "1" and not seen.again:
        return "???"
    knows = BETTER in seen.instruction or thing in seen.examples or thing in BLUE
    return THINGS[thing] if knows else "red"


def tuning(op: Any, cases: Any, nlops: Any = 80, seed: int = 0, examples: int = 4) -> Tuned:
    return tune(op, cases, nlops=nlops, seed=seed, examples=examples)


def blind(seen: Seen) -> Say:
    return Say("red", tokens=20)


def wordless(seen: Seen) -> Say:
    """As ``seeing``, but nobody words anything better."""
    said = "The same." if "instruction" in seen.operands else seeing(seen)
    return Say(said, tokens=15)


def shown_in(seen: Seen) -> list[str]:
    return [text for case, _ in CASES if (text := case["text"]) in seen.examples]


# -- what is found ---------------------------------------------------------------------------------


def test_better_words_are_found_and_shown_on_other_cases() -> None:
    run = execute(tuning, colour, CASES, engine=seeing)
    found, difference = run.result, run.result.report.differences[0]
    assert found.variant.text == BETTER and found.planned[1] == 1
    assert found.report.right == len(found.report.rows) == 18
    assert found.report.others[0].right < 18 and difference.interval[0] > 0
    assert str(difference) in found.variant.told and str(difference)[:40] in str(found)


def test_examples_are_found_where_words_bring_nothing() -> None:
    found = execute(tuning, colour, CASES, engine=wordless).result
    assert found.variant.examples and found.planned[1] > found.planned[0]
    assert all(
        THINGS[each.operands[0].split()[0]] == each.answer for each in found.variant.examples
    )


def test_what_is_no_better_does_not_replace_the_op() -> None:
    found = execute(tuning, colour, CASES, 60, engine=blind).result
    assert found.report is None and found.variant.of_op(colour) == colour
    assert "none was better than" in str(found)


def test_examples_can_be_left_out() -> None:
    engine = Scripted(seeing)
    execute(tuning, colour, CASES, 60, 0, 0, engine=engine)
    assert not any(shown_in(seen) for seen in engine.seen)


def test_reliability_that_is_asked_for_changes_nothing() -> None:
    plain = execute(tuning, colour, CASES, engine=seeing)
    for op, more in ((colour.using(reliability=0.9), {}), (colour, {"reliability": 0.9})):
        with computer(seeing) as machine:  # which has no datasheet
            run = finish(machine.start(tuning, op, CASES, **more))
        assert run.result == plain.result
        assert run.receipt.calls == plain.receipt.calls


def test_calls_after_it_are_as_reliable_as_those_of_the_run() -> None:
    def program() -> str:
        tuning(colour, CASES, 60, 0, 0)
        return str(colour("sky").value)

    with computer(blind) as machine:
        run = finish(machine.start(program, reliability=0.9))
    assert isinstance(run.error, NotMeasured)


# -- laws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_checking_cases_never_reach_the_search(seed: int) -> None:
    """Whatever they say is right, the search is the same, to the byte; and it asks none of them."""
    planning, checking = divided(colour, CASES, None, seed)
    theirs = {case.operands["text"] for case in checking}
    turned = {"red": "blue", "blue": "green", "green": "red"}
    other = [(given, turned[name] if given["text"] in theirs else name) for given, name in CASES]
    one, two = Scripted(seeing), Scripted(seeing)
    first = execute(tuning, colour, CASES, 70, seed, engine=one).result
    second = execute(tuning, colour, other, 70, seed, engine=two).result
    assert (first.variant.text, first.variant.examples, first.planned, first.tried) == (
        second.variant.text,
        second.variant.examples,
        second.planned,
        second.tried,
    )
    assert [seen.request.prompt for seen in one.seen] == [seen.request.prompt for seen in two.seen]
    ops = {first.variant.text, colour.text}
    for seen in one.seen:
        assert not theirs & set(shown_in(seen))
        if "wrong" in seen.operands:
            assert not [text for text in theirs if text in seen.operands["wrong"].split("\n")]
        elif seen.operands["text"] in theirs:
            assert any(text in seen.instruction for text in ops)
    assert len(planning) == len(checking) == 18 and not theirs & {
        case.operands["text"] for case in planning
    }


def test_a_case_is_never_shown_to_itself() -> None:
    engine = Scripted(wordless)
    execute(tuning, colour, CASES, engine=engine)
    shown = [seen for seen in engine.seen if shown_in(seen)]
    assert len(shown) > 30
    assert not [seen for seen in shown if seen.operands["text"] in shown_in(seen)]


@pytest.mark.parametrize("nlops", [24, 25.5, 30, 50])
def test_the_budget_is_never_exceeded(nlops: float) -> None:
    """Not even where every answer is as long as can be, and no result at first."""

    def script(seen: Seen) -> Say:
        most = seen.request.sampling.max_tokens
        return Say(seeing(seen) if seen.again else "???", tokens=most)

    for seed in range(3):
        run = execute(tuning, colour, CASES, nlops, seed, engine=script)
        assert run.result.nlops == pytest.approx(run.receipt.nlops)
        assert run.receipt.nlops <= nlops


@pytest.mark.parametrize("at", [30, 40, 60, 85])
def test_a_killed_tuning_goes_on_with_no_call_again(tmp_path: Path, at: int) -> None:
    expected = execute(tuning, colour, CASES, engine=seeing).result
    engine = Doomed(seeing, tmp_path / "runs", tmp_path / "grave", at)
    run = execute(tuning, colour, CASES, engine=engine, run_dir=tmp_path / "runs")
    after = Scripted(seeing)
    again = resumed(tmp_path / "grave", run, tuning, colour, CASES, engine=after)
    assert again.result == expected
    there, left = again.receipt.reused, again.receipt.calls
    assert there + left == run.receipt.calls and there > 0 and left > 0


def test_a_host_that_fails_while_words_are_sought_is_not_swallowed(tmp_path: Path) -> None:
    down = True

    def script(seen: Seen) -> Any:
        if "instruction" in seen.operands and down:
            return Unreachable("it is down")
        return seeing(seen)

    run = execute(tuning, colour, CASES, engine=script, run_dir=tmp_path)
    assert isinstance(run.error, HostError)
    down = False
    again = resumed(tmp_path, run, tuning, colour, CASES, engine=script)
    assert again.result.variant.text == BETTER and again.receipt.reused >= 18


# -- refused ---------------------------------------------------------------------------------------


def test_what_cannot_be_tuned_is_refused() -> None:
    for op, cases, nlops, error, says in (
        ("colour", CASES, 80, BadOp, "an op is tuned"),
        (colour, CASES[:7], 80, Usage, "7 cases that differ .* are too few"),
        (colour, CASES[:6] * 3, 80, Usage, "6 cases that differ"),
        (colour, CASES, 9, Usage, "9 nlops are too few: 18 planning cases asked once"),
        (colour, CASES, "9", Usage, "nlops must be"),
        (
            colour,
            [Case(id="a", op="judge", operands={"text": "a"}, expected="red")],
            80,
            Usage,
            "is a case of judge",
        ),
    ):
        run = execute(tuning, op, cases, nlops, engine=seeing)
        with pytest.raises(error, match=says):
            _ = run.result
        assert run.receipt.calls == 0


def test_what_an_op_shows_is_neither_planned_with_nor_checked_on() -> None:
    showing = colour.using(examples=[("sky 0", "blue"), ("sea 0", "blue")])
    halves = divided(showing, CASES, None, 0)
    texts = {case.operands["text"] for half in halves for case in half}
    assert len(texts) == 34 and not texts & {"sky 0", "sea 0"}


# -- from a terminal -------------------------------------------------------------------------------


def test_the_command_writes_a_variant_that_a_program_loads(nlpu: Terminal, tmp_path: Path) -> None:
    mine, data, out = tmp_path / "mine.py", tmp_path / "cases.jsonl", tmp_path / "colour.json"
    mine.write_text(
        "from typing import Literal\nfrom nlpu import nlop\n\n\n@nlop\n"
        "def colour(text: str) -> Literal['red', 'green', 'blue']:\n"
        '    """Which colour is it?"""\n'
    )
    data.write_text(
        "".join(json.dumps({"operands": given, "expected": name}) + "\n" for given, name in CASES)
    )
    args = ("tune", f"{mine}:colour", "--data", str(data), "--engine", "scripted")
    ended = nlpu(*args, "--nlops", "40", "--output", str(out))
    assert ended.code == 0 and "planning cases" in ended.out
    assert variant(colour, out).operands == colour.operands
    for options, says in (
        (("--nlops", "3"), "3 nlops are too few"),
        (("--nlops", "40", "--output", str(tmp_path / "none" / "file")), "cannot be written"),
    ):
        ended = nlpu(*args, *options)
        assert ended.code != 0 and says in ended.err


def test_cases_that_contradict_each_other_are_refused() -> None:
    odd = [*CASES, ({"text": "sky 0"}, "green")]
    run = execute(lambda: tuning(colour, odd), engine=seeing)
    assert isinstance(run.error, BadOperand) and "ask the same" in str(run.error)
    assert run.receipt.calls == 0
