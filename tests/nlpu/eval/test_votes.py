"""Votes as a pure fold, held against the gambler's ruin; bounds against known figures."""

from __future__ import annotations

from math import comb
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpu.errors import BadOperand
from nlpu.eval.bounds import OutOfReach, cases_needed, shown
from nlpu.eval.votes import (
    Ahead,
    Majority,
    Rule,
    Tally,
    ahead_for,
    draws_ahead,
    fold,
    right_ahead,
)

RACES = 20_000
CHANCES = (0.6, 0.7, 0.8, 0.9, 0.99)


def channel(p: float, seed: object) -> Random:
    return Random(f"{p} {seed}")


# -- the formulae ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", CHANCES)
def test_the_fold_is_the_gamblers_ruin(p: float) -> None:
    dice = channel(p, "ruin").random
    for k in range(1, 7):
        rule, right, draws = Ahead(k), 0, []
        for _ in range(RACES):
            tally = fold(rule, lambda: dice() < p)
            won = rule.winner(tally)
            assert won is not None
            right += tally.answers[won]
            draws.append(tally.draws)
        reliability, mean = right_ahead(p, k), draws_ahead(p, k)
        error = (reliability * (1 - reliability) / RACES) ** 0.5
        assert abs(right / RACES - reliability) <= 3 * error
        assert abs(fmean(draws) - mean) <= 3 * stdev(draws) / RACES**0.5 + 1e-9


@pytest.mark.parametrize("p", [0.5, 0.3, 0.0])
def test_no_formula_is_of_a_coin(p: float) -> None:
    for ask in (lambda: right_ahead(p, 2), lambda: draws_ahead(p, 2), lambda: ahead_for(p, 0.9)):
        with pytest.raises(OutOfReach, match="get no better by voting") as caught:
            ask()
        assert caught.value.best == p


def test_k_follows_from_the_steps_and_what_all_of_them_are_to_reach() -> None:
    assert ahead_for(0.9, 0.95, steps=1000) == 5
    assert ahead_for(0.99, 0.95, steps=1_000_000) == 4  # 99 ** 4 is 96 millions
    assert ahead_for(1.0, 0.95, steps=1000) == ahead_for(0.97, 0.95) == 1
    for p in CHANCES:
        k = ahead_for(p, 0.95, steps=1000)
        assert right_ahead(p, k) ** 1000 >= 0.95 > right_ahead(p, k - 1) ** 1000


# -- rules -----------------------------------------------------------------------------------------


RULES = st.one_of(
    st.builds(Ahead, st.integers(1, 4)),
    st.integers(1, 4).flatmap(lambda k: st.builds(Ahead, st.just(k), st.integers(k, 12))),
    st.builds(Majority, st.integers(1, 9)),
)


@given(RULES, st.lists(st.sampled_from(["a", "b", "c", None]), max_size=80), st.randoms())
def test_what_is_asked_for_at_once_decides_nothing_before_it_is_there(
    rule: Rule, draws: list[str | None], dice: Random
) -> None:
    """So no draw is wasted, and their order does not matter."""
    tally, left = Tally(), list(draws)
    while 0 < (wanted := rule.wants(tally)) <= len(left):
        batch, left = left[:wanted], left[wanted:]
        dice.shuffle(batch)
        for number, answer in enumerate(batch):
            if number:
                assert isinstance(rule, Majority) or rule.winner(tally) is None
                assert rule.wants(tally) > 0 or rule.winner(tally) is None
            tally = tally.spoil() if answer is None else tally.vote(answer)
    assert tally.draws <= rule.most
    assert wanted == 0 or wanted > len(left)


@given(st.integers(1, 9), st.lists(st.sampled_from("abc"), min_size=9, max_size=9))
def test_a_majority_that_stops_early_is_that_of_all_draws(n: int, draws: list[str]) -> None:
    rule, told = Majority(n), iter(draws[:n])
    tally = fold(rule, lambda: next(told))
    counts = sorted(((draws[:n].count(each), each) for each in "abc"), reverse=True)
    won = rule.winner(tally)
    if counts[0][0] == counts[1][0]:
        assert won is None
    else:
        assert won is not None and tally.answers[won] == counts[0][1]


def test_majority_of_five_stops_at_three() -> None:
    assert fold(Majority(5), iter("aaaaa").__next__).draws == 3
    assert fold(Majority(5), iter("aabab").__next__).draws == 4


def test_all_must_agree_where_most_is_k_and_it_stops_when_they_cannot() -> None:
    rule = Ahead(3, most=3)
    assert rule.winner(fold(rule, iter("aaa").__next__)) == 0
    dissent = rule.winner(tally := fold(rule, iter("aba").__next__))
    assert (dissent, tally.draws) == (None, 3)
    assert fold(Ahead(3, most=4), iter("abb").__next__).draws == 3  # one more would be two ahead


def test_a_void_draw_is_drawn_and_votes_for_nobody() -> None:
    tally = Tally().vote("a").spoil()
    assert (tally.draws, tally.best()) == (2, (1, 0))
    assert Ahead(2, most=2).wants(tally) == 0
    assert Ahead(2, most=3).wants(tally) == 1


def test_equality_is_an_argument() -> None:
    tally = fold(Ahead(2), iter(["Yes", "yes."]).__next__, lambda a, b: a[0].lower() == b[0])
    assert (tally.answers, tally.counts) == (("Yes",), (2,))


def test_settings_that_mean_nothing_are_refused() -> None:
    for make in (lambda: Ahead(0), lambda: Ahead(3, most=2), lambda: Majority(0)):
        with pytest.raises(BadOperand, match="must be"):
            make()


# -- bounds ----------------------------------------------------------------------------------------


def test_what_sixty_cases_without_error_show() -> None:
    assert shown(60, 60) == pytest.approx(0.05 ** (1 / 60)) == pytest.approx(0.951, abs=5e-4)
    assert shown(15, 15) == pytest.approx(0.819, abs=5e-4)
    assert (shown(0, 9), shown(0, 0)) == (0.0, 0.0)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_a_bound_is_where_the_binomial_tail_is_the_level(counts: tuple[int, int]) -> None:
    right, count = counts
    share = shown(right, count)
    tail = sum(
        comb(count, i) * share**i * (1 - share) ** (count - i) for i in range(right, count + 1)
    )
    assert tail == pytest.approx(0.05, rel=1e-6)


@given(st.floats(0.5, 0.995), st.floats(0, 0.9))
def test_so_many_cases_show_it_and_one_less_does_not(reliability: float, part: float) -> None:
    needed = cases_needed(reliability)
    assert shown(needed, needed) >= reliability > shown(needed - 1, needed - 1)
    wrong = part * (1 - reliability) / 2
    assert cases_needed(reliability, wrong) >= needed


def test_what_no_number_of_cases_shows_is_refused() -> None:
    for reliability, wrong in ((0.9, 0.1), (1.0, 0.0), (0.9, 0.09999)):
        with pytest.raises(BadOperand):
            cases_needed(reliability, wrong)
