"""How often workers look at the database: rarely where there are many, at once where called."""

from __future__ import annotations

import subprocess
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fleet_kit import INPUTS, crew

from nlpu.errors import Interrupted
from nlpu.runtime import Computer
from nlpu.runtime.fleet.driving.local import Processes
from nlpu.runtime.fleet.workers.pace import LOOKS_A_S, TICK_S, Pace, pause_s
from nlpu.runtime.handle import stop_all
from nlpu.runtime.journal.where import Database
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
from nlpu.runtime.fleet.driving.crew import Crew
from nlpu.runtime.fleet.workers.claims import Claims, Seen
from nlpu.runtime.fleet.workers.common import Commons
from nlpu.runtime.fleet.workers.lanes import CUT, Got, Lane
from nlpu.runtime.fleet.workers.patient import LENT, LOOK, MISSED
from nlpu.runtime.fleet.workers.worker_loop import Shift, WorkingComputer


def looks(alive: int, seconds: int, lease_s: float = 15.0) -> int:
    """How often so many workers look, all together."""
    found = 0
    for worker in range(alive):
        pace = Pace(worker, lease_s)
        for tick in range(5 * seconds):
            now_s = tick * TICK_S
            if pace.ticks(now_s) and pace.looks(now_s):
                pace.looked(now_s, alive)
                found += 1
    return found


@pytest.mark.parametrize("alive", [1, 2, 6, 16, 48, 64])
def test_all_workers_together_look_about_as_often_however_many(alive: int) -> None:
    assert looks(alive, 60) <= 60 * min(5 * alive, 1.25 * LOOKS_A_S) + alive


@pytest.mark.parametrize("alive", [1, 5, 200, 5000])
def test_a_look_comes_long_before_the_lease_ends(alive: int) -> None:
    pauses = [pause_s(alive, worker, 15.0) for worker in range(100)]
    assert min(pauses) >= TICK_S and max(pauses) <= 15 / 4
    assert alive < 9 or len(set(pauses)) > 90, "their turns do not stay together"


class Told(Claims):
    """Claims of a worker that are told what it hears and sees, and count."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "batch", "1")
        self.beats = self.claims = self.burials = 0
        self.heard, self.seen, self.dead = list[str](), Seen(None, 64, late=False), False

    def beat(self) -> Seen:
        self.beats += 1
        return self.seen

    def hear(self, wait_s: float = 0.0) -> list[str]:
        heard, self.heard = self.heard, []
        return heard

    def claim(self, live: Any, most: int, parts: int) -> list[Any]:
        self.claims += 1
        return []

    def has_dead_kin(self) -> bool:
        return self.dead

    def bury(self) -> int:
        self.burials += 1
        return 0


def entered(database: Database, folder: Path) -> tuple[Crew, Told]:
    """A batch whose inputs are there, and the claims of a worker of it."""
    batch = crew(database, folder, INPUTS)
    batch.open()
    batch.enter()
    return batch, Told(database)


def test_one_of_many_looks_in_its_turn_and_whenever_it_is_called(
    database: Database, tmp_path: Path
) -> None:
    (batch, claims), clock = entered(database, tmp_path), [100.0]
    computer = WorkingComputer("scripted", store=claims.joined)
    with computer:
        commons = Commons(claims, UNLIMITED, "")
        shift = Shift(computer, str, claims, commons, now=lambda: clock[0])

        def ticked(seconds: float, *said: str) -> tuple[int, int]:
            beats, tried, claims.heard = claims.beats, claims.claims, [*said]
            for _ in range(round(seconds / TICK_S)):
                clock[0] += TICK_S
                shift._tend()
            return claims.beats - beats, claims.claims - tried

        assert ticked(TICK_S) == (1, 1)
        assert ticked(20) in {(10, 10), (9, 9), (11, 11)}, "it was five times a second"
        for said in (claims.said(LOOK), MISSED):
            assert ticked(TICK_S, said) == (1, 1), "at once"
        assert ticked(TICK_S, "look 99") == ticked(TICK_S, claims.said(LENT)) == (0, 0)
        claims.dead, was = True, claims.burials
        ticked(2)
        assert claims.burials - was == 2, "its neighbour is looked after each second"
        claims.seen = Seen(Interrupted("stopped"), 64, late=False)
        with pytest.raises(Interrupted):
            ticked(TICK_S, claims.said(LOOK))
    claims.close()
    batch.close()


def test_what_cannot_wait_is_called_out(database: Database, postgres: Any, tmp_path: Path) -> None:
    """To all who work at the batch, over the connections that they have."""
    name = database.url.rpartition("/")[2]
    batch = crew(database, tmp_path, INPUTS)
    batch.open()
    batch.enter()
    one, other = Claims(database, "batch", "1"), Claims(database, "batch", "2")
    assert [each.hear(0) for each in (one, other)] == [[MISSED], [MISSED]], "at first all may be"
    assert one.hear(0) == other.hear(0) == []
    assert one.beat().alive == 2 and not one.has_dead_kin()

    def called(worker: Claims, what: str) -> bool:
        return any(map(worker.is_called, worker.hear(60))) == (what == LOOK)

    batch.desk.reopen(retry=False)
    assert called(one, LOOK) and called(other, LOOK), "inputs may be free"
    assert other.claim([], 99, 1) and not one.claim([], 9, 1)
    assert not one.is_over(), "others have what is left"
    postgres.do(f"UPDATE nlpu.worker SET until_s = 0 WHERE id = {other.worker}", name)
    assert one.beat().late and one.bury() == 1
    assert called(one, LOOK), "what it had is free"
    other.close()
    batch.stop(Interrupted("stopped"))
    assert called(one, LOOK) and str(one.beat().stopped) != "None"
    one.close()
    batch.close()


def test_each_worker_of_a_machine_has_the_next_one_as_its_neighbour(
    database: Database, postgres: Any, tmp_path: Path
) -> None:
    """So whoever dies has one that lives, and sees it: it is not waited for the lease's end."""
    name = database.url.rpartition("/")[2]
    batch = crew(database, tmp_path, INPUTS)
    batch.open()
    batch.enter()
    workers = [Claims(database, "batch", str(n)) for n in range(3)]
    ((owner,),) = {*postgres.do("SELECT owner FROM nlpu.worker", name)}
    dead = owner.rpartition(" ")[0] + " 0"  # another began under its number
    elsewhere = "far " + owner.partition(" ")[2]
    for gone, seen in ((1, [True, False, False]), (0, [True, False, True])):
        change = f"UPDATE nlpu.worker SET owner = '{dead}' WHERE id = {workers[gone].worker}"
        postgres.do(change, name)
        for worker in workers:
            worker.beat()
        assert [worker.has_dead_kin() for worker in workers] == seen
    postgres.do(f"UPDATE nlpu.worker SET owner = '{elsewhere}' WHERE owner = '{dead}'", name)
    workers[2].beat()
    assert not workers[2].has_dead_kin(), "another machine's is that one's to see"
    for worker in workers:
        worker.close()
    batch.close()


