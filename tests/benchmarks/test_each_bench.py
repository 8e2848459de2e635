"""The benchmark of ``nlpu run --each``: a small one."""

from __future__ import annotations

import pytest

from benchmarks.each import measure


@pytest.mark.slow
def test_documents_are_counted_killed_and_compared() -> None:
    figures = measure(documents=600, calls_per_s=100, tokens=8)
    assert figures["killed_results_are_the_same"] and figures["never_sent"] == 0
    assert "NOT" not in figures["sent_again"] + figures["memory_mb_grown"]
    first, second = figures["killed_at"]
    assert 200 <= first < second < 600
