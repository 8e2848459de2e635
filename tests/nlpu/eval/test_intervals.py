"""Intervals: laws, and published figures."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpu.eval.intervals import bootstrap, newcombe, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, count: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)


def test_newcombe_as_published() -> None:
    """The 1998 paper's first contrived table: 36, 12, 2, 0."""
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


COUNT = st.integers(0, 60)


@given(COUNT, COUNT, COUNT, COUNT)
def test_newcombe_laws(both: int, first: int, second: int, neither: int) -> None:
    low, high = newcombe(both, first, second, neither)
    count = both + first + second + neither
    assert -1 <= low <= ((first - second) / count if count else 0) + 1e-12
    assert ((first - second) / count if count else 0) - 1e-12 <= high <= 1
    turned = newcombe(both, second, first, neither)
    assert turned == pytest.approx((-high, -low), abs=1e-9)
    if first == second:
        assert low == pytest.approx(-high)


@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_laws(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    share = right / (right + wrong) if right + wrong else 0.5
    assert 0 <= low <= share <= high <= 1
    assert wilson(wrong, right + wrong) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_the_bootstrap_is_the_same_each_time_and_holds_the_mean() -> None:
    scores = [0.1, 0.5, 0.5, 0.9, 1.0, 0.0] * 2
    low, high = bootstrap(scores, 0, 1)
    assert (low, high) == bootstrap(scores, 0, 1)
    assert 0 <= low < 0.5 < high <= 1
    assert bootstrap([], 0, 1) == (0, 1)
    many = bootstrap([0.0, 1.0] * 200, 0, 1)
    assert many == pytest.approx(wilson(200, 400), abs=0.01)


SHARES = st.integers(0, 1000).map(lambda n: n / 1000)


@given(st.lists(SHARES, min_size=1, max_size=9) | st.just([0.3] * 40))
def test_a_few_scores_or_equal_ones_are_not_taken_for_all_there_are(scores: list[float]) -> None:
    low, high = bootstrap(scores, 0, 1)
    assert 0 <= low <= fmean(scores) + 1e-9 and fmean(scores) - 1e-9 <= high <= 1
    assert high - low > 0.7 / len(scores) ** 0.5
    gaps = [2 * score - 1 for score in scores]
    assert bootstrap(gaps, -1, 1) == pytest.approx((2 * low - 1, 2 * high - 1), abs=1e-6)


def test_one_case_shows_no_difference() -> None:
    assert bootstrap([0.2], -1, 1)[0] < 0 < bootstrap([0.2], -1, 1)[1]
