"""The contract of whatever keeps rows: one test for each promise, over all stores."""

from __future__ import annotations

from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import PATIENCE_S

from nlpu.errors import StorageFailed
from nlpu.runtime.journal.memory import MemoryStore, Shelf
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.journal.store import JournalStore, RunLog

TEXTS = st.text(max_size=20)
ROWS = st.lists(st.tuples(st.sampled_from([1, 2, 7]), TEXTS, st.booleans()), max_size=20)


class Stand:
    """A place where a store is opened, again and again, and can be full."""

    def __init__(self, path: Path) -> None:
        self.path = path / "j.db"

    def open(self, *, read_only: bool = False) -> JournalStore:
        return Journal(self.path, read_only=read_only)

    def fill(self, store: Any) -> None:
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")

    def empty(self) -> None:
        """A file is not held to what it was filled to once it is opened again."""

    def kill(self, store: Any) -> None:
        """Leave it as the death of its process would."""
        store._db.close()
        store._side.close()
        store._lock.release()

    def is_empty(self) -> bool:
        return not self.path.exists()


class Shelved(Stand):
    """In memory."""

    later: Any = None

    def __init__(self, path: Path) -> None:
        self.shelf = Shelf()

    def open(self, *, read_only: bool = False) -> JournalStore:
        return MemoryStore(self.shelf, later=self.later, read_only=read_only)

    def fill(self, store: Any) -> None:
        self.shelf.room = 0

    def empty(self) -> None:
        self.shelf.room = 10

    def kill(self, store: Any) -> None:
        store.close()

    def is_empty(self) -> bool:
        return self.shelf == Shelf()


class Distant(Shelved):
    """As a database over the network: a commit takes 50 ms."""

    later = staticmethod(lambda done: Timer(0.05, done).start())


class Seated(Stand):
    """In a database."""

    def __init__(self, path: Path, server: Any) -> None:
        from nlpu.runtime.journal.places import place_of
        from nlpu.runtime.journal.where import Seat

        self.server, self.url = server, server.shared
        self.seat = Seat(place_of(self.url), blake2b(str(path).encode()).hexdigest())  # type: ignore[arg-type]
        self.now_s = 1e9

    def open(self, *, read_only: bool = False) -> JournalStore:
        from nlpu.runtime.journal.postgres.store import PostgresStore

        return PostgresStore(self.seat, read_only=read_only, now=lambda: self.now_s)

    def fill(self, store: Any) -> None:
        """Have the server say what it says when its disk is full."""
        self.server.do(
            "CREATE FUNCTION nlpu.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
            "EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER is_full BEFORE INSERT ON nlpu.log EXECUTE FUNCTION nlpu.full()",
            self.server.shared_name,
        )

    def empty(self) -> None:
        self.server.do("DROP FUNCTION nlpu.full CASCADE", self.server.shared_name)

    def kill(self, store: Any) -> None:
        """Nobody gives its lease up, and time passes."""
        store._lease = None
        store.close()
        self.now_s += 100

    def is_empty(self) -> bool:
        from nlpu.runtime.journal.places import is_there

        return not is_there(self.seat)


STANDS = {"sqlite": Stand, "memory": Shelved, "distant": Distant}


