"""The benchmark of workers, small."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.database_cpu import database_cpu_s
from benchmarks.fleet import measured
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


@pytest.mark.slow
def test_what_a_second_worker_costs(postgres: Any) -> None:
    found = measured(postgres.fresh(), rounds=1, runs=40, calls_per_s=0)
    assert set(found["workers"]) == {"1", "2"}
    assert all(each["rows_s"] > 0 < each["commits_s"] for each in found["workers"].values())


def test_what_a_database_uses_is_of_all_its_processes_and_of_those_that_ended(
    postgres: Any,
) -> None:
    place = place_of(postgres.url("shared"))
    assert isinstance(place, Database)
    before = database_cpu_s(place)
    postgres.do("SELECT sum(sqrt(n)) FROM generate_series(1, 2000000) n", "shared")
    assert before + 0.05 < database_cpu_s(place) < before + 60
