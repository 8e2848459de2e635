"""Time expressions in questions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpu.memory.times import spans_of

NOW_S = datetime(2023, 8, 20, 12, tzinfo=UTC).timestamp()
YEARS = range(2022, 2024)


@pytest.mark.parametrize(
    ("question", "spans"),
    [
        ("What happened on 7 May, 2023?", ["2023-05-06 2023-05-09"]),
        ("on May 7th 2023", ["2023-05-06 2023-05-09"]),
        ("the 7th of May 2023", ["2023-05-06 2023-05-09"]),
        ("camping in July 2022", ["2022-07-01 2022-08-01"]),
        ("camping in December", ["2022-12-01 2023-01-01", "2023-12-01 2024-01-01"]),
        ("What did Ann do in 2022?", ["2022-01-01 2023-01-01"]),
        ("What did Ann say yesterday?", ["2023-08-19 2023-08-20"]),
        ("last week", ["2023-08-13 2023-08-20"]),
        ("3 weeks ago", ["2023-07-30 2023-08-06"]),
        ("30 February 2023", ["2023-01-01 2024-01-01"]),  # no such day: the year is left
        ("When did Ann paint?", []),
        ("maybe 40 of them marched", []),
        ("May I ask who may march?", []),
        ("camping in May", ["2022-05-01 2022-06-01", "2023-05-01 2023-06-01"]),
        ("on 3 may 2023", ["2023-05-02 2023-05-05"]),
        ("December 9999 and 31 December 9999", []),  # no calendar goes on
        ("on 1 January 0001", []),
        (f"{'1' * 5000} days ago", []),  # more digits than a number may have
    ],
)
def test_spans_of_questions(question: str, spans: list[str]) -> None:
    found = [
        " ".join(datetime.fromtimestamp(edge, UTC).date().isoformat() for edge in span)
        for span in spans_of(question, NOW_S, YEARS)
    ]
    assert found == spans


def test_what_is_told_a_little_later_fits_half() -> None:
    (span,) = spans_of("in July 2023", NOW_S, YEARS)
    assert [span.fit(span.start_s - 1), span.fit(span.start_s)] == [0.0, 1.0]
    assert [span.fit(span.stop_s), span.fit(span.stop_s + 11 * 86400)] == [0.5, 0.0]


@settings(deadline=None)
@given(st.text(st.sampled_from("may 1238,ago weeklastdy."), max_size=40))
def test_any_question_has_spans(question: str) -> None:
    for span in spans_of(question, NOW_S, YEARS):
        assert span.start_s < span.stop_s
