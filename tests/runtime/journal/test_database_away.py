"""A database that goes away: a connection is cut, a commit's answer is lost, a server ends."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import Any

import pytest
from database_kit import PATIENCE_S, of, read, store, told, write
from kit import echo, finish, said

from nlpu.errors import StorageFailed
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import journals
from nlpu.testing.scripted import Scripted


def test_a_cut_connection_costs_nothing(postgres: Any) -> None:
    """Also where it is cut with the answer of a commit on its way: it is made once."""
    database = of(postgres.fresh())
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    with closing(store(database)) as one:
        for n in range(5):
            write(one, f"{n}", "same").result(PATIENCE_S)
            postgres.do(cut.format(database.url.rpartition("/")[2]))
        unheard(one)
        write(one, "last").result(PATIENCE_S)
        write(one, "after").result(PATIENCE_S)
        postgres.do(cut.format(database.url.rpartition("/")[2]))
    assert read(database) == [x for n in range(5) for x in (f"{n}", "same")] + ["last", "after"]
    store(database).close()  # nobody has it: it was given up, over another connection


def unheard(store: Any) -> None:
    """Have the next commit be made, and its answer lost with the connection."""
    commit = store._lease.commit

    def made(db: Any, batch: Any, *, again: bool) -> Any:
        store._lease.commit = commit
        assert commit(db, batch, again=again) is None
        store._lease._facts["commits"] -= 1  # as far as is known
        db.close()
        return commit(db, batch, again=again)  # raises, as the connection is closed

    store._lease.commit = made


def test_a_commit_that_was_given_up_and_made_is_followed_by_none(postgres: Any) -> None:
    """What came of it was not known, so all that builds on it fails, as after a kill."""
    database = of(postgres.fresh(), patience_s=0)
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        unheard(one)
        with pytest.raises(StorageFailed):
            write(one, "made").result(PATIENCE_S)
        for _ in range(2):
            with pytest.raises(StorageFailed, match="has been made after all"):
                write(one, "other").result(PATIENCE_S)
    assert read(database) == ["before", "made"]


def test_a_server_that_comes_back_in_time_is_waited_for(postgres: Any) -> None:
    database = of(postgres.fresh())
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        postgres.kill(signal.SIGINT)
        done = write(one, "while it was away")
        postgres.start()
        done.result(PATIENCE_S)
    assert read(database) == ["before", "while it was away"]


def test_one_that_does_not_come_back_is_a_failure_and_loses_nothing(postgres: Any) -> None:
    database = of(postgres.fresh(), patience_s=0.3)
    with closing(store(database)) as one:
        write(one, "before").result(PATIENCE_S)
        postgres.kill(signal.SIGINT)
        try:
            with pytest.raises(StorageFailed, match="what was finished before is kept"):
                write(one, "while it was away").result(PATIENCE_S)
            assert "See that it is up and can be reached" in told(journals, database)
        finally:
            postgres.start()
        write(one, "after").result(PATIENCE_S)
    assert read(database) == ["before", "after"]


def test_a_run_survives_the_end_of_its_server(postgres: Any) -> None:
    """Killed as a machine is, on the way: calls go on, each sent once; the result is the same."""
    database = of(postgres.fresh(), patience_s=PATIENCE_S)
    engine, crashes = Scripted(said), [1, 3]

    def program() -> list[str]:
        texts = []
        for n in range(6):
            texts.append(str(echo(f"{n}")))
            if n in crashes:
                crashes.remove(n)
                postgres.crash()
        return texts

    with Computer(engine, store=database) as machine:
        run = finish(machine.start(program))
    assert run.result == [f"{n}" for n in range(6)]
    assert len(engine.seen) == 6
    postgres.settle()
    silent = Scripted("never")
    with Computer(silent, store=database) as machine:
        assert finish(machine.resume(run.name, program)).result == run.result
    assert silent.seen == []
