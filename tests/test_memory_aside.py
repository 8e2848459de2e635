"""What memory takes long over is done aside: the loop goes on, and the order stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from kit import PATIENCE_S, echo, execute
from memory_kit import Bag, memory

from memory.controller import Memory
from memory.firmware import Found, OpFree
from memory.levels import Levels
from nlpu import lift
from runtime import spawn
from runtime.drivers.recall import search


class Held(Bag):
    """Embeds when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let_go = Event(), Event()

    def embed(self, texts: Sequence[str]) -> Any:
        self.entered.set()
        assert self.let_go.wait(PATIENCE_S), "the loop stood still meanwhile"
        return super().embed(texts)

    def wait(self) -> bool:
        """Return when something is embedded."""
        return self.entered.wait(PATIENCE_S)


class Near(OpFree):
    """The nearest page, then the newest ones."""

    def look(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        near = levels.pages(levels.by_meaning(question, 1))
        return [Found(n, page, 0.0) for n, page in (near | levels.newest(most)).items()]


def texts(store: Memory) -> list[str]:
    return [found.page.text for found in store.search("bees")]


def by_search(store: Memory) -> list[str]:
    return spawn(texts, store).value


def by_operand(store: Memory) -> list[str]:
    return [spawn(lambda: echo(store).value).value]


def by_driver(store: Memory) -> list[str]:
    return [page.text for page in search(store)("bees").value]


def by_writing(store: Memory) -> list[str]:
    return [store.read(spawn(store.write, "Bees again.", source="talk").value).text]


@pytest.mark.parametrize("look", [by_search, by_operand, by_driver, by_writing])
def test_the_loop_goes_on_while_memory_embeds(
    look: Callable[[Memory], list[str]], tmp_path: Path
) -> None:
    bag = Held()

    def program() -> Any:
        found = spawn(look, store)
        assert lift(bag.wait, blocking=True)().value
        answered = echo("meanwhile").value  # carried by the loop
        bag.let_go.set()
        return answered, found.value

    with memory(tmp_path, embedder=bag, firmware="valued") as store:
        store.write("Seven bees.", source="talk", importance=0.5)
        answered, found = execute(program).result
    assert answered == "meanwhile" and "bees" in found[0].lower()


def test_an_async_program_has_a_nested_one_look(tmp_path: Path) -> None:
    bag = Held()

    async def program() -> Any:
        found = spawn(store.search, "bees", most=1)
        assert await lift(bag.wait, blocking=True)()
        answered = await echo("meanwhile")
        bag.let_go.set()
        return answered, [each.page.text for each in await found]

    with memory(tmp_path, embedder=bag) as store:
        store.write("Seven bees.")
        assert execute(program).result == ("meanwhile", ["Seven bees."])


def test_what_is_written_during_a_look_comes_after_it(tmp_path: Path) -> None:
    bag = Held()

    def program() -> Any:
        looks = [spawn(texts, store)]
        assert lift(bag.wait, blocking=True)().value
        written = spawn(store.write, "Eight bees.")
        looks.append(spawn(texts, store))
        forgotten = spawn(store.forget, first)
        looks.append(spawn(texts, store))
        _ = echo("all of them have begun").value
        bag.let_go.set()
        return [set(each.value) for each in looks], written.value, forgotten.value

    with memory(tmp_path, embedder=bag, firmware=Near()) as store:
        first = store.write("Seven bees.")
        looks, written, forgotten = execute(program).result
        assert looks == [{"Seven bees."}, {"Seven bees.", "Eight bees."}, {"Eight bees."}]
        assert store.read(written).text == "Eight bees." and forgotten == 1
        assert store.check() == []


def test_a_program_that_is_stopped_meanwhile_leaves_the_store_whole(tmp_path: Path) -> None:
    bag = Held()

    def program() -> str:
        spawn(texts, store)  # nobody reads it
        assert lift(bag.wait, blocking=True)().value
        return "over"

    with memory(tmp_path, embedder=bag) as store:
        store.write("Seven bees.")
        assert execute(program).result == "over"
        bag.let_go.set()
        assert texts(store) == ["Seven bees."] and store.check() == []


def test_a_memory_that_is_closed_meanwhile_opens_nothing_any_more(tmp_path: Path) -> None:
    bag = Held()

    def program() -> str:
        spawn(texts, store)
        assert lift(bag.wait, blocking=True)().value
        store.close()
        return "over"

    store = memory(tmp_path, embedder=bag)
    store.write("Seven bees.")
    assert execute(program).result == "over"
    bag.let_go.set()
    store.levels.turns.take(lambda: None)  # what was under way has ended
    with memory(tmp_path) as store:
        assert store.check() == [] and texts(store) == ["Seven bees."]


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
