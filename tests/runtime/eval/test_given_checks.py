"""What is given to corrections: refused where it can be no check, and never taken for a yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from corrections_kit import about, colour, names
from kit import execute, yes

from nlpu import Say, Scripted, nlop
from nlpu.errors import BadOp, ProgramError
from nlpu.eval.flags import TooLong
from nlpu.runtime.eval.corrections.cascades import cascade, fallback
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.corrections.verifying import verified
from nlpu.runtime.eval.corrections.voting import ahead_by, majority
from nlpu.testing.scripted import Seen


@nlop
def alike(one: str, other: str) -> Literal["same", "different"]:
    """Is it the same?"""


@nlop
def three(one: str, other: str, more: str) -> bool:
    """Do they fit?"""


async def later(answer: Any) -> bool:
    return False


class Later:
    async def __call__(self, answer: Any) -> bool:
        return False


# -- objections reach whatever is corrected --------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        ahead_by(2)(colour),
        majority(3)(colour),
        cascade(colour, colour.using(system="Brief.")),
        fallback(colour),
        verified(bool)(colour),
    ],
    ids=["ahead", "majority", "cascade", "fallback", "verified"],
)
def test_an_objection_is_fed_back_to_what_others_corrected(subject: Any) -> None:
    def script(seen: Seen) -> str:
        return "blue" if "objections to earlier answers" in seen.operands else "red"

    def check(said: Any) -> str:
        return "" if said == "blue" else "not that"

    run = execute(lambda: verified(check)(subject)("x"), engine=script)
    assert run.result == "blue"


def test_checks_around_checks_keep_all_objections() -> None:
    answers = iter(["one two three", "one two", "one", "four"])
    engine = Scripted(lambda seen: next(answers))

    def outer(said: str) -> str:
        return "" if said == "four" else "it must be four"

    run = execute(lambda: verified(outer)(verified(TooLong(1))(about))("x"), engine=engine)
    assert run.result == "four"
    told = engine.seen[-1].operands["objections to earlier answers"]
    assert told == "one: it must be four"


# -- checks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check", [names, alike, later, Later()], ids=["list", "choice", "async", "object"]
)
def test_what_can_be_no_check_is_refused(check: Any) -> None:
    with pytest.raises(BadOp, match="check must"):
        verified(check)


def test_a_check_that_holds_an_op_is_a_function_all_the_same() -> None:
    @dataclass(frozen=True)
    class Holding:
        op: Any

        def __call__(self, answer: Any) -> bool:
            return bool(self.op(answer).value)

    run = execute(
        lambda: verified(Holding(yes), attempts=1)(colour)("x"),
        engine=lambda seen: "no" if "Is it so" in seen.instruction else "red",
    )
    assert isinstance(run.result, Unsure) and "not so: Holding" in run.result.why


def test_a_check_takes_the_answer_or_all() -> None:
    with pytest.raises(BadOp, match="takes 3 operands"):
        verified(three)(colour)


@pytest.mark.parametrize("said", [["bad"], 1, later("x")], ids=["list", "number", "coroutine"])
def test_a_word_that_is_none_of_a_check_passes_nothing(said: Any) -> None:
    run = execute(lambda: verified(lambda answer: said)(colour)("x"), engine="red")
    assert isinstance(run.error, ProgramError) and "must give what is wrong" in str(run.error)
    assert run.receipt.calls == 1


def test_a_check_that_is_unsure_objects() -> None:
    said = iter(["yes", "no"])

    def script(seen: Seen) -> str:
        return next(said) if "Is it so" in seen.instruction else "red"

    checked = verified(majority(2)(yes), attempts=1)(colour)
    run = execute(lambda: checked("x"), engine=script)
    assert isinstance(run.result, Unsure) and "did not decide it" in run.result.why


# -- equal, flags, sure ----------------------------------------------------------------------------


@pytest.mark.parametrize("equal", [alike, yes, later, 5, ["set"]], ids=str)
def test_equal_must_say_yes_or_no(equal: Any) -> None:
    with pytest.raises(BadOp, match="equal must"):
        ahead_by(2, equal=equal)


def test_equal_that_says_neither_counts_nothing() -> None:
    vote = majority(3, equal=lambda one, other: "different")
    run = execute(lambda: vote(colour)("x"), engine="red")
    assert isinstance(run.error, ProgramError) and "must give True or False" in str(run.error)


@pytest.mark.parametrize("op", [about, colour, ahead_by(2)(about)], ids=["text", "choice", "vote"])
def test_a_set_is_of_lists(op: Any) -> None:
    with pytest.raises(BadOp, match="equal='set' is for lists"):
        majority(3, equal="set")(op)


@pytest.mark.parametrize("flags", [TooLong(3), "abc", [5], [later], [yes], None], ids=str)
def test_flags_are_functions(flags: Any) -> None:
    with pytest.raises(BadOp, match="flag"):
        ahead_by(2, flags=flags)


def test_a_flag_says_what_is_wrong() -> None:
    vote = ahead_by(2, flags=[lambda answer: True])
    run = execute(lambda: vote(colour)("x"), engine="red")
    assert isinstance(run.error, ProgramError) and "it gave True" in str(run.error)
    fine = ahead_by(2, flags=[lambda answer: len(answer) > 5 and "too long"])
    assert execute(lambda: fine(colour)("x"), engine="red").result == "red"


def test_a_check_that_says_nothing_passes_no_answer() -> None:
    """A check without a return would pass all; ``""`` says that nothing is wrong."""
    run = execute(lambda: verified(lambda answer: None)(colour)("x"), engine="red")
    assert isinstance(run.error, ProgramError) and "it gave None" in str(run.error)


def test_sure_is_of_judgements() -> None:
    with pytest.raises(BadOp, match=r"sure=0.9 is of judgements; colour gives"):
        cascade(colour, colour.using(processor="large"), sure=0.9)


def test_why_all_draws_were_void_is_kept() -> None:
    op = colour.using(retries=0)
    run = execute(lambda: majority(3)(op)("x"), engine=Say("mauve"))
    assert isinstance(run.result, Unsure)
    assert "none of 3 draws is valid, the last because: " in run.result.why
    flagged = majority(3, flags=[TooLong(1)])(about)
    assert "it has 2 words" in execute(lambda: flagged("x"), engine="two words").result.why
