"""A batch of several workers: what one process gives, in whatever way it is carried out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fleet_kit import Threads, crew, lines

from nlpu import Fleet
from nlpu.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Interrupted,
    NlpuError,
    RunBusy,
    Usage,
)
from nlpu.runtime import Computer
from nlpu.runtime.fleet.driving.local import Processes
from nlpu.runtime.fleet.plan import Entry
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.terminal.show.archive import find

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
INPUTS = [*(f"text {n}" for n in range(20)), "odd", "text 3"]


@pytest.fixture
def database(postgres: Any) -> Database:
    found = place_of(postgres.fresh())
    assert isinstance(found, Database)
    return found


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


ODD = ["a\0b", "half \ud800", '"quoted"', "two\nlines", ""]


def test_ids_and_texts_that_no_database_takes_are_kept(database: Database, tmp_path: Path) -> None:
    """The lines, and their runs' headers, have them as they are; in the next life, too."""
    inputs = [Entry(odd, (f"text\0 {at}",), {}) for at, odd in enumerate(ODD)]
    for _ in range(2):
        items = list(crew(database, tmp_path, inputs))
        assert [(item.id, item.status) for item in items] == [(odd, "done") for odd in ODD]
    headers = [find(database, item.run).past.header for item in items]
    assert [each["each"]["id"] for each in headers] == ODD


UNFIT: list[tuple[Entry, Any]] = [
    (Entry("", (), {"nosuch": "a"}), {"nosuch": "a"}),
    (Entry("", ("a", "b", "c"), {}), ("a", "b", "c")),
    (Entry("", (5,), {}), 5),
    (Entry("", (["a"],), {}), ["a"]),
    (Entry("", ("a",), {}), "a"),
]


def test_an_input_that_does_not_fit_fails_alone(database: Database, tmp_path: Path) -> None:
    found = [item.line() for item in crew(database, tmp_path, [entry for entry, _ in UNFIT])]
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("scripted", run_dir=tmp_path / "runs") as computer:
        inputs = [each for _, each in UNFIT]
        assert found == [item.line() for item in computer.map(program, inputs, name="batch")]
    assert [json.loads(line)["status"] for line in found] == [*["failed"] * 4, "done"]


TYPED = """
from datetime import date
from pydantic import BaseModel

class Letter(BaseModel):
    text: str
    on: date = date(2020, 1, 1)

def go(letter: Letter, weight: float, raw: bytes, *days: date, **more: set[int]):
    return [type(letter).__name__, weight, repr(raw), [repr(day) for day in days], repr(more)]
"""


def test_arguments_reach_a_worker_as_they_were(database: Database, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TYPED)
    inputs: list[Entry] = []  # of types that the driver's program brings
    made = crew(database, tmp_path, (each for each in inputs), function="go")
    program = made._program
    given = (program.__globals__["Letter"](text="a"), 5, b"ab", date(2020, 1, 1), date(2021, 1, 1))
    inputs.append(Entry("", given, {"k": {2, 1}}))
    (item,) = made
    assert item.result == program(*given, k={2, 1})