@pytest.fixture(params=[*STANDS, "postgres"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    if request.param == "postgres":
        return Seated(tmp_path, request.getfixturevalue("postgres"))
    return STANDS[request.param](tmp_path)


def durable(store: JournalStore) -> None:
    """Flush, and wait until that is durable."""
    done = store.flush()
    if done is not None:
        done.result(PATIENCE_S)


def write(store: JournalStore, *rows: tuple[int, str, bool]) -> None:
    for run, text, named in rows:
        log = RunLog(store, run)
        log.append("row", text, log.text(text) if named else 0)


def expected(rows: list[tuple[int, str, bool]], run: int) -> tuple[list[Any], dict[int, str]]:
    """What a store must hold of a run: texts once, numbered from 1 in the run."""
    numbers: dict[str, int] = {}
    kept = []
    for whose, text, named in rows:
        if whose == run:
            number = numbers.setdefault(text, len(numbers) + 1) if named else 0
            kept.append(["row", run, text, number])
    return kept, {number: text for text, number in numbers.items()}


def read(stand: Stand, run: int) -> tuple[list[Any], dict[int, str]]:
    with closing(stand.open(read_only=True)) as reader:
        return reader.read(run)


# -- what is written is read ----------------------------------------------------------------------


LIVES = st.lists(st.lists(ROWS, max_size=4), max_size=3)
AS_IT_IS = [HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
@settings(suppress_health_check=AS_IT_IS)
@given(lives=LIVES)
def test_runs_come_back_as_they_were_written(
    kind: str, tmp_path_factory: Any, lives: list[list[list[tuple[int, str, bool]]]]
) -> None:
    come_back(STANDS[kind](tmp_path_factory.mktemp("j")), lives)


@settings(suppress_health_check=AS_IT_IS, max_examples=25)
@given(lives=LIVES)
def test_runs_come_back_from_a_database(
    postgres: Any, tmp_path_factory: Any, lives: list[list[list[tuple[int, str, bool]]]]
) -> None:
    come_back(Seated(tmp_path_factory.mktemp("j"), postgres), lives)


def come_back(stand: Stand, lives: list[list[list[tuple[int, str, bool]]]]) -> None:
    """Over several lives, each with several commits: rows in order, texts once, run by run."""
    rows: list[tuple[int, str, bool]] = []
    for life in lives:
        with closing(stand.open()) as store:
            assert store.runs() == sorted({run for run, _, _ in rows})
            for batch in life:
                write(store, *batch)
                assert store.dirty == bool(batch)
                durable(store)
                assert not store.dirty
                rows += batch
    if lives:
        for run in (1, 2, 7, 3):
            assert read(stand, run) == expected(rows, run)


def test_it_comes_back_after_a_death_too(stand: Stand) -> None:
    rows = [(1, "a", True), (2, "a", True), (1, "b", True), (2, "\ud800\u2028", True)]
    store = stand.open()
    for row in rows:
        write(store, row)
        durable(store)
    write(store, (1, "never", True))
    stand.kill(store)
    with closing(stand.open()) as again:
        write(again, (1, "b", True), (2, "c", True))
        durable(again)
    rows += [(1, "b", True), (2, "c", True)]
    assert [read(stand, run) for run in (1, 2)] == [expected(rows, run) for run in (1, 2)]


def test_texts_are_stored_once_a_run(stand: Stand) -> None:
    with closing(stand.open()) as store:
        one, two = RunLog(store, 1), RunLog(store, 2)
        assert [one.text(text) for text in ("a", "b", "a", "b", "c")] == [1, 2, 1, 2, 3]
        assert two.text("c") == 1
        durable(store)
        assert [one.text(text) for text in ("c", "a")] == [3, 1]
        assert not store.dirty


def test_a_run_is_read_alone(stand: Stand) -> None:
    """What is asked of a store is one run; what it holds then is of that run."""
    with closing(stand.open()) as store:
        write(store, *((run, f"{run}:{n}", True) for n in range(20) for run in range(1, 30)))
        durable(store)
    with closing(opened(stand, 7)) as reader:
        rows, texts = reader.read(7)
        assert [row[2] for row in rows] == [*texts.values()] == [f"7:{n}" for n in range(20)]
        assert not reader.found, "nothing of others is held"  # type: ignore[attr-defined]
        assert {*reader.spaces} <= {7}  # type: ignore[attr-defined]


def opened(stand: Stand, run: int) -> JournalStore:
    if isinstance(stand, Shelved | Seated):
        return stand.open(read_only=True)
    return Journal(stand.path, read_only=True, run=run)


# -- durable or not -------------------------------------------------------------------------------


def test_what_was_not_flushed_is_not_there(stand: Stand) -> None:
    with closing(stand.open()) as store:
        write(store, (1, "kept", True))
        durable(store)
        write(store, (1, "lost", True))
        assert store.dirty
        assert read(stand, 1) == expected([(1, "kept", True)], 1)
    assert read(stand, 1) == expected([(1, "kept", True)], 1)


def test_a_failed_commit_leaves_nothing_of_it(stand: Stand) -> None:
    """Neither rows nor texts, and what comes after it follows on what was before."""
    big = "x" * 100_000
    store = stand.open()
    write(store, (1, "kept", True))
    durable(store)
    stand.fill(store)
    write(store, (1, big, True), (2, "new", True))
    with pytest.raises(StorageFailed):
        durable(store)
    assert not store.dirty
    assert read(stand, 1) == expected([(1, "kept", True)], 1)
    assert read(stand, 2) == ([], {})
    assert RunLog(store, 1).text("kept") == 1
    assert RunLog(store, 1).text("next") == 2
    store.close()
    stand.empty()
    with closing(stand.open()) as again:
        write(again, (1, "after", True), (2, "new", True))
        durable(again)
    assert read(stand, 1) == expected([(1, "kept", True), (1, "after", True)], 1)
    assert read(stand, 2) == expected([(2, "new", True)], 2)


def test_a_flush_of_nothing_is_done(stand: Stand) -> None:
    with closing(stand.open()) as store:
        assert store.flush() is None


def test_the_distant_store_takes_its_time(tmp_path: Path) -> None:
    stand = Distant(tmp_path)
    with closing(stand.open()) as store:
        write(store, (1, "a", True))
        done = store.flush()
        assert done is not None and not store.dirty
        write(store, (1, "b", True))  # of the next flush
        assert read(stand, 1) in ([[], {}], ([], {}))
        done.result(PATIENCE_S)
        assert read(stand, 1) == expected([(1, "a", True)], 1)
        durable(store)
    assert read(stand, 1) == expected([(1, "a", True), (1, "b", True)], 1)


# -- who else looks -------------------------------------------------------------------------------


def test_a_reader_follows_as_it_is_written(stand: Stand) -> None:
    with closing(stand.open()) as store:
        write(store, (1, "a", True), (2, "x", True))
        durable(store)
        with closing(stand.open(read_only=True)) as reader:
            assert reader.read_only
            assert reader.read(1) == expected([(1, "a", True)], 1)
            assert reader.follow(1) == ([], {})
            write(store, (1, "b", True), (1, "a", True), (2, "y", True))
            assert reader.follow(1) == ([], {})
            durable(store)
            found = reader.follow(1)
            assert found == ([["row", 1, "b", 2], ["row", 1, "a", 1]], {2: "b"})
            assert reader.follow(1) == ([], {})


def test_closing_is_idempotent_and_discarding_leaves_nothing(stand: Stand) -> None:
    store = stand.open()
    for _ in range(2):
        store.close(discard=True)
    assert stand.is_empty()
    store = stand.open()
    write(store, (1, "a", True))
    durable(store)
    for _ in range(2):
        store.close(discard=True)
    assert read(stand, 1) == expected([(1, "a", True)], 1), "it holds something"