def test_a_refusal_is_called_out_once_by_those_that_met_it_together(
    database: Database, tmp_path: Path
) -> None:
    from nlpu.runtime.fleet.workers import lanes

    batch = crew(database, tmp_path, INPUTS)
    batch.open()
    batch.enter()
    workers = [Claims(database, "batch", str(n)) for n in range(3)]
    with Computer("scripted") as computer:
        assert computer.processors
        queue = computer._station.kernel.scheduler.queues["main"]
        limits = [Lane("server", queue, 16) for _ in workers]

        def asked(who: int, cuts: int) -> Got:
            lane, seen = limits[who], {"wants": 1, "cuts": cuts, "uses": 0}
            got = workers[who].together(lambda db, ids: lanes.ask(db, ids, lane, seen))
            lane.take(got, seen, 1.0)
            return got

        def heard(who: int) -> list[int | None]:
            return [told for said in workers[who].hear(0) if (told := limits[who].told(said))]

        for who in range(3):
            asked(who, 0)
        for _ in range(2):  # who came first gives back what others are to have
            for who in range(3):
                asked(who, 0)
                workers[who].hear(0)
        queue.limit = 4.0
        assert asked(0, 1).cuts == 1 and asked(1, 1).cuts == 1, "neither had heard of the other"
        assert queue.limit == 4.0, "each has slowed down by itself"
        assert heard(2) == [1]
        limits[2].hear(1, 2.0)
        assert queue.limit == 2.0
        limits[2].hear(1, 3.0)
        assert asked(2, 0).cuts == 1 and queue.limit == 2.0, "it was heard already"
        assert asked(1, 1).cuts == 2 and heard(0) == [1, 2], "this one is another"
        assert limits[0].told(f"{CUT} 2 another") is None
    for worker in workers:
        worker.close()
    batch.close()


class Busy:
    """A computer whose loop a program keeps for itself."""

    def call(self, step: Any) -> None:
        """Never come to it."""


def test_a_worker_whose_program_computes_hears_that_its_batch_is_to_end(
    database: Database, tmp_path: Path
) -> None:
    """Its loop is busy for as long as the program likes; it had waited for that."""
    (batch, claims), clock = entered(database, tmp_path), [100.0]
    with Computer("scripted") as computer:
        commons = Commons(claims, Budget(calls=9), "")
        shift = Shift(computer, str, claims, commons, now=lambda: clock[0])  # type: ignore[arg-type]

        def later() -> None:
            clock[0] += 3
            if claims.beats == 2:
                claims.seen = Seen(Interrupted("stopped"), 64, late=False)
            shift._heed()

        with pytest.raises(Interrupted):
            commons.beat(Busy(), later)  # type: ignore[arg-type]
    assert claims.beats == 3, "and it went on saying that it lives"
    claims.close()
    batch.close()


class Slow:
    """A process that takes longer than it is given; the clock goes on by that."""

    def __init__(self, clock: list[float]) -> None:
        self.clock, self.ended = clock, 0

    def wait(self, timeout: float) -> None:
        self.clock[0] += timeout
        raise subprocess.TimeoutExpired("worker", timeout)

    def poll(self) -> None:
        return None

    def terminate(self) -> None:
        self.ended += 1


def test_workers_that_would_not_end_are_waited_for_together(
    database: Database, tmp_path: Path
) -> None:
    clock = [100.0]
    hands, slow = Processes(database, "batch", tmp_path, lambda: clock[0]), Slow(clock)
    hands._all.update({str(n): slow for n in range(4)})  # type: ignore[misc]
    hands.close(10)
    assert slow.ended == 4 and clock == [110.0]


class Asked:
    """A run that notes in which order it is asked to end and waited for."""

    def __init__(self, notes: list[str]) -> None:
        self._done, self._notes = Future[None](), notes
        self._call, self._stop = (lambda _: notes.append("asked")), None

    def _ended(self) -> None:
        self._notes.append("ended")


def test_runs_are_stopped_all_at_once() -> None:
    """One after the other, each waited for the programs of all that were left."""
    notes: list[str] = []
    stop_all([Asked(notes), Asked(notes)])  # type: ignore[list-item]
    assert notes == ["asked", "asked", "ended", "ended"]