@pytest.mark.parametrize("odd", [b"x", date(2020, 1, 1), ("a", "b"), float("nan")])
def test_what_a_worker_would_get_otherwise_is_refused(
    odd: Any, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(Usage, match=r"input 2 goes to a worker as JSON, .* and would be another"):
        list(crew(database, tmp_path, ["a", odd]))


def test_an_input_that_would_be_a_setting_is_refused(tmp_path: Path) -> None:
    with Computer("scripted") as computer, pytest.raises(Usage, match="input 1 has 'budget', wh"):
        list(computer.map(named, [{"budget": 5}]))


def test_a_fact_that_no_database_takes_is_not_the_servers_fault(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(Usage, match=r"it has a character that no database takes, U\+0000"):
        list(crew(database, tmp_path, ["a"], facts={"system": "a\0b"}))


def test_as_they_come(database: Database, tmp_path: Path) -> None:
    found = lines(crew(database, tmp_path, INPUTS, ordered=False))
    assert sorted(each["index"] for each in found) == list(range(len(INPUTS)))


def test_runs_are_looked_at_and_replayed_as_any(database: Database, tmp_path: Path) -> None:
    item = list(crew(database, tmp_path, INPUTS))[7]
    program = load(f"{tmp_path / 'mine.py'}:chain").function
    with Computer("scripted", store=database) as computer:
        run = computer.resume(item.run, program, "text 7").wait()
    assert run.result == item.result and run.receipt.calls == 0


def test_one_driver_at_a_time(database: Database, tmp_path: Path) -> None:
    first = crew(database, tmp_path, INPUTS)
    first.open()
    second = crew(database, tmp_path, INPUTS)
    second.open()  # the same process may: its first life is over, as far as the database knows
    second.close()
    first.close()


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


def test_workers_that_were_told_of_other_limits_end(database: Database, tmp_path: Path) -> None:
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
    while (why := worker.beat(keep=False)) is None:
        pass
    assert "begun again with other limits" in str(why) and entering.is_alive()
    worker.close()
    entering.join()
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
        why = worker.beat(keep=False)
        assert isinstance(why, Interrupted)
        assert "the batch batch stopped it (interrupted); when it goes on, so can this" in str(why)
        worker.close()
    assert batch.counts.joined == 1 and str(batch.error) == "interrupted"
    batch.close()
    assert len(lines(crew(database, tmp_path, INPUTS))) == len(INPUTS), "and it goes on"


def test_its_seconds_run_out(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded, match="0 seconds ran out"):
        list(crew(database, tmp_path, INPUTS, budget=Budget(seconds=0)))
    assert len(lines(crew(database, tmp_path, INPUTS))) == len(INPUTS), "and it goes on"


def test_what_it_needs_is_imported_when_it_is_asked_for() -> None:
    found = "print([n for n in ('psycopg', 'ray') if n in sys.modules])"
    code = f"import sys; from nlpu import *; Fleet; {found}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_ray_it_is_said_how_to_add_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from nlpu.runtime.fleet.driving.fleet import hands_of\n"
        "from nlpu.runtime.journal.where import Database\n"
        "try: hands_of(Database('', ''), 'batch', 'local', print)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingPart --ray needs Ray: pip install")
    assert "[fleet]" in done.stdout


def test_a_program_without_a_name_is_refused(database: Database) -> None:
    with pytest.raises(Usage, match="a lambda has no name"):
        Fleet(lambda text: text, ["a"], store=database, name="batch")
    with pytest.raises(Usage, match="take letters and digits"):
        Fleet(named, ["a"], store=database, name="a_b")
    with pytest.raises(Usage, match="workers share a database"):
        Fleet(named, ["a"], store="runs", name="batch")


def named(text: str) -> str:
    return text


def test_a_named_batch_of_one_computer_is_in_a_folder(database: Database) -> None:
    """In a database it is its workers'; one without a name is its program's runs, as any."""
    with Computer("scripted", store=database) as computer:
        with pytest.raises(Usage, match=r"in a database by workers: nlpu\.Fleet"):
            list(computer.map(named, ["a"], name="batch"))
        assert [item.result for item in computer.map(named, ["a", "b"])] == ["a", "b"]


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


KEYED = """
from pathlib import Path
from nlpu.errors import NeedsPerson
from nlpu.runtime.drivers import fencing_token, idempotency_key
from nlpu.runtime.drivers.driver import driver

ACTS = Path(__file__).parent / "acts"

@driver(effect="external", idempotent=IDEMPOTENT)
def pay(whom: str) -> str:
    \"\"\"Pay, at a service that knows keys.\"\"\"
    first = not ACTS.exists()
    with ACTS.open("a") as acts:
        acts.write(f"{idempotency_key()} {fencing_token()}\\n")
    if first:
        raise NeedsPerson("its worker ends before it is known what came of it")
    return "paid"

def chain(text: str) -> str:
    return str(pay(text))
"""


def keyed(database: Database, folder: Path, idempotent: bool) -> list[str]:
    """How a batch of one act ends whose first attempt had no outcome, and ends when given again."""
    source = KEYED.replace("IDEMPOTENT", str(idempotent))
    (folder / "mine.py").write_text(source)
    loaded = load(f"{folder / 'mine.py'}:chain")
    facts = {"header": {"program": loaded.spec, "file": loaded.digest}}  # its user's words
    batch = crew(database, folder, ["ann"], facts=facts)
    return [each["status"] for each in lines(batch)]


def test_an_act_is_made_again_only_under_the_key_of_the_first(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """What its service sees: the same key in each life, with a larger token; others' are others."""
    assert keyed(database, tmp_path, True) == ["needs_person"]
    assert keyed(database, tmp_path, True) == ["done"]
    other = place_of(postgres.fresh())
    assert isinstance(other, Database)
    assert keyed(other, tmp_path, True) == ["done"], "under the same names, in another database"
    acts = [line.split() for line in (tmp_path / "acts").read_text().splitlines()]
    (one, first), (same, second), (another, third) = acts
    assert one == same != another
    assert int(first) == int(third) == 1 < int(second)


def test_an_act_that_takes_no_key_is_never_repeated_by_a_take_over(
    database: Database, tmp_path: Path
) -> None:
    for _ in range(2):
        assert keyed(database, tmp_path, False) == ["needs_person"]
    assert len((tmp_path / "acts").read_text().splitlines()) == 1


STORAGE = """
from pathlib import Path
from nlpu import nlop
from nlpu.errors import StorageFailed

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if not (Path(__file__).parent / "back").exists():
        (Path(__file__).parent / "back").touch()
        raise StorageFailed("cannot use the database: it is away")
    return said
"""


def test_that_nothing_could_be_written_is_no_outcome(database: Database, tmp_path: Path) -> None:
    """Not even where the row of a run's end was written when the database was back."""
    batch = crew(database, tmp_path, INPUTS, program=STORAGE)
    found = lines(batch)
    assert {each["status"] for each in found} == {"done"}
    assert [type(each).__name__ for each in batch._keeper.hands.errors.values()] == [
        "StorageFailed"
    ]
    assert batch.receipt.answered.calls == len(INPUTS), "it went on with what was answered"


DEADLY = """
import os
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if text == "text 2":
        os._exit(7)
    return said
"""


@pytest.mark.slow  # processes are begun for each death
def test_an_input_that_ends_its_process_fails_and_all_others_are_done(
    database: Database, tmp_path: Path
) -> None:
    def processes(where: Database, stem: str) -> Processes:
        return Processes(where, stem, tmp_path / "logs")

    made = dict(program=DEADLY, hands=processes, at_once=16)
    found = lines(crew(database, tmp_path, INPUTS, **made))
    assert [each["index"] for each in found if each["status"] != "done"] == [2]
    why = found[2]["error"]
    assert why["type"] == "HostError"
    assert "ended with exit code 7, 4 times; the last time nothing else was" in why["message"]
    logs = [path.read_text() for path in (tmp_path / "logs").iterdir()]
    assert logs.count("this process ended with exit code 7\n") == 4
    assert lines(crew(database, tmp_path, INPUTS, **made)) == found, "nor is it tried again"
    (tmp_path / "mine.py").write_text(DEADLY.replace("os._exit(7)", "pass"))
    again = lines(crew(database, tmp_path, INPUTS, **made, retry=True, changed=True))
    assert [each["status"] for each in again] == ["done"] * len(INPUTS)
    assert again[2]["cost"]["calls"] == 1, "what was answered is met"


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


FLAGGED = """
from pathlib import Path
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    \"\"\"Go on from the text.\"\"\"

def chain(text: str) -> str:
    said = str(step(text))
    if text == "text 2":
        flag = Path(__file__).parent / "flag"
        if not flag.exists() or flag.read_text():
            raise ValueError(flag.read_text() if flag.exists() else "no flag")
        said = str(step("more"))
    return said
"""


def test_a_failure_that_was_gone_on_with_alone_is_taken_up(
    database: Database, tmp_path: Path
) -> None:
    first = lines(crew(database, tmp_path, INPUTS, program=FLAGGED))
    program = load(f"{tmp_path / 'mine.py'}:chain").function

    def alone(flag: str) -> str:
        (tmp_path / "flag").write_text(flag)
        with Computer("scripted", store=database) as computer:
            return str(computer.resume(first[2]["run"], program, "text 2").wait().status)

    assert "no flag" in first[2]["error"]["message"] and first[2]["cost"]["calls"] == 1
    same = crew(database, tmp_path, INPUTS, program=FLAGGED)
    assert lines(same) == first and same._keeper.hands.told == {}
    assert alone("another flag") == "failed"
    found = lines(crew(database, tmp_path, INPUTS, program=FLAGGED))
    assert "another flag" in found[2]["error"]["message"] and found[3:] == first[3:]
    assert alone("") == "done"
    batch = crew(database, tmp_path, INPUTS, program=FLAGGED)
    found = lines(batch)
    assert found[2]["status"] == "done" and found[2]["cost"]["calls"] == 2
    assert batch.receipt.answered.calls == len(INPUTS) + 1


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


__all__ = ["Threads"]
