"""Whose a journal in a database is: one owner at a time, and who was late writes nothing."""

from __future__ import annotations

from contextlib import closing
from random import Random
from typing import Any

import pytest

from nlpu.errors import RunBusy, StorageFailed
from nlpu.runtime.journal.places import again, is_there, place_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database, Seat

PATIENCE_S = 30


@pytest.fixture
def database(postgres: Any) -> Database:
    found = place_of(postgres.shared)
    assert isinstance(found, Database)
    return found


class World:
    """A seat, a clock, and owners who take it, write, beat, are stopped, wake up and leave.

    What must be is kept beside it: whose it is, until when, and the rows that were written.
    """

    def __init__(self, seat: Seat) -> None:
        self.seat, self.now_s = seat, 1e9
        self.owners: dict[int, Any] = {}
        self.holder, self.until_s, self.named = 0, 0.0, 0
        self.rows: list[str] = []
        self.late = 0

    def open(self) -> None:
        from nlpu.runtime.journal.postgres.store import PostgresStore

        free = not self.holder or self.until_s <= self.now_s
        if not free:
            with pytest.raises(RunBusy, match="gone on with in"):
                PostgresStore(self.seat, now=lambda: self.now_s)
            return
        self.named += 1
        self.owners[self.named] = PostgresStore(self.seat, now=lambda: self.now_s)
        self._holds(self.named)

    def _holds(self, who: int) -> None:
        self.holder, self.until_s = who, self.now_s + self.seat.database.lease_s

    def write(self, who: int, count: int) -> None:
        store, rows = self.owners[who], [f"{who}:{n}:{len(self.rows)}" for n in range(count)]
        log = RunLog(store, 1)
        for row in rows:
            log.append("row", log.text(row))
        done = store.flush()
        if who == self.holder:  # late or not: nobody followed
            done.result(PATIENCE_S)
            self._holds(who)
            self.rows += rows
        else:
            self.late += 1
            with pytest.raises(StorageFailed, match="not this process's"):
                done.result(PATIENCE_S)

    def beat(self, who: int) -> None:
        self.owners[who]._beat()
        if who == self.holder:
            self._holds(who)

    def leave(self, who: int) -> None:
        self.owners.pop(who).close()
        if who == self.holder:
            self.holder = 0

    def read(self) -> list[str]:
        from nlpu.runtime.journal.postgres.store import PostgresStore

        with closing(PostgresStore(self.seat, read_only=True)) as reader:
            rows, texts = reader.read(1)
        return [texts[row[2]] for row in rows]

    def step(self, random: Random) -> None:
        who = random.choice([*self.owners] or [0])
        what = random.choices(["open", "write", "beat", "time", "leave"], (3, 5, 2, 4, 0.5))[0]
        if what == "time":
            self.now_s += self.seat.database.lease_s * random.choice([0.2, 0.6, 1.0, 3.0])
        elif what == "open" or not who:
            self.open()
        elif what == "write":
            self.write(who, random.randrange(1, 4))
        elif what == "beat":
            self.beat(who)
        else:
            self.leave(who)


@pytest.mark.parametrize("seeds", [range(15), pytest.param(range(15, 100), marks=pytest.mark.slow)])
def test_who_was_late_writes_nothing(database: Database, seeds: range) -> None:
    """By a scripted clock: what is there is what owners wrote, each while it was one."""
    late = 0
    for seed in seeds:
        world, random = World(Seat(database, f"seed{seed}")), Random(seed)
        try:
            for _ in range(25):
                world.step(random)
            assert world.read() == world.rows, f"seed {seed}"
            late += world.late
        finally:
            for store in world.owners.values():
                store.close()
    assert late > len(seeds) / 3, "they were late often enough to tell"


def test_an_owner_that_wakes_up_is_told_who_followed(database: Database) -> None:
    world = World(Seat(database, "wakes"))
    world.open()
    world.write(1, 2)
    world.now_s += database.lease_s
    world.open()
    for _ in range(2):  # and again: it has not become one by failing
        world.write(1, 1)
    world.beat(1)
    world.write(2, 1)
    assert world.read() == world.rows and len(world.rows) == 3
    world.leave(1)  # which gives nothing up that is not its own
    world.open()  # RunBusy, as it is the other's
    world.owners[2].close()


def test_a_journal_that_was_removed_is_not_written_again(database: Database, postgres: Any) -> None:
    world = World(Seat(database, "removed"))
    world.open()
    world.write(1, 1)
    postgres.do("DELETE FROM nlpu.journal WHERE stem = 'removed'", postgres.shared_name)
    world.holder = 0
    world.write(1, 1)
    world.owners[1].close()
    assert not is_there(world.seat)


def test_a_seat_says_whether_it_is_owned(database: Database) -> None:
    from nlpu.runtime.journal.postgres.store import PostgresStore

    seat = Seat(database, "owned")
    assert not is_there(seat)
    with closing(PostgresStore(seat)):
        now = again(seat)
        assert isinstance(now, Seat) and now.owned
    now = again(seat)
    assert isinstance(now, Seat) and not now.owned


def test_a_dead_process_of_this_machine_is_not_waited_for(database: Database) -> None:
    import subprocess

    from nlpu.runtime.journal.postgres.owners import is_dead, this_process, told

    assert not is_dead(this_process())
    host, pid, space, began = this_process().split(" ")
    child = subprocess.Popen(["true"])
    assert child.wait() == 0
    gone = f"{host} {child.pid} {space} 1"
    assert is_dead(gone)
    assert not is_dead(f"{host} {child.pid} elsewhere 1"), "another machine's is not known"
    assert is_dead(f"{host} {pid} {space} {int(began) + 1}"), "its number is another's now"
    assert told(gone) == f"process {child.pid} on {host}"
    for odd in ("", "a b", "a b c d e", "a  c d"):
        assert not is_dead(odd) and told(odd)
