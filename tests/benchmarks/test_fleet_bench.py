"""The benchmark of workers, small."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.fleet import measured

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


@pytest.mark.slow
def test_what_a_second_worker_costs(postgres: Any) -> None:
    found = measured(postgres.fresh(), rounds=1, runs=40, calls_per_s=0)
    assert set(found["workers"]) == {"1", "2"}
    for each in found["workers"].values():
        assert each["rows_s"] > 0 < each["commits_s"]
        assert 10 < each["database_cpu_us_a_call"] < 100_000
