"""A batch of several workers, for who drives it: what one process gives."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fleet_kit import INPUTS, crew, lines

from nlpu.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Interrupted,
    JournalDamaged,
    RunBusy,
    StorageFailed,
    Unreachable,
    Usage,
)
from nlpu.runtime import Computer
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.places import journals, place_of, remove, size_of
from nlpu.runtime.journal.where import Database, Seat
from nlpu.runtime.loader import load
from nlpu.runtime.scheduler.budget import Budget

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")


def test_lines_are_those_of_one_process(database: Database, tmp_path: Path) -> None:
    found = [item.line() for item in crew(database, tmp_path, INPUTS, workers=3)]
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        alone = [item.line() for item in computer.map(program, INPUTS, name="batch")]
    assert found == alone


def test_the_same_again_asks_nothing(database: Database, tmp_path: Path) -> None:
    first = list(crew(database, tmp_path, INPUTS))
    again = crew(database, tmp_path, INPUTS)
    assert lines(again) == lines(first)
    assert again._keeper.hands.told == {}, "no worker was begun"
    more = lines(crew(database, tmp_path, ["new", *INPUTS]))
    assert [each["result"] for each in more[1:]] == [each["result"] for each in lines(first)]
    assert more[0]["run"] == f"batch.{len(INPUTS) + 1}", "numbers of runs stay"
    fewer = lines(crew(database, tmp_path, INPUTS[:3]))
    assert fewer == lines(first)[:3]


def test_a_driver_that_was_followed_stops_nobody(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """A laptop that slept: whoever drives the batch by now goes on."""
    late = crew(database, tmp_path, INPUTS)
    late.open()
    late.enter()
    name = database.url.rpartition("/")[2]
    postgres.do("UPDATE nlpu.batch SET owner = 'another', until_s = 1e18", name)
    with pytest.raises(RunBusy, match="this batch is driven by"):
        list(late)
    late.stop(Interrupted("the command ends"))
    late.close()
    assert postgres.do("SELECT owner, stopped FROM nlpu.batch", name) == [("another", "")]


TEXT = """
op shorten(text: str) -> str max_tokens=16 at_limit="trim": "Shorten the text."
driver calculate
param %1 text: str
%2 = shorten %1
%3 = calculate "1 + 1"
return {"short": %2, "two": %3}
"""


def test_a_program_as_text_is_one_as_any(database: Database, tmp_path: Path) -> None:
    found = lines(crew(database, tmp_path, INPUTS, program=TEXT, name="plan.nl", workers=2))
    program = load(str(tmp_path / "plan.nl")).function
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        alone = lines(computer.map(program, INPUTS, name="batch"))
    assert found == alone and {each["status"] for each in found} == {"done"}
    (tmp_path / "plan.nl").write_text(TEXT.replace("1 + 1", "1 + 2"))
    with pytest.raises(Usage, match="has changed since it began"):
        list(crew(database, tmp_path, INPUTS, name="plan.nl"))


def test_as_they_come(database: Database, tmp_path: Path) -> None:
    found = lines(crew(database, tmp_path, INPUTS, ordered=False))
    assert sorted(each["index"] for each in found) == list(range(len(INPUTS)))


def test_runs_are_looked_at_and_replayed_as_any(database: Database, tmp_path: Path) -> None:
    item = list(crew(database, tmp_path, INPUTS))[7]
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("scripted", store=database) as computer:
        run = computer.resume(item.run, program, "text 7").wait()
    assert run.result == item.result and run.receipt.calls == 0


def test_a_run_that_cannot_be_gone_on_with_takes_no_batch_along(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """Its journal has no commit but its workers': it is no journal that was never written."""
    done = lines(crew(database, tmp_path, INPUTS))
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("http://127.0.0.1:9", store=database) as away, pytest.raises(Unreachable):
        away.resume("batch.8", program, "text 7")
    again = crew(database, tmp_path, INPUTS)
    assert lines(again) == done and again._keeper.hands.told == {}, "no worker was begun"
    name = database.url.rpartition("/")[2]
    postgres.do("DELETE FROM nlpu.log WHERE ctid = (SELECT min(ctid) FROM nlpu.log)", name)
    with Computer("scripted", store=database) as computer, pytest.raises(JournalDamaged):
        computer.resume("batch.8", program, "text 7")
    assert [seat.stem for seat in journals(database) if isinstance(seat, Seat)] == ["batch"]


def test_a_run_that_somebody_made_of_another_is_no_input_s(
    database: Database, tmp_path: Path
) -> None:
    """Its number is none that an input has, or gets: its result would be that input's."""
    few = {"budget": Budget(calls=7), "workers": 1, "at_once": 1}
    with pytest.raises(BudgetExceeded):
        list(crew(database, tmp_path, INPUTS[:6], **few))
    program = load(f"{tmp_path / 'mine.py'}:chain").function

    def edit() -> int:
        edits = Edits(results={"main/2": "EDITED"})
        with Computer("scripted", store=database) as computer:
            run = computer.rerun("batch.2", program, "text 1", edits=edits)
            assert run.result == "EDITED"
        return int(run.name.partition(".")[2])

    assert edit() == 7
    whole = lines(crew(database, tmp_path, INPUTS[:6]))
    assert edit() == 8
    more = lines(crew(database, tmp_path, INPUTS[:9]))
    assert [each["run"] for each in more[6:]] == ["batch.9", "batch.10", "batch.11"]
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        alone = lines(computer.map(program, INPUTS[:9], name="batch"))
    assert more[:6] == whole == alone[:6]
    assert [each["result"] for each in more] == [each["result"] for each in alone]


