"""What a worker claims of a batch, who is kept out, and how it is told that all is over."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fleet_kit import INPUTS, crew, lines

from nlpu.errors import (
    Interrupted,
    NlpuError,
    RunBusy,
)
from nlpu.runtime.journal.where import Database
from nlpu.runtime.scheduler.budget import Budget

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


def test_no_more_is_claimed_than_asked_for(database: Database, tmp_path: Path) -> None:
    """Nor more than a part of what is left, so that others find some."""
    from nlpu.runtime.fleet.workers.claims import Claims

    batch = crew(database, tmp_path, INPUTS)
    batch.open()
    batch.enter()
    one, other = Claims(database, "batch", "1"), Claims(database, "batch", "2")
    first = one.claim([], 3, 1)
    assert [work.run for work in first] == [1, 2, 3]
    assert [work.run for work in other.claim([], 5, 4)] == [4, 5, 6, 7]
    assert [work.run for work in one.claim([1, 2], 2, 1)] == [3, 8, 9], "3 was lost on its way"
    one.close()
    assert [work.run for work in other.claim([4, 5, 6, 7], 2, 1)] == [1, 2]
    other.close()
    batch.close()


def test_what_was_under_way_at_several_deaths_is_claimed_alone(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    from nlpu.runtime.fleet.workers.claims import Claims

    def dies(worker: Claims) -> None:
        late = f"UPDATE nlpu.worker SET until_s = 0 WHERE id = {worker.worker}"
        postgres.do(late, database.url.rpartition("/")[2])
        assert last.bury() == 1
        worker.close(json.dumps(["HostError", "signal 11 (SIGSEGV)", "host"]))

    batch = crew(database, tmp_path, INPUTS[:4])
    batch.open()
    batch.enter()
    last = Claims(database, "batch", "last")
    for _ in range(3):
        worker = Claims(database, "batch", "dead")
        assert [(each.run, each.alone) for each in worker.claim([], 2, 1)] == [
            (1, False),
            (2, False),
        ]
        dies(worker)
    assert [each.run for each in last.claim([], 9, 1)] == [3, 4], "what nobody died on comes first"
    worker = Claims(database, "batch", "dead")
    assert [(each.run, each.alone) for each in worker.claim([], 9, 1)] == [(1, True)]
    assert worker.claim([1], 9, 1) == []
    dies(worker)
    batch.desk.give_up(batch.desk.deadly())
    ((begun, kept),) = batch.desk.outcomes(0, [], 9)
    assert begun.at == 0 and kept.status == "failed"
    assert "signal 11 (SIGSEGV), 4 times" in kept.body
    worker = Claims(database, "batch", "other")
    assert [(each.run, each.alone) for each in worker.claim([], 9, 1)] == [(2, True)]
    worker.close()
    last.close()
    assert batch.desk.left()[0] == 3
    batch.close()


def test_workers_that_were_told_of_other_limits_end(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """Whoever begins it again with a budget is sure of that, whatever is still at work."""
    from nlpu.runtime.fleet.workers.claims import Claims

    first = crew(database, tmp_path, INPUTS)
    first.open()
    first.enter()
    first.desk.close()
    worker = Claims(database, "batch", "1")
    second = crew(database, tmp_path, INPUTS, budget=Budget(calls=900))
    second.open()
    entering = Thread(target=second.enter)
    entering.start()
    while (why := worker.beat().stopped) is None:
        pass
    assert "begun again with other limits" in str(why) and entering.is_alive()
    name, asked = database.url.rpartition("/")[2], "SELECT until_s FROM nlpu.batch"
    postgres.do("UPDATE nlpu.batch SET until_s = 1", name)
    stays = any(postgres.do(asked, name) != [(1,)] for _ in range(200))
    worker.close()
    entering.join()
    assert stays, "who waits for them goes on driving it"
    assert len(lines(second)) == len(INPUTS)


def test_who_joined_a_batch_is_told_that_its_driver_was_stopped(
    database: Database, tmp_path: Path
) -> None:
    """Ctrl-C of the command: nothing more is to be sent, by whomever; and it is said to all."""
    from nlpu.runtime.fleet.workers.claims import Claims

    batch = crew(database, tmp_path, INPUTS)
    batch.open()
    batch.enter()
    own, joined = Claims(database, "batch", "1"), Claims(database, "batch", "host-7")
    batch.stop(Interrupted("interrupted"))
    for worker in (own, joined):
        why = worker.beat().stopped
        assert isinstance(why, Interrupted)
        assert "the batch batch stopped it (interrupted); when it goes on, so can this" in str(why)
        worker.close()
    assert batch.counts.joined == 1 and str(batch.error) == "interrupted"
    batch.close()
    assert len(lines(crew(database, tmp_path, INPUTS))) == len(INPUTS), "and it goes on"


def test_who_has_nothing_to_do_with_it(database: Database, tmp_path: Path) -> None:
    """A late joiner of a batch that is over ends at once; of none it is told so."""
    from nlpu.runtime.fleet.workers.worker import work

    list(crew(database, tmp_path, INPUTS[:2]))
    assert work(database, "batch", "late", heed=False) == 0
    with pytest.raises(NlpuError, match="no batch nosuch"):
        work(database, "nosuch", heed=False)


def test_a_person_and_workers_keep_each_other_out(database: Database, tmp_path: Path) -> None:
    from nlpu.runtime.fleet.workers.claims import Claims
    from nlpu.runtime.journal.postgres.store import PostgresStore
    from nlpu.runtime.journal.where import Seat

    list(crew(database, tmp_path, INPUTS[:2]))
    worker = Claims(database, "batch", "1")
    with pytest.raises(RunBusy, match="the workers of its batch"):
        PostgresStore(Seat(database, "batch"))
    worker.close()
