"""Forgetting: what was made of forgotten pages alone goes with them, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from kit import execute, finish
from memory_kit import both, kept_in, memory, talk

from nlpu.label import UNTRUSTED, USER
from nlpu.memory.consolidate import reflect
from nlpu.memory.controller import Memory
from nlpu.memory.ingest import ingest, name_of
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted

__all__ = ["kept_in"]
pytestmark = both


def there(store: Memory, *addresses: str) -> list[bool]:
    return [store.levels.disk.number(address) is not None for address in addresses]


def drawn(store: Memory, text: str, *addresses: str) -> str:
    """The address of what a reflection on these pages says."""
    pages = [store.read(address) for address in addresses]
    address = execute(lambda: reflect(store, pages), engine=Scripted(text)).result
    assert isinstance(address, str)
    return address


def test_what_was_drawn_from_a_forgotten_source_alone_goes_with_it(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        pin = store.write("My PIN is zebra4711.", source="diary", label=USER)
        name = store.write("My name is Ann.", source="diary", start=99, label=USER)
        turn = talk(store)[3]
        alone = drawn(store, "Ann has the PIN zebra4711.", pin, name)
        again = drawn(store, "Zebra4711 opens it.", alone)
        both = drawn(store, "Ann's brother keeps bees.", name, turn)
        assert store.forget("diary") == 4
        assert there(store, pin, name, alone, again) == [False] * 4
        assert there(store, turn, both) == [True, True]  # it has a source left
        assert all("ebra" not in each.page.text for each in store.search("zebra4711"))
        assert store.check() == []
        assert store.forget("talk") == 7  # and that was its last
        assert there(store, both) == [False]
    for file in tmp_path.rglob("*.*"):
        assert b"ebra4711" not in file.read_bytes()


def test_a_page_that_is_forgotten_takes_what_was_made_of_it(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        addresses = talk(store)
        made = drawn(store, "Bees.", addresses[3])
        assert store.forget(made) == 1 and all(there(store, *addresses))
        made = drawn(store, "Bees.", addresses[3])
        assert store.forget(addresses[3]) == 2 and there(store, made) == [False]


def test_who_forgets_has_seen_the_label_of_what_went_with_it(tmp_path: Path) -> None:
    with memory(tmp_path) as store:
        page = store.write("Bees.", label=USER)
        store.write("They fly.", label=UNTRUSTED, links=[page])

        def program() -> str:
            store.forget(page)
            return "done"

        with Computer(Scripted("x")) as machine:
            assert finish(machine.run(program)).label is UNTRUSTED


def test_a_file_that_says_something_else_takes_what_was_made_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# Bees\n\nBees hum.\n\n# Mill\n\nThe mill stands.\n")
    with memory(tmp_path / "store") as store:
        ingest(store, [path], page_tokens=6)
        disk = store.levels.disk
        pages = disk.pages(disk.numbers(source=name_of(path)))
        hum = drawn(store, "They hum.", *(p.address for p in pages.values() if "hum" in p.text))
        mill = drawn(store, "It stands.", *(p.address for p in pages.values() if "mill" in p.text))
        path.write_text("# Wasps\n\nWasps do not hum at all.\n\n# Mill\n\nThe mill stands.\n")
        ingest(store, [path], page_tokens=6)
        assert there(store, hum, mill) == [False, True]  # that text is elsewhere in it
        assert store.check() == []


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_stays_has_a_source_left(data: st.DataObject) -> None:
    """The law: a page goes if it was named, or all that it was made of goes."""
    with TemporaryDirectory() as place, memory(Path(place)) as store:
        addresses: list[str] = []
        made: dict[str, list[str]] = {}
        for number in range(data.draw(st.integers(1, 12))):
            of = st.lists(st.sampled_from(addresses or [""]), unique=True, max_size=3)
            links = data.draw(of) if addresses else []
            addresses.append(store.write(f"Page {number}.", links=links))
            made[addresses[-1]] = links
        named = data.draw(st.sampled_from(addresses))
        count = store.forget(named)
        left = dict(zip(addresses, there(store, *addresses), strict=True))
        assert list(left.values()).count(False) == count
        for address, links in made.items():
            lost = address == named or (bool(links) and not any(left[each] for each in links))
            assert left[address] is not lost