def test_one_driver_at_a_time(database: Database, tmp_path: Path) -> None:
    first = crew(database, tmp_path, INPUTS)
    first.open()
    second = crew(database, tmp_path, INPUTS)
    second.open()  # the same process may: its first life is over, as far as the database knows
    second.close()
    first.close()


def test_a_driver_stays_one_while_inputs_come_slowly(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """Its lease had ended meanwhile: to another driver, or to prune, it was dead."""
    name, left = database.url.rpartition("/")[2], list[float]()

    def slowly() -> Any:
        for each in INPUTS[:3]:
            postgres.do("UPDATE nlpu.batch SET until_s = 1", name)
            batch._tend_s = 0.0  # a while has passed
            yield each
            left.extend(postgres.do("SELECT until_s FROM nlpu.batch", name)[0])

    batch = crew(database, tmp_path, slowly())
    assert len(lines(batch)) == 3
    assert len(left) == 3 and min(left) > 1
    batch.close()


def test_a_database_that_cannot_hold_every_input_and_outcome_is_refused_before_anything_is_made(
    postgres: Any, tmp_path: Path
) -> None:
    """An answer that it could not hold would be paid for again and again."""
    name = "latin_for_batches"
    postgres.do(f"CREATE DATABASE {name} ENCODING LATIN1 TEMPLATE template0")
    place = place_of(postgres.url(name))
    assert isinstance(place, Database)
    batch = crew(place, tmp_path, ["中文", "a"])
    with pytest.raises(Usage, match="its encoding is not UTF8: make one that does"):
        list(batch)
    batch.close()
    assert postgres.do("SELECT FROM pg_namespace WHERE nspname = 'nlpu'", name) == []


def test_a_batch_that_is_driven_is_not_removed_and_one_that_is_gone_is_told_of(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """Before its first worker comes, and after its last one, nobody but its driver holds it."""
    from nlpu.runtime.fleet.workers.claims import Claims

    driven = crew(database, tmp_path, INPUTS)
    driven.open()
    driven.enter()
    assert size_of(Seat(database, "batch")) > sum(map(len, INPUTS)), "they are kept there"
    with pytest.raises(RunBusy):
        remove(Seat(database, "batch"))
    claims = Claims(database, "batch", "")
    asked = [driven.desk.beat, driven.desk.facts, driven.desk.stopped]
    asked += [claims.beat]
    postgres.do("DELETE FROM nlpu.journal", database.url.rpartition("/")[2])
    for ask in asked:
        with pytest.raises(StorageFailed, match="is gone from"):
            ask()
    claims.close()
    with pytest.raises(StorageFailed, match=r"nlpu runs prune does\); the same command"):
        list(driven)
    found = crew(database, tmp_path, INPUTS[:3])
    assert len(lines(found)) == 3
    found.close()
    remove(Seat(database, "batch"))
    assert not journals(database)


def test_a_budget_stops_all_and_more_goes_on(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    stopped = crew(database, tmp_path, INPUTS, budget=Budget(calls=25), workers=3)
    with pytest.raises(BudgetExceeded):
        list(stopped)
    assert sum(stopped.receipt.answered[:1]) == 25, "all of it could be used, and no more was"
    assert stopped.counts.cost.calls == 25, "and so it is told"
    (done,) = postgres.do(
        "SELECT count(*) FROM nlpu.work WHERE state = 'done'", database.url.rpartition("/")[2]
    )[0]
    assert stopped.counts.done == done
    batch = crew(database, tmp_path, INPUTS, budget=Budget(calls=80))
    spent = sum(each.cost.calls for each in batch)
    receipt = batch.receipt
    assert spent == receipt.answered.calls == 3 * (len(INPUTS) - 1)
    assert sum(each.calls for each in receipt.by_worker.values()) == spent + receipt.lost.calls
    kept = json.loads(
        postgres.do("SELECT spent FROM nlpu.batch", database.url.rpartition("/")[2])[0][0]
    )
    assert [part[0] for part in kept] == [receipt.answered.calls, receipt.lost.calls]


def test_its_seconds_run_out(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded, match="0 seconds ran out"):
        list(crew(database, tmp_path, INPUTS, budget=Budget(seconds=0)))
    assert len(lines(crew(database, tmp_path, INPUTS))) == len(INPUTS), "and it goes on"


def test_another_program_is_refused(database: Database, tmp_path: Path) -> None:
    list(crew(database, tmp_path, INPUTS[:2]))
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("(3)", "(2)"))
    for inputs in (INPUTS[:2], [*INPUTS[:2], "more"]):  # all are done, or one is new
        with pytest.raises(Usage, match="has changed since it began"):
            list(crew(database, tmp_path, inputs))
    found = lines(crew(database, tmp_path, [*INPUTS[:2], "more"], changed=True))
    assert [each["cost"]["calls"] for each in found] == [3, 3, 2]


def test_a_program_that_a_worker_does_not_find(database: Database, tmp_path: Path) -> None:
    batch = crew(database, tmp_path, INPUTS[:2])
    (tmp_path / "mine.py").unlink()
    with pytest.raises(Usage, match=r"cannot be found on this worker.*Put its file there"):
        list(batch)


def test_failures_are_tried_again(database: Database, tmp_path: Path) -> None:
    first = lines(crew(database, tmp_path, INPUTS))
    assert [each["index"] for each in first if each["status"] == "failed"] == [20]
    again = lines(crew(database, tmp_path, INPUTS, retry=True))
    assert again == first


def test_it_is_gone_through_in_async_code_too(database: Database, tmp_path: Path) -> None:
    async def found() -> list[str]:
        return [item.line() async for item in crew(database, tmp_path, INPUTS)]

    assert asyncio.run(found()) == [item.line() for item in crew(database, tmp_path, INPUTS)]
