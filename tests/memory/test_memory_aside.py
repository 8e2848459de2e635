"""What memory takes long over is done aside: calls go on meanwhile, and the order stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from kit import PATIENCE_S, computer, echo, execute, finish
from memory_kit import Bag, both, kept_in, memory

from nlpu import lift
from nlpu.errors import HostError, MissingPart
from nlpu.memory.controller import Memory
from nlpu.memory.store.embedders import open_embedder
from nlpu.programs.answer import from_store
from nlpu.runtime import spawn
from nlpu.runtime.drivers.recall import search
from nlpu.testing.scripted import Scripted, Seen
from nlpu.value import aside

__all__ = ["kept_in"]
pytestmark = both


class Held(Bag):
    """Embeds when it is let go, which only the loop does: when a call is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let_go = Event(), Event()

    def embed(self, texts: Sequence[str]) -> Any:
        self.entered.set()
        assert self.let_go.wait(PATIENCE_S), "the loop stood still meanwhile"
        return super().embed(texts)

    def sent(self, seen: Seen) -> str:
        """The engine's script."""
        assert self.entered.wait(PATIENCE_S), "nothing was embedded meanwhile"
        self.let_go.set()
        return "sent"


def texts(store: Memory) -> list[str]:
    return [found.page.text for found in store.search("bees")]


def by_search(store: Memory) -> list[str]:
    return texts(store)


def by_nested_program(store: Memory) -> list[str]:
    return spawn(texts, store).value


def by_operand(store: Memory) -> list[str]:
    return [store.context("bees", 100).value]


def by_writing(store: Memory) -> list[str]:
    return [store.read(store.write("Bees again.", source="talk")).text]


LOOKS = [by_search, by_nested_program, by_operand, by_writing]


@pytest.mark.parametrize("look", LOOKS)
def test_calls_are_sent_while_memory_embeds(
    look: Callable[[Memory], list[str]], tmp_path: Path
) -> None:
    bag = Held()

    def program() -> Any:
        answered = echo("meanwhile")  # on its way
        return look(store), answered.value

    with memory(tmp_path, embedder=bag, firmware="valued") as store:
        store.write("Seven bees.", source="talk", importance=0.5)
        found, answered = execute(program, engine=Scripted(bag.sent)).result
    assert answered == "sent" and "bees" in found[0].lower()


def test_calls_are_sent_while_a_driver_looks(tmp_path: Path) -> None:
    bag = Held()

    def program() -> Any:
        found = search(store)("bees")
        assert lift(bag.entered.wait, blocking=True)(PATIENCE_S).value
        return echo("meanwhile").value, [page.text for page in found.value]

    with memory(tmp_path, embedder=bag) as store:
        store.write("Seven bees.")
        run = execute(program, engine=Scripted(bag.sent))
        assert run.result == ("sent", ["Seven bees."])


def test_an_async_program_has_a_nested_one_look(tmp_path: Path) -> None:
    bag = Held()

    async def program() -> Any:
        answered, found = echo("meanwhile"), spawn(store.search, "bees", most=1)
        return [each.page.text for each in await found], await answered

    with memory(tmp_path, embedder=bag) as store:
        store.write("Seven bees.")
        run = execute(program, engine=Scripted(bag.sent))
        assert run.result == (["Seven bees."], "sent")


def test_no_program_comes_between_the_looking_and_the_acting_of_another(tmp_path: Path) -> None:
    bag = Held()
    order: list[str] = []

    def once(who: str) -> str:
        echo(who)
        order.append(f"{who} looks")
        if "Eight bees." not in texts(store):
            store.write("Eight bees.", source=who)
        order.append(f"{who} has looked")
        return who

    def program() -> list[str]:
        return [each.value for each in [spawn(once, "Ann"), spawn(once, "Bob")]]

    with memory(tmp_path, embedder=bag) as store:
        store.write("Seven bees.")
        assert execute(program, engine=Scripted(bag.sent)).result == ["Ann", "Bob"]
        assert order == ["Ann looks", "Ann has looked", "Bob looks", "Bob has looked"]
        assert sorted(texts(store)) == ["Eight bees.", "Seven bees."]


def test_many_programs_open_one_store_at_a_time(tmp_path: Path) -> None:
    """As they did when nothing was done aside: opened, read and closed at one go."""
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    with Memory(tmp_path, embedder="static") as store:
        store.write("Seven bees.")

    def program() -> list[int]:
        looks = [spawn(from_store, "bees", str(tmp_path), "documents") for _ in range(5)]
        return [len(each.value) for each in looks]

    assert execute(program).result == [1] * 5


def test_a_run_that_is_stopped_meanwhile_holds_nobody_up(tmp_path: Path) -> None:
    """Another run of that computer goes on at once; the store's next job has its turn."""
    bag = Held()
    with memory(tmp_path, embedder=bag) as store, computer() as machine:
        store.write("Seven bees.")
        run = machine.start(texts, store)
        assert bag.entered.wait(PATIENCE_S)
        other = machine.start(lambda: echo("on").value)
        run.stop()
        assert finish(run).status == "stopped" and finish(other).result == "on"
        later = machine.start(texts, store)
        bag.let_go.set()
        assert finish(later).result == ["Seven bees."] and store.check() == []


def test_a_memory_that_is_closed_meanwhile_opens_nothing_any_more(tmp_path: Path) -> None:
    bag = Held()

    def program() -> list[str]:
        with memory(tmp_path, embedder=bag) as store:
            stores.append(store)
            store.write("Seven bees.")
            return texts(store)

    stores: list[Memory] = []
    with computer() as machine:
        run = machine.start(program)
        assert bag.entered.wait(PATIENCE_S)
        run.stop()
        assert finish(run).status == "stopped" and stores[0].levels.is_closed
    with memory(tmp_path) as store:  # whose lock was given up
        bag.let_go.set()
        stores[0].levels.turns.take(lambda: None)  # what was under way has ended
        assert texts(store) == ["Seven bees."] and store.check() == []


def test_what_fails_aside_fails_where_it_was_asked(tmp_path: Path) -> None:
    class Broken(Bag):
        def embed(self, texts: Sequence[str]) -> Any:
            raise ArithmeticError("no vector")

    def program() -> str:
        with pytest.raises(ArithmeticError, match="no vector"):
            store.search("bees")
        store.write("Eight bees.")  # whoever comes next has their turn
        return "went on"

    with memory(tmp_path, embedder=Broken()) as store:
        store.write("Seven bees.")
        assert execute(program).result == "went on"
        assert store.levels.disk.count() == 2


def test_a_forked_child_does_its_work_itself() -> None:
    """It has no loop that could wake it, and must not become one."""

    def program() -> int:
        child = os.fork()
        if not child:
            os._exit(aside(lambda: 7))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) + aside(lambda: 10)

    assert execute(program).result == 17


def test_a_fork_of_who_opened_a_memory_is_told_so_and_leaves_it_whole(tmp_path: Path) -> None:
    with memory(tmp_path / "m") as store:
        store.write("Bees.")
        assert texts(store) == ["Bees."]
        its, ours = os.pipe()
        child = os.fork()
        if child == 0:
            told = []
            for ask in (by_search, by_writing):
                try:
                    ask(store)
                except HostError as error:
                    told.append(str(error))
            store.close()
            os.write(ours, "\n".join(told).encode())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        told = os.read(its, 1000).decode().splitlines()
        os.close(its)
        os.close(ours)
        assert len(told) == 2
        assert all(f"by process {os.getpid()}, and this is a fork" in each for each in told)
        assert by_writing(store) == ["Bees again."] and len(texts(store)) == 2
